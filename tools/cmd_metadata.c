/* What the subcommands of `weir metadata` share. */
#include "tools/cmd_metadata.h"
#include "tools/meta_link.h"
#include <inttypes.h>

int meta_words(const struct tool *t)
{
    return flag_text(&t->flags, "bootstrap-controller") ? 0 : 1;
}

bool meta_open(struct tool *t, struct meta_place *out)
{
    bool live = meta_words(t) == 0;

    if (live && t->command && t->flags.n_rest == t->command->words) {
        tool_usage(t, "\"%s\" is one too many: --bootstrap-controller stands in place of the path",
                   t->flags.rest[t->flags.n_rest - 1]);
        return false;
    }
    if (!live && t->flags.n_rest == 0) {
        tool_usage(t, "which metadata? A directory (metadata.log.dir or __cluster_metadata-0), a .checkpoint "
                      "or a .log, or --bootstrap-controller HOST:PORT");
        return false;
    }
    t->world->interruptible(t->world->arg);
    if (live)
        return meta_link_place(t, out);
    return meta_place_find(t, t->flags.rest[0], out);
}

bool meta_point(struct tool *t, const char *text, struct meta_point *out)
{
    if (meta_point_parse(text, io_wall_ms(t->io), out))
        return true;
    tool_usage(t,
               "\"%s\" is no offset and no time; they look like 123, end, 2026-11-21T10:15:02.123Z (UTC), "
               "2026-11-21, 1795272593869ms, -15m (s m h d)",
               text);
    return false;
}

void meta_flush(struct tool *t)
{
    if (t->out.len > META_FLUSH_BYTES)
        tool_flush(t);
}

const char *meta_image_place(const struct image *i, struct arena *a)
{
    char time[META_TIME_LEN + 1];

    return i->offset < 0 ? "before the first record"
                         : arena_printf(a, "offset %" PRId64 ", epoch %d, %s", i->offset, i->epoch,
                                        meta_time(i->append_ms, time));
}
