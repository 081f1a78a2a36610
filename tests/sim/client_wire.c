#include "tests/sim/client_wire.h"
#include "base/check.h"
#include "proto/bigend.h"

static const int64_t PATIENCE_NS = 5000000000;

/* ---- asks ---- */

void wire_ask_init(struct wire_ask *a, struct io *io)
{
    *a = (struct wire_ask){0};
    list_init(&a->link);
    arena_init(&a->arena, io_heap(io), SIZE_MAX);
    bytes_init(&a->frame, io_heap(io));
}

void *wire_in(struct wire_ask *a, int16_t key)
{
    ASSERT(!a->wire);
    arena_reset(&a->arena);
    a->api = proto_api(key);
    return proto_new(a->api->request, &a->arena, 1);
}

void wire_ask_drop(struct wire_ask *a)
{
    ASSERT(!a->wire);
    arena_drop(&a->arena);
    bytes_drop(&a->frame);
}

/* Once its bytes are back and its answer is known. */
static void ask_end(struct wire_ask *a)
{
    if (a->sending || !a->done_due)
        return;
    a->done_due = false;
    a->wire = NULL;
    a->done(a); /* last touch */
}

static void ask_answered(struct wire_ask *a, enum err err)
{
    list_remove(&a->link);
    a->err = err;
    a->done_due = true;
    ask_end(a);
}

static void ask_sent(struct out *out, enum err err)
{
    struct wire_ask *a = container_of(out, struct wire_ask, sent);

    a->sending = false;
    if (a->silent && !a->done_due)
        ask_answered(a, err);
    else
        ask_end(a);
}

static void timer_again(struct wire *w)
{
    const struct wire_ask *a = list_first(&w->asks, struct wire_ask, link);

    timer_stop(&w->timer);
    if (a)
        timer_set(w->loop, &w->timer, a->asked + (a->patience ? a->patience : w->patience));
}

bool wire_ask(struct wire *w, struct wire_ask *a, int version, const void *in)
{
    if (!w->open || w->closing)
        return false;
    ASSERT(!a->wire);
    a->wire = w;
    a->version = (int16_t)(version < 0 ? a->api->stable_max : version);
    a->correlation = ++w->next;
    a->out = NULL;
    a->err = E_OK;
    a->asked = loop_now(w->loop);
    a->frame.len = 0;
    ASSERT(proto_request_frame(a->api, a->version, a->correlation, SLICE("sim"), in, &a->frame, NULL) ==
           E_OK);
    list_add(&w->asks, &a->link);
    a->part = (struct part){.mem = bytes_slice(&a->frame)};
    a->sent = (struct out){.v = &a->part, .n = 1, .done = ask_sent};
    a->sending = true;
    timer_again(w);
    sock_send(&w->sock, &a->sent);
    return true;
}

/* ---- the connection ---- */

/* false: the connection is broken. */
static bool wire_answer(struct wire *w, struct slice frame)
{
    struct wire_ask *a = list_first(&w->asks, struct wire_ask, link);
    struct slice own;
    int32_t correlation;

    while (a && a->silent)
        a = a->link.next == &w->asks ? NULL : container_of(a->link.next, struct wire_ask, link);
    if (proto_response_header(frame, &correlation) != E_OK || !a || a->correlation != correlation)
        return false;
    own = arena_copy(&a->arena, frame);
    a->out = proto_new(a->api->response, &a->arena, 1);
    if (proto_response_body(a->api, a->version, own, &a->arena, a->out) != E_OK)
        return false;
    ask_answered(a, E_OK);
    return true;
}

static void wire_opened(struct sock *s)
{
    struct wire *w = container_of(s, struct wire, sock);

    w->open = true;
    w->opens++;
    if (w->opened)
        w->opened(w);
}

static struct slice wire_room(struct sock *s)
{
    struct wire *w = container_of(s, struct wire, sock);

    return slice_of(w->room, sizeof(w->room));
}

static void wire_came(struct sock *s, size_t len)
{
    struct wire *w = container_of(s, struct wire, sock);
    size_t at = 0;

    if (w->closing)
        return;
    bytes_add(&w->in, w->room, len);
    while (w->in.len - at >= 4 && w->in.len - at - 4 >= get_be32(w->in.p + at)) {
        size_t n = get_be32(w->in.p + at);
        ASSERT(wire_answer(w, slice_of(w->in.p + at + 4, n)));
        if (w->closing)
            return;
        at += 4 + n;
    }
    memmove(w->in.p, w->in.p + at, w->in.len - at);
    w->in.len -= at;
    timer_again(w);
}

static void wire_closed(struct sock *s, enum err why)
{
    struct wire *w = container_of(s, struct wire, sock);

    timer_stop(&w->timer);
    w->open = w->dialled = w->closing = false;
    w->in.len = 0;
    while (!list_empty(&w->asks))
        ask_answered(list_first(&w->asks, struct wire_ask, link), why ? why : E_EOF);
    if (w->lost)
        w->lost(w, why);
}

static const struct sock_ops wire_ops = {wire_opened, wire_room, wire_came, wire_closed};

static void wire_late(struct timer *t)
{
    wire_cut(container_of(t, struct wire, timer));
}

void wire_init(struct wire *w, struct io *io, struct loop *loop)
{
    *w = (struct wire){.io = io, .loop = loop, .patience = PATIENCE_NS, .timer.fire = wire_late};
    list_init(&w->asks);
    list_init(&w->timer.link);
    bytes_init(&w->in, io_heap(io));
}

void wire_dial(struct wire *w, const struct addr *to)
{
    ASSERT(!w->dialled);
    w->dialled = true;
    w->closing = false;
    w->next = 0;
    sock_dial(w->loop, &w->sock, &wire_ops, to);
    timer_set(w->loop, &w->timer, loop_now(w->loop) + w->patience); /* nobody may be there */
}

void wire_cut(struct wire *w)
{
    if (!w->dialled)
        return;
    w->closing = true;
    timer_stop(&w->timer);
    sock_close(&w->sock);
    sock_close(&w->sock);
}
