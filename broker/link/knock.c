#include "knock.h"
#include "base/check.h"

enum { NS_A_MS = 1000000 };

struct knocker {
    struct node *node;
    struct loop *control;
    int under_way;
    struct msg *ended;
    struct msg close;
    /* the NET loop's */
    struct loop *net;
    struct list dialled;
    bool closing;
};

/* ---- home again ---- */

static void end_check(struct knocker *k)
{
    if (k->ended && k->under_way == 0)
        loop_post(k->control, k->ended);
}

static void came_home(struct msg *msg)
{
    struct knock *one = container_of(msg, struct knock, msg);
    struct knocker *k = one->knocker;

    k->under_way--;
    one->done(one); /* its owner's again */
    end_check(k);
}

static void go_home(struct knock *one)
{
    one->msg.run = came_home;
    loop_post(one->knocker->control, &one->msg);
}

/* ---- on the NET loop ---- */

static struct slice no_room(struct sock *s)
{
    (void)s;
    return SLICE_NULL;
}

static void no_bytes(struct sock *s, size_t len)
{
    (void)s;
    (void)len;
    ASSERT(false); /* there was no room for any */
}

static void opened(struct sock *s)
{
    sock_close(s);
    sock_close(s);
}

static void closed(struct sock *s, enum err why)
{
    struct knock *one = container_of(s, struct knock, sock);

    one->refused = why == E_REFUSED;
    timer_stop(&one->timer);
    list_remove(&one->link);
    go_home(one);
}

static void too_long(struct timer *timer)
{
    opened(&container_of(timer, struct knock, timer)->sock);
}

static const struct sock_ops ops = {.open = opened, .room = no_room, .came = no_bytes, .closed = closed};

static void dial(struct msg *msg)
{
    struct knock *one = container_of(msg, struct knock, msg);
    struct knocker *k = one->knocker;

    if (k->closing || !one->found) {
        go_home(one);
        return;
    }
    list_add(&k->dialled, &one->link);
    one->timer.fire = too_long;
    timer_set(k->net, &one->timer, loop_now(k->net) + one->timeout_ms * NS_A_MS);
    sock_dial(k->net, &one->sock, &ops, &one->at);
}

static void close_home(struct msg *msg)
{
    struct knocker *k = container_of(msg, struct knocker, close);

    k->under_way--;
    end_check(k);
}

static void close_all(struct msg *msg)
{
    struct knocker *k = container_of(msg, struct knocker, close);

    k->closing = true;
    list_each_safe (it, &k->dialled)
        opened(&container_of(it, struct knock, link)->sock);
    k->close.run = close_home;
    loop_post(k->control, &k->close);
}

/* ---- on the reader's loop ---- */

static void look_up(struct msg *msg)
{
    struct knock *one = container_of(msg, struct knock, msg);
    int n = 0;

    one->found = addr_find(one->knocker->node->io, one->host, one->port, &one->at, 1, &n) == E_OK && n > 0;
    one->msg.run = dial;
    loop_post(one->knocker->net, &one->msg);
}

/* ---- on the control loop ---- */

void knocker_knock(struct knocker *k, struct knock *one)
{
    ASSERT(k->net && !k->ended);
    one->knocker = k;
    one->refused = one->found = false;
    k->under_way++;
    one->msg.run = look_up;
    loop_post(k->node->reader, &one->msg);
}

void knocker_end(struct knocker *k, struct msg *ended)
{
    ASSERT(!k->ended);
    k->ended = ended;
    if (k->net) {
        k->under_way++;
        k->close.run = close_all;
        loop_post(k->net, &k->close);
    }
    end_check(k);
}

struct knocker *knocker_new(struct node *node, struct loop *control)
{
    struct knocker *k = heap_alloc(node->heap, sizeof(*k));

    k->node = node;
    k->control = control;
    list_init(&k->dialled);
    return k;
}

void knocker_open(struct knocker *k, struct net_loop *net)
{
    k->net = net->loop;
}

void knocker_drop(struct knocker *k)
{
    ASSERT(k->under_way == 0);
    heap_free(k->node->heap, k);
}
