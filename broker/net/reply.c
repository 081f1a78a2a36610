/* Requests: made for a frame, ended by their handlers, answered in parts, freed when the answer is written.
 *
 * An answer is its encoded bytes with what is elsewhere between them, records or the pages of a long answer
 * (long_answer.h): one part for each stretch. */
#include "broker/net/internal.h"
#include "proto/field.h"

/* ---- Memory ---- */

static void buffer_trim(struct bytes *b)
{
    b->len = 0;
    if (b->room > POOL_BYTES_MAX)
        bytes_drop(b);
}

/* Large frames' memory is kept for the next ones: the kernel would clear it anew for each of them. */
static void frame_make(struct net_request *q, size_t len)
{
    struct net *net = q->net;
    size_t step =
        len > POOL_BYTES_MAX ? (size_t)1 << (60 - __builtin_clzll(len)) : 1; /* an eighth at most is unused */

    for (int i = net->n_kept - 1; i >= 0 && len > q->buf.room; i--) {
        if (net->kept[i].room < len)
            continue;
        bytes_drop(&q->buf);
        q->buf = net->kept[i];
        net->kept_bytes -= q->buf.room;
        net->kept[i] = net->kept[--net->n_kept];
    }
    if (len > q->buf.room)
        bytes_drop(&q->buf); /* what it holds needn't move */
    (void)bytes_more(&q->buf, (len + step - 1) & ~(step - 1));
    q->r.frame = slice_of(q->buf.p, len);
}

static void frame_keep(struct net_request *q)
{
    struct net *net = q->net;

    if (q->buf.room <= POOL_BYTES_MAX || net->n_kept == KEPT_MAX ||
        net->kept_bytes + q->buf.room > KEPT_BYTES_MAX)
        return;
    q->buf.len = 0;
    net->kept_bytes += q->buf.room;
    net->kept[net->n_kept++] = q->buf;
    bytes_init(&q->buf, net->heap);
}

void net_forget_frames(struct net *net)
{
    while (net->n_kept > 0)
        bytes_drop(&net->kept[--net->n_kept]);
    net->kept_bytes = 0;
}

struct net_request *request_new(struct net *net, size_t frame_bytes)
{
    struct net_request *q;

    if (list_empty(&net->pool)) {
        q = heap_alloc(net->heap, sizeof(*q));
        q->net = net;
        q->r.net = net->owner;
        bytes_init(&q->buf, net->heap);
        bytes_init(&q->reply, net->heap);
        arena_init(&q->r.arena, net->heap, SIZE_MAX);
    } else {
        q = container_of(net->pool.next, struct net_request, r.link);
        list_remove(&q->r.link);
        net->n_pool--;
    }
    list_init(&q->r.link);
    list_init(&q->turn);
    frame_make(q, frame_bytes);
    net->n_requests++;
    return q;
}

/* Back to how it was made, but for the memory that is worth keeping. */
static void request_clear(struct net_request *q)
{
    struct net_request old = *q;

    *q = (struct net_request){.net = old.net, .buf = old.buf, .reply = old.reply};
    q->r.net = old.r.net;
    q->r.arena = old.r.arena;
    list_init(&q->r.link);
}

void request_free(struct net_request *q)
{
    struct net *net = q->net;

    for (int i = 0; i < q->r.n_ranges; i++)
        if (q->r.ranges[i].file)
            file_unref(q->r.ranges[i].file);
    if (q->answer)
        long_unuse(q->answer);
    if (q->aside)
        budget_give_aside(net->budget.budget, q->charged);
    else
        budget_give(&net->budget, q->charged, q->pass);
    net->n_requests--;
    arena_reset(&q->r.arena);
    frame_keep(q);
    buffer_trim(&q->buf);
    buffer_trim(&q->reply);
    if (net->n_pool < POOL_MAX) {
        request_clear(q);
        list_add_first(&net->pool, &q->r.link);
        net->n_pool++;
    } else {
        arena_drop(&q->r.arena);
        bytes_drop(&q->buf);
        bytes_drop(&q->reply);
        heap_free(net->heap, q);
    }
    net_check_stopped(net);
}

/* ---- Encoding ---- */

static void throttle_set(struct request *r)
{
    for (int i = 0; i < r->handler->out->n_fields; i++) {
        const struct proto_field *f = &r->handler->out->fields[i];

        if (f->kind == PROTO_INT32 && strcmp(f->name, "throttleTimeMs") == 0)
            memcpy((char *)r->out + f->offset, &r->throttle_ms, sizeof(r->throttle_ms));
    }
}

