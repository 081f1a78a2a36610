/* One connection: bytes in, frames to dispatch, answers out in order.
 *
 * A read goes where the next bytes belong: into the frame that is being filled, else into the loop's scratch buffer,
 * from which whatever it holds is parsed at once (conn_eat). What may not be parsed yet is kept in the stash, which counts
 * against the budget; while there is a stash the connection isn't read. While others on the loop wait for budget, only
 * the four bytes of a frame's length are read, so no stash comes from waiting.
 *
 * Invariants, checked by conn_check():
 *   1. a frame is being filled only if its whole length has been read and its size has been taken from the budget;
 *   2. a connection waits for budget only between a frame's length and its body;
 *   3. answers are sent in the order of requests: in_send holds a prefix of what came, requests the rest. */
#include "broker/net/internal.h"
#include "proto/bigend.h"

static void conn_check(const struct conn *c)
{
    ASSERT(!c->reading || c->got == 4);
    ASSERT(c->reading == NULL || list_empty(&c->wait));
    ASSERT(list_empty(&c->wait) || c->got == 4);
    ASSERT(c->sending == !list_empty(&c->in_send));
}

static bool may_take(const struct conn *c)
{
    return c->state == CONN_OPEN && list_empty(&c->wait) && c->n_requests < CONN_REQUESTS_MAX &&
           c->unsent < CONN_UNSENT_MAX;
}

/* The quiet ones stay in front; the timer looks at the first. */
static void touch(struct conn *c)
{
    c->touched = loop_now(c->net->loop);
    list_remove(&c->link);
    list_add(&c->net->conns, &c->link);
}

/* The next in the queue may want less than this one did. */
static void queue_leave(struct conn *c)
{
    if (list_empty(&c->wait))
        return;
    list_remove(&c->wait);
    budget_give(&c->net->budget, 0, false);
}

void conn_close(struct conn *c)
{
    if (c->state == CONN_CLOSING)
        return;
    c->state = CONN_CLOSING;
    queue_leave(c);
    sock_close(&c->sock);
    sock_close(&c->sock);
}

/* ---- Reading ---- */

static void slow_watch(struct net *net)
{
    if (list_empty(&net->slow.link))
        timer_set(net->loop, &net->slow, loop_now(net->loop) + SLOW_CHECK_NS);
}

static void frame_take(struct conn *c, bool pass)
{
    size_t size = get_be32(c->head);
    struct net *net = c->net;

    c->reading = request_new(net, size);
    c->reading->charged = (int64_t)size;
    c->reading->pass = pass;
    c->reading->r.conn = c;
    c->reading->r.came = loop_now(net->loop);
    c->read = 0;
    list_add(&net->filling, &c->reading->r.link);
    slow_watch(net);
}

static bool frame_begin(struct conn *c)
{
    size_t size = get_be32(c->head);
    bool pass;

    if (size < FRAME_MIN || size > (size_t)c->net->shared->limits.request_bytes_max) {
        TRACE(c->net->io, net_frame_size, size, c->net->shared->limits.request_bytes_max);
        conn_close(c);
        return false;
    }
    if (list_empty(&c->net->budget.queue) && budget_take(&c->net->budget, (int64_t)size, &pass)) {
        frame_take(c, pass);
        return true;
    }
    if (size <= SMALL_FRAME && budget_take_aside(c->net->budget.budget, (int64_t)size)) {
        frame_take(c, false);
        c->reading->aside = true;
        return true;
    }
    budget_wait(&c->net->budget, &c->wait);
    return false;
}

static void frame_done(struct conn *c)
{
    struct net_request *q = c->reading;

    c->reading = NULL;
    c->got = 0;
    list_remove(&q->r.link);
    q->r.listener = c->door->config;
    q->r.principal = &c->net->owner->node->anonymous;
    q->r.peer = &c->peer;
    q->r.came = loop_now(c->net->loop);
    c->n_requests++;
    list_add(&c->requests, &q->r.link);
    if (!dispatch(q))
        conn_close(c);
}

/* Moves what is there into `to`, unless it was read there. */
static size_t fill(uint8_t *to, size_t want, struct slice in)
{
    size_t n = in.len < want ? in.len : want;

    if (to != in.p)
        memcpy(to, in.p, n);
    return n;
}

