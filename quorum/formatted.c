#include "quorum/formatted.h"
#include "base/check.h"
#include "log/whole_file.h"
#include "proto_gen.h"
#include "quorum/ckpt.h"

#define LOG_NAME "__cluster_metadata-0"
enum { BYTES_MAX = 1 << 16 };

bool formatted_names(const struct formatted *f, int32_t node, const struct uuid *directory_id)
{
    for (int i = 0; i < f->n; i++)
        if (f->v[i].node == node && uuid_eq(f->v[i].directory_id, *directory_id))
            return true;
    return false;
}

/* ---- writing ---- */

struct making {
    struct arena a;
    struct bytes out;
    struct batch_place at;
};

static struct control_record control(struct making *m, enum control_type type, const struct proto_type *t,
                                     const void *msg)
{
    struct control_record r = {.type = type};
    struct bytes value;
    enum err err;

    bytes_init(&value, m->a.heap);
    err = proto_encode(t, 0, msg, &value, NULL);
    ASSERT(!err);
    r.value = arena_copy(&m->a, bytes_slice(&value));
    bytes_drop(&value);
    return r;
}

static void add(struct making *m, const struct control_record *v, int n)
{
    batches_control(&m->at, v, n, &m->a, &m->out);
    m->at.base_offset += n;
}

static void add_voters(struct making *m, const char *listener, const struct formatted *f)
{
    struct KRaftVersionRecord version;
    struct VotersRecord record;
    struct control_record v[2];

    proto_defaults(&KRaftVersionRecord_type, &version);
    version.kraft_version = KRAFT_VERSION;
    proto_defaults(&VotersRecord_type, &record);
    PROTO_ARRAY_NEW(&m->a, VotersRecord_Voter, record.voters, f->n);
    for (int i = 0; i < f->n; i++) {
        struct VotersRecord_Voter *to = &record.voters.v[i];

        to->voter_id = f->v[i].node;
        to->voter_directory_id = f->v[i].directory_id;
        to->kraft_version_feature.max_supported_version = KRAFT_VERSION;
        PROTO_ARRAY_NEW(&m->a, VotersRecord_Endpoint, to->endpoints, 1);
        to->endpoints.v[0].name = SLICE(listener);
        to->endpoints.v[0].host = SLICE(f->v[i].host);
        to->endpoints.v[0].port = f->v[i].port;
    }
    v[0] = control(m, CONTROL_KRAFT_VERSION, &KRaftVersionRecord_type, &version);
    v[1] = control(m, CONTROL_KRAFT_VOTERS, &VotersRecord_type, &record);
    add(m, v, 2);
}

static void make(struct making *m, const char *listener, const struct formatted *f)
{
    struct SnapshotHeaderRecord head;
    struct SnapshotFooterRecord foot;
    struct control_record r;

    proto_defaults(&SnapshotHeaderRecord_type, &head);
    head.last_contained_log_timestamp = m->at.now_ms;
    r = control(m, CONTROL_SNAPSHOT_HEADER, &SnapshotHeaderRecord_type, &head);
    add(m, &r, 1);
    add_voters(m, listener, f);
    proto_defaults(&SnapshotFooterRecord_type, &foot);
    r = control(m, CONTROL_SNAPSHOT_FOOTER, &SnapshotFooterRecord_type, &foot);
    add(m, &r, 1);
}

static char *log_path(struct io *io, const char *dir)
{
    return path_join(io_heap(io), dir, LOG_NAME);
}

enum err formatted_write(struct io *io, const char *dir, const char *listener, const struct formatted *f)
{
    struct making m = {.at = {.now_ms = io_wall_ms(io)}};
    char *path = log_path(io, dir), name[CKPT_NAME_LEN + 1];
    enum err err = dir_make(io, path);

    ASSERT(f->n > 0 && f->n <= VOTERS_MAX);
    if (err == E_EXISTS)
        err = E_OK;
    if (!err)
        err = dir_sync(io, dir);
    arena_init(&m.a, io_heap(io), SIZE_MAX);
    bytes_init(&m.out, io_heap(io));
    ckpt_name((struct ckpt_id){0}, name);
    make(&m, listener, f);
    if (!err)
        err = whole_file_replace(io, path, name, bytes_slice(&m.out));
    bytes_drop(&m.out);
    arena_drop(&m.a);
    heap_free(io_heap(io), path);
    return err;
}