/* The encoded bytes, cut where other bytes belong between them. */
static void parts_set(struct net_request *q, const struct proto_cuts *cuts)
{
    int pages = q->answer ? long_pages(q->answer) : 0, most = 2 * cuts->n + 1 + pages, n = 0, range = 0;
    size_t at = 0;

    q->parts =
        most <= PARTS_INLINE ? q->inline_parts : arena_alloc(&q->r.arena, (size_t)most * sizeof(*q->parts));
    for (int i = 0; i < cuts->n; i++) {
        const struct proto_cut *cut = &cuts->v[i];

        if (cut->at > at)
            q->parts[n++] =
                (struct part){.mem = slice_of(q->reply.p + at, cut->at - at), .len = cut->at - at};
        at = cut->at;
        if (cut->records.p != PROTO_ELSEWHERE) {
            q->parts[n++] = (struct part){.mem = cut->records, .len = cut->records.len};
        } else if (q->answer) {
            for (int p = 0; p < pages; p++)
                (void)long_part(q->answer, p, &q->parts[n++]);
        } else {
            ASSERT(range < q->r.n_ranges && q->r.ranges[range].len == cut->records.len);
            q->parts[n++] = q->r.ranges[range++];
        }
    }
    ASSERT(range == q->r.n_ranges);
    if (q->reply.len > at)
        q->parts[n++] =
            (struct part){.mem = slice_of(q->reply.p + at, q->reply.len - at), .len = q->reply.len - at};
    q->n_parts = n;
    q->reply_bytes = q->reply.len + cuts->len;
}

static enum err encode(struct net_request *q, size_t elements)
{
    struct request *r = &q->r;
    struct proto_cuts cuts = {.arena = &r->arena, .elements = elements};
    enum err err;

    if (r->throttle_ms)
        throttle_set(r);
    err = proto_response_frame(proto_api(r->handler->key), r->version, r->correlation, r->out, &q->reply,
                               &cuts);
    if (!err)
        parts_set(q, &cuts);
    return err;
}

/* ---- What handlers call ---- */

/* Leaves its connection; what waits behind it may go on. */
static void request_leave(struct net_request *q)
{
    struct conn *c = q->r.conn;

    list_remove(&q->r.link);
    request_free(q);
    if (!c)
        return;
    c->n_requests--;
    conn_flush(c);
    if (c->state == CONN_DRAINING && c->n_requests == 0)
        conn_close(c);
    conn_resume(c);
}

enum err request_encode_long(struct net_request *q, struct long_answer *a, int32_t n, size_t bytes)
{
    struct proto_array *array = q->plan.array;

    ASSERT(q->r.n_ranges == 0);
    q->answer = a;
    *array = (struct proto_array){.v = PROTO_ELSEWHERE, .n = n};
    return encode(q, bytes);
}

void request_encoded(struct net_request *q, enum err err)
{
    struct request *r = &q->r;

    ASSERT(!r->ended && r->conn);
    r->ended = true;
    if (err) {
        TRACE(q->net->io, net_bad_reply, r->handler->out->name, r->version, err_name(err));
        conn_close(r->conn);
        request_leave(q);
        return;
    }
    r->conn->unsent += q->reply_bytes;
    conn_flush(r->conn);
}

void request_reply(struct request *r)
{
    struct net_request *q = container_of(r, struct net_request, r);

    ASSERT(!r->ended && r->out);
    if (q->around)
        request_inside_end(q);
    else if (!r->conn)
        request_skip(r);
    else if (r->abandoned && !r->listener->controller)
        request_abort(r);
    else if (!request_reply_listed(r))
        request_encoded(q, encode(q, 0));
}

void request_skip(struct request *r)
{
    ASSERT(!r->ended);
    r->ended = r->silent = true;
    request_leave(container_of(r, struct net_request, r));
}

void request_abort(struct request *r)
{
    ASSERT(!r->ended);
    r->ended = r->silent = true;
    if (r->conn)
        conn_close(r->conn);
    request_leave(container_of(r, struct net_request, r));
}

struct slice request_range(struct request *r, const struct part *part)
{
    struct net_request *q = container_of(r, struct net_request, r);

    ASSERT(!r->ended && part->len > 0);
    if (r->n_ranges == q->ranges_room) {
        int room = q->ranges_room ? 2 * q->ranges_room : 8;
        struct part *v = arena_alloc(&r->arena, (size_t)room * sizeof(*v));

        if (r->n_ranges)
            memcpy(v, r->ranges, (size_t)r->n_ranges * sizeof(*v));
        r->ranges = v;
        q->ranges_room = room;
    }
    r->ranges[r->n_ranges++] = *part;
    return slice_of(PROTO_ELSEWHERE, part->len);
}