/* Parses what it may and says how much that was. */
static size_t conn_eat(struct conn *c, struct slice in)
{
    size_t at = 0;

    c->corked = true;
    while (at < in.len && (c->reading ? c->state == CONN_OPEN : may_take(c))) {
        struct slice rest = slice_of(in.p + at, in.len - at);

        if (!c->reading) {
            size_t n = fill(c->head + c->got, sizeof(c->head) - c->got, rest);

            at += n;
            c->got += (uint8_t)n;
            if (c->got == sizeof(c->head) && !frame_begin(c))
                break;
            continue;
        }
        size_t n = fill(c->reading->r.frame.p + c->read, c->reading->r.frame.len - c->read, rest);
        at += n;
        c->read += n;
        if (c->read == c->reading->r.frame.len)
            frame_done(c);
    }
    c->corked = false;
    conn_flush(c);
    conn_check(c);
    return at;
}

static void stash(struct conn *c, struct slice in)
{
    if (c->state != CONN_OPEN || in.len == 0)
        return;
    ASSERT(!c->stash);
    budget_force(&c->net->budget, (int64_t)in.len);
    c->stash = heap_resize(c->net->heap, NULL, in.len);
    memcpy(c->stash, in.p, in.len);
    c->stash_at = 0;
    c->stash_len = in.len;
}

static void stash_drop(struct conn *c)
{
    if (!c->stash)
        return;
    heap_free(c->net->heap, c->stash);
    c->stash = NULL;
    budget_give(&c->net->budget, (int64_t)c->stash_len, false);
}

void conn_resume(struct conn *c)
{
    if (c->corked || c->state != CONN_OPEN)
        return;
    if (c->stash) {
        struct slice in = slice_of(c->stash + c->stash_at, c->stash_len - c->stash_at);

        c->stash_at += conn_eat(c, in);
        if (c->stash_at < c->stash_len && c->state == CONN_OPEN)
            return;
        stash_drop(c);
    }
    if (c->reading || may_take(c))
        sock_more(&c->sock);
}

int64_t conn_wait_size(struct list *waiter)
{
    return get_be32(container_of(waiter, struct conn, wait)->head);
}

void conn_wait_granted(struct list *waiter, bool pass)
{
    struct conn *c = container_of(waiter, struct conn, wait);

    ASSERT(c->state == CONN_OPEN && !c->reading && c->got == 4);
    frame_take(c, pass);
    conn_resume(c);
}

static struct slice conn_room(struct sock *s)
{
    struct conn *c = container_of(s, struct conn, sock);

    if (c->state != CONN_OPEN || c->stash)
        return SLICE_NULL;
    if (c->reading)
        return slice_of(c->reading->r.frame.p + c->read, c->reading->r.frame.len - c->read);
    if (!may_take(c))
        return SLICE_NULL;
    if (!list_empty(&c->net->budget.queue))
        return slice_of(c->head + c->got, sizeof(c->head) - c->got);
    return slice_of(c->net->scratch, sizeof(c->net->scratch));
}

static void conn_came(struct sock *s, size_t len)
{
    struct conn *c = container_of(s, struct conn, sock);
    struct slice room = conn_room(s); /* nothing has changed since it was given */
    struct slice in = slice_of(room.p, len);

    ASSERT(len > 0 && len <= room.len);
    touch(c);
    size_t ate = conn_eat(c, in);
    stash(c, slice_of(in.p + ate, in.len - ate));
}

/* ---- Writing ---- */

static void conn_sent(struct out *out, enum err err)
{
    struct net_request *first = container_of(out, struct net_request, r.sent);
    struct conn *c = first->r.conn;

    (void)err; /* an error comes again as the connection's end */
    c->sending = false;
    while (!list_empty(&c->in_send)) {
        struct net_request *q = container_of(c->in_send.next, struct net_request, r.link);

        list_remove(&q->r.link);
        list_remove(&q->turn);
        c->unsent -= q->reply_bytes;
        c->n_requests--;
        request_free(q);
    }
    if (c->state == CONN_CLOSING)
        return;
    touch(c);
    conn_flush(c);
    if (c->state == CONN_DRAINING && c->n_requests == 0)
        conn_close(c);
    conn_resume(c);
}

/* The parts of all of in_send, one after the other; a single answer's are taken as they are. */
static void gather(struct conn *c, struct net_request *first, int n_parts)
{
    struct part *v = first->parts;
    int n = 0;

    if (n_parts > first->n_parts) {
        v = arena_alloc(&first->r.arena, (size_t)n_parts * sizeof(*v));
        list_each (it, &c->in_send) {
            struct net_request *q = container_of(it, struct net_request, r.link);

            memcpy(v + n, q->parts, (size_t)q->n_parts * sizeof(*v));
            n += q->n_parts;
        }
    }
    first->r.sent = (struct out){.v = v, .n = n_parts, .done = conn_sent};
}