/* ---- reading ---- */

static enum err take_voter(const struct VotersRecord_Voter *r, struct formatted *out)
{
    struct formatted_voter *to = &out->v[out->n];
    const struct VotersRecord_Endpoint *at = r->endpoints.v;

    if (r->voter_id < 0 || uuid_is_zero(r->voter_directory_id) || r->endpoints.n < 1 || at->host.len == 0 ||
        at->host.len > FORMATTED_HOST_MAX || memchr(at->host.p, 0, at->host.len))
        return E_MALFORMED;
    for (int i = 0; i < out->n; i++)
        if (out->v[i].node == r->voter_id || uuid_eq(out->v[i].directory_id, r->voter_directory_id))
            return E_MALFORMED;
    *to = (struct formatted_voter){
        .node = r->voter_id, .directory_id = r->voter_directory_id, .port = at->port};
    memcpy(to->host, at->host.p, at->host.len);
    out->n++;
    return E_OK;
}

static enum err take_voters(const struct batch_content *c, struct arena *a, struct formatted *out)
{
    struct KRaftVersionRecord version;
    struct VotersRecord r;
    enum err err;

    if (c->n != 2 || c->control[0].type != CONTROL_KRAFT_VERSION ||
        c->control[1].type != CONTROL_KRAFT_VOTERS)
        return E_MALFORMED;
    err = proto_decode(&KRaftVersionRecord_type, 0, c->control[0].value, a, &version);
    if (!err)
        err = proto_decode(&VotersRecord_type, 0, c->control[1].value, a, &r);
    if (err)
        return err;
    if (version.version != 0 || version.kraft_version != KRAFT_VERSION || r.version != 0 ||
        r.voters.n > VOTERS_MAX)
        return E_UNSUPPORTED_VERSION;
    for (int i = 0; i < r.voters.n && !err; i++)
        err = take_voter(&r.voters.v[i], out);
    return err ? err : out->n > 0 ? E_OK : E_MALFORMED;
}

/* The records of Kafka's file may lie in any batches: the version and the voters in one. */
static enum err take(struct slice in, struct arena *a, struct formatted *out)
{
    struct batch_content c;
    bool footer = false;
    size_t used;
    enum err err = E_OK;

    out->n = 0;
    for (; in.len > 0 && !err; in = slice_of(in.p + used, in.len - used)) {
        used = 0;
        err = batches_read(in, a, &c, &used);
        if (!err && (!c.is_control || c.n < 1 || footer))
            err = E_MALFORMED;
        if (!err && c.control[0].type == CONTROL_KRAFT_VERSION)
            err = take_voters(&c, a, out);
        else if (!err)
            footer = c.control[0].type == CONTROL_SNAPSHOT_FOOTER;
    }
    if (!err && (!footer || out->n == 0))
        err = footer ? E_MALFORMED : E_TRUNCATED;
    return err;
}

enum err formatted_read(struct io *io, const char *dir, struct formatted *out)
{
    char *log = log_path(io, dir), name[CKPT_NAME_LEN + 1], *path;
    struct bytes in;
    struct arena a;
    enum err err;

    *out = (struct formatted){.n = 0};
    ckpt_name((struct ckpt_id){0}, name);
    path = path_join(io_heap(io), log, name);
    bytes_init(&in, io_heap(io));
    arena_init(&a, io_heap(io), BYTES_MAX * 4);
    err = whole_file_read(io, path, BYTES_MAX, &in);
    if (!err)
        err = take(bytes_slice(&in), &a, out);
    else if (err == E_NOENT)
        err = E_OK;
    if (err)
        *out = (struct formatted){.unread = err == E_IO};
    arena_drop(&a);
    bytes_drop(&in);
    heap_free(io_heap(io), path);
    heap_free(io_heap(io), log);
    return err;
}
