#include "quorum/recover.h"
#include "base/check.h"
#include "log/whole_file.h"
#include "quorum/local_disk.h"
#include "quorum/log_walk.h"

#define STATE  "quorum-state"
#define BEFORE "quorum-state.before-recover"
enum { STATE_BYTES_MAX = 1 << 16 };

static enum err found(void *arg, const struct batch_content *c, struct slice bytes, struct arena *a)
{
    struct local_disk *d = arg;

    (void)bytes;
    d->epoch = c->epoch > d->epoch ? c->epoch : d->epoch;
    return voters_in(c) ? voters_read(c, a, &d->voters) : E_OK;
}

static int32_t epoch_before(const struct local_disk *d, const struct quorum_state *state)
{
    return state->leader_epoch > d->epoch ? state->leader_epoch : d->epoch;
}

/* As a start does it: what doesn't replay isn't recovered. */
static enum err look(struct local_disk *d, struct image **image, struct quorum_state *state,
                     struct recovery *out)
{
    static const struct voters nobody;
    int64_t from;

    if (local_disk_load(d, &nobody, image, state))
        return d->err;
    if (log_end(d->log) == 0)
        return local_disk_failed(d, E_NOENT, "looking for the metadata log");
    from = d->snapshot < 0 ? 0 : d->snapshot;
    d->epoch = d->snapshot < 0 ? 0 : d->snapshot_epoch;
    if (local_disk_failed(d, log_walk(d->log, io_heap(d->io), from, found, d), "reading the metadata log") ||
        local_disk_replay(d, image))
        return d->err;
    *out = (struct recovery){.voters = d->voters,
                             .log_start = log_start(d->log),
                             .end = log_end(d->log),
                             .epoch = d->epoch,
                             .committed = from};
    if (epoch_before(d, state) > RECOVER_EPOCH_MAX) {
        out->epoch = epoch_before(d, state);
        return local_disk_failed(d, E_UNKNOWN_LEADER_EPOCH, "looking for an epoch that is left");
    }
    out->votes = voters_of_directory(&d->voters, d->settings->node_id, &d->settings->directory_id) >= 0;
    if (out->votes && voters_voting(&d->voters) == 1 && d->voters.n == 1)
        return local_disk_failed(d, E_INVALID_REQUEST, "looking for other voters");
    return E_OK;
}

/* The first one is kept: a second try must not replace it by what the first wrote. */
static enum err state_keep(struct local_disk *d)
{
    struct heap *h = io_heap(d->io);
    char *from = path_join(h, d->path, STATE), *to = path_join(h, d->path, BEFORE);
    struct bytes text;
    enum err err;

    bytes_init(&text, h);
    err = whole_file_read(d->io, to, STATE_BYTES_MAX, &text);
    if (err == E_NOENT) {
        err = whole_file_read(d->io, from, STATE_BYTES_MAX, &text);
        if (!err)
            err = whole_file_replace(d->io, d->path, BEFORE, bytes_slice(&text));
        else if (err == E_NOENT) /* it followed */
            err = E_OK;
    }
    bytes_drop(&text);
    heap_free(h, to);
    heap_free(h, from);
    return err;
}

static struct voters alone(const struct local_disk *d)
{
    struct voters v = {.n = 1, .kraft_version = 1};
    struct uuid chance;
    int32_t server;

    do {
        io_random(d->io, chance.b, sizeof(chance.b));
        server = voter_server_added(&chance);
    } while (voters_of_server(&d->voters, server) >= 0);
    v.v[0] = (struct voter){
        .server_id = server, .node = d->settings->node_id, .directory_id = d->settings->directory_id};
    return v;
}

static enum err append(struct local_disk *d, const struct voters *v, int32_t epoch)
{
    struct batch_place at = {.base_offset = log_end(d->log), .epoch = epoch, .now_ms = io_wall_ms(d->io)};
    struct bytes out;
    struct arena a;
    enum err err;

    bytes_init(&out, io_heap(d->io));
    arena_init(&a, io_heap(d->io), SIZE_MAX);
    voters_batch(&at, v, &a, &out);
    err = local_disk_append(d, bytes_slice(&out));
    if (!err)
        err = local_disk_sync(d);
    arena_drop(&a);
    bytes_drop(&out);
    return err;
}

static enum err rewrite(struct local_disk *d, const struct quorum_state *before, struct recovery *out)
{
    const struct voters v = alone(d);
    struct quorum_state now = *before;

    now.leader_id = now.voted_id = -1;
    now.voted_directory_id = (struct uuid){{0}};
    now.removed_index = 0;
    now.leader_epoch = epoch_before(d, before) + RECOVER_EPOCHS;
    if (local_disk_failed(d, state_keep(d), "keeping quorum-state as " BEFORE) ||
        local_disk_failed(d, quorum_state_write(d->io, d->path, &now), "writing quorum-state") ||
        local_disk_failed(d, append(d, &v, now.leader_epoch), "writing the configuration"))
        return d->err;
    out->epoch = now.leader_epoch;
    return E_OK;
}

enum err recover(struct io *io, const struct quorum_settings *settings, bool write, struct recovery *out)
{
    struct image *image = NULL;
    struct quorum_state state;
    struct local_disk d;
    enum err err;

    *out = (struct recovery){.what = ""};
    local_disk_init(&d, io, settings);
    err = look(&d, &image, &state, out);
    if (!err && write)
        err = rewrite(&d, &state, out);
    if (image)
        image_unref(image, &d.grave);
    grave_empty(&d.grave);
    out->what = d.what;
    if (!d.err)
        err = local_disk_close(&d);
    else
        (void)!local_disk_close(&d); /* an error is there already */
    return err;
}