static void send_ready(struct conn *c)
{
    int n_parts = 0;

    while (!list_empty(&c->requests)) {
        struct net_request *q = container_of(c->requests.next, struct net_request, r.link);

        if (!q->r.ended)
            break;
        list_remove(&q->r.link);
        list_add(&c->in_send, &q->r.link);
        n_parts += q->n_parts;
        if (q->answer && long_pages(q->answer) > 1) {
            q->sent_from = loop_now(c->net->loop);
            list_add(&c->net->sending, &q->turn);
            slow_watch(c->net);
        }
    }
    if (n_parts == 0)
        return;
    struct net_request *first = container_of(c->in_send.next, struct net_request, r.link);

    gather(c, first, n_parts);
    c->sending = true;
    sock_send(&c->sock, &first->r.sent);
}

void conn_flush(struct conn *c)
{
    if (c->corked || c->state == CONN_CLOSING)
        return;
    if (!c->sending)
        send_ready(c);
    long_next(c);
}

/* ---- Beginning and end ---- */

static void conn_open(struct sock *s)
{
    touch(container_of(s, struct conn, sock));
}

/* What still runs goes on without a connection; what is ready has nowhere to go. */
static void orphan_all(struct conn *c)
{
    while (!list_empty(&c->requests)) {
        struct net_request *q = container_of(c->requests.next, struct net_request, r.link);

        list_remove(&q->r.link);
        q->r.conn = NULL;
        if (q->r.ended)
            request_free(q);
        else if (q->r.gone)
            q->r.gone(&q->r); /* may end it */
    }
}

static void conn_closed(struct sock *s, enum err why)
{
    struct conn *c = container_of(s, struct conn, sock);
    struct net *net = c->net;

    TRACE(net->io, net_closed, err_name(why));
    ASSERT(!c->sending);
    c->state = CONN_CLOSING;
    queue_leave(c);
    list_remove(&c->link);
    if (c->tie)
        c->tie->cut(c->tie);
    orphan_all(c);
    if (c->reading) {
        list_remove(&c->reading->r.link);
        request_free(c->reading);
    }
    stash_drop(c);
    net->n_conns--;
    if (net->n_conns == 0) {
        timer_stop(&net->idle);
        net_forget_frames(net);
        long_forget(net);
    }
    c->msg.run = door_conn_closed;
    loop_post(net->shared->loop, &c->msg);
    net_check_stopped(net);
}

static const struct sock_ops conn_ops = {
    .open = conn_open, .room = conn_room, .came = conn_came, .closed = conn_closed};

void conn_adopt(struct msg *msg)
{
    struct conn *c = container_of(msg, struct conn, msg);
    struct net *net = c->net;

    list_init(&c->wait);
    list_init(&c->requests);
    list_init(&c->in_send);
    c->touched = loop_now(net->loop);
    list_add(&net->conns, &c->link);
    if (net->n_conns++ == 0 && net->shared->limits.idle_ns > 0)
        timer_set(net->loop, &net->idle, c->touched + net->shared->limits.idle_ns);
    sock_adopt(net->loop, &c->sock, &conn_ops, c->ticket);
    if (net->stopping)
        conn_close(c);
}

/* ---- The loop's side ---- */

/* Closes those that were quiet too long; one whose requests wait for something isn't quiet. */
static void idle_fire(struct timer *timer)
{
    struct net *net = container_of(timer, struct net, idle);
    int64_t idle_ns = net->shared->limits.idle_ns, now = loop_now(net->loop);

    while (!list_empty(&net->conns)) {
        struct conn *c = container_of(net->conns.next, struct conn, link);

        if (c->touched + idle_ns > now) {
            timer_set(net->loop, &net->idle, c->touched + idle_ns);
            return;
        }
        if (c->n_requests == 0)
            conn_close(c);
        touch(c);
    }
}

/* So does who asks for a long answer and doesn't read it. */
static void slow_answers(struct net *net, int64_t now)
{
    list_each (it, &net->sending) {
        struct net_request *q = container_of(it, struct net_request, turn);
        int64_t ms = (now - q->sent_from - SLOW_GRACE_NS) / 1000000;

        if (q->r.conn->state == CONN_CLOSING || ms <= 0 || (int64_t)q->reply_bytes >= ms * SLOW_BYTES_MS)
            continue;
        TRACE(net->io, net_answer_slow, q->reply_bytes, (int)((now - q->sent_from) / 1000000000));
        conn_close(q->r.conn);
    }
}

