/* Who votes first, where only this node's own directory says it (quorum/formatted.h). It is read when the node starts; if the disk
 * below it failed then, nobody knows whether this node is to begin a log or to follow one: so it has no life before the file
 * was read, here, on a DISK loop of its own. */
#include "broker/control_internal.h"

static void read_back(struct msg *msg)
{
    struct control *c = container_of(msg, struct control, formats.msg);

    loop_stop(c->formats.loop, c->loop, c->formats.over); /* last touch of the loop */
    c->formats.loop = NULL;
}

static void read_run(struct msg *msg)
{
    struct control *c = container_of(msg, struct control, formats.msg);

    c->formats.err = formatted_read(c->node->io, c->quorum_settings.dir, &c->formats.formatted);
    msg->run = read_back;
    loop_post(c->loop, msg);
}

void control_formatted_read(struct control *c, struct msg *over)
{
    struct formats *f = &c->formats;

    ASSERT(!f->loop && c->settings.formatted->unread);
    f->over = over;
    f->loop = loop_start(c->node->io, LOOP_DISK, "formatted");
    f->msg.run = read_run;
    loop_post(f->loop, &f->msg);
}
