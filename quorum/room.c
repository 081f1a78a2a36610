#include "quorum/room.h"

enum { LOOK_MS = 500 };

static void room_told(struct msg *msg);

static void look_fired(struct timer *timer)
{
    struct disk_room *r = container_of(timer, struct disk_room, look);

    local_disk_look(r->disk);
    r->looked(r);
    disk_room_tell(r);
}

void disk_room_tell(struct disk_room *r)
{
    if (r->ended)
        return;
    if (r->disk->tight) {
        r->look.fire = look_fired;
        timer_set(r->loop, &r->look, loop_now(r->loop) + (int64_t)LOOK_MS * 1000000);
    }
    if (r->telling || r->tight == r->disk->tight)
        return;
    r->telling = true;
    r->tight = r->disk->tight;
    r->msg.run = room_told;
    loop_post(r->control, &r->msg);
}

static void room_heard(struct msg *msg)
{
    struct disk_room *r = container_of(msg, struct disk_room, msg);

    r->telling = false;
    disk_room_tell(r);
}

static void room_told(struct msg *msg)
{
    struct disk_room *r = container_of(msg, struct disk_room, msg);

    if (r->told)
        r->told(r->arg, r->tight);
    r->msg.run = room_heard;
    loop_post(r->loop, &r->msg);
}

void disk_room_end(struct disk_room *r)
{
    r->ended = true;
    timer_stop(&r->look);
}