/* Who announces a large frame and then sends next to nothing keeps from the others what was set aside for it. While
 * somebody waits for budget, such a frame ends. */
static void slow_fire(struct timer *timer)
{
    struct net *net = container_of(timer, struct net, slow);
    int64_t now = loop_now(net->loop);

    if (list_empty(&net->filling) && list_empty(&net->sending))
        return;
    timer_set(net->loop, &net->slow, now + SLOW_CHECK_NS);
    if (!atomic_load(&net->shared->budget.waiting))
        return;
    slow_answers(net, now);
    list_each (it, &net->filling) {
        struct net_request *q = container_of(it, struct net_request, r.link);
        int64_t ms = (now - q->r.came - SLOW_GRACE_NS) / 1000000;

        if (q->r.conn->state == CONN_CLOSING || ms <= 0 || (int64_t)q->r.conn->read >= ms * SLOW_BYTES_MS)
            continue;
        TRACE(net->io, net_frame_slow, q->r.conn->read, q->r.frame.len,
              (int)((now - q->r.came) / 1000000000));
        conn_close(q->r.conn);
    }
}

static void grace_fire(struct timer *timer)
{
    struct net *net = container_of(timer, struct net, grace);

    list_each (it, &net->conns)
        conn_close(container_of(it, struct conn, link));
}

void net_check_stopped(struct net *net)
{
    if (!net->stopping || net->n_conns || net->n_requests || !net->stopped)
        return;
    void (*stopped)(void *arg) = net->stopped;

    timer_stop(&net->grace);
    timer_stop(&net->slow);
    net->stopped = NULL;
    stopped(net->stopped_arg);
}

void net_stop(struct net *net, int64_t grace_ns, void (*done)(void *arg), void *arg)
{
    ASSERT(!net->stopping);
    net->stopping = true;
    net->stopped = done;
    net->stopped_arg = arg;
    list_each_safe (it, &net->conns) {
        struct conn *c = container_of(it, struct conn, link);

        if (c->state != CONN_OPEN)
            continue;
        c->state = CONN_DRAINING;
        queue_leave(c);
        if (c->n_requests == 0)
            conn_close(c);
    }
    if (net->n_conns)
        timer_set(net->loop, &net->grace, loop_now(net->loop) + grace_ns);
    net_check_stopped(net);
}

void request_tie(struct request *r, struct conn_tie *tie)
{
    ASSERT(r->conn && !r->conn->tie);
    r->conn->tie = tie;
    tie->conn = r->conn;
}

void request_tie_end(struct conn_tie *tie)
{
    conn_close(tie->conn);
}

bool request_has_tie(const struct request *r)
{
    return r->conn && r->conn->tie;
}

struct conn_tie *request_tied(const struct request *r, void (*kind)(struct conn_tie *tie))
{
    return r->conn && r->conn->tie && r->conn->tie->cut == kind ? r->conn->tie : NULL;
}

void net_adopt(struct net *net)
{
    long_forget(net);
}

int net_connections(const struct net *net)
{
    return net->n_conns;
}

struct net *net_new(struct net_shared *s, struct net_loop *loop)
{
    struct net *net = heap_alloc(s->heap, sizeof(*net));

    net->shared = s;
    net->owner = loop;
    net->loop = loop->loop;
    net->io = s->io;
    net->heap = s->heap;
    net->idle.fire = idle_fire;
    net->grace.fire = grace_fire;
    net->slow.fire = slow_fire;
    list_init(&net->slow.link);
    list_init(&net->conns);
    list_init(&net->filling);
    list_init(&net->sending);
    list_init(&net->pool);
    budget_loop_init(&net->budget, &s->budget, net->loop);
    net->budget.granted = conn_wait_granted;
    net->budget.size = conn_wait_size;
    long_line_init(&net->line, net);
    return net;
}

void net_free(struct net *net)
{
    ASSERT(net->n_conns == 0 && net->n_requests == 0);
    net_forget_frames(net);
    long_forget(net);
    while (!list_empty(&net->pool)) {
        struct net_request *q = container_of(net->pool.next, struct net_request, r.link);

        list_remove(&q->r.link);
        arena_drop(&q->r.arena);
        bytes_drop(&q->buf);
        bytes_drop(&q->reply);
        heap_free(net->heap, q);
    }
    heap_free(net->heap, net);
}
