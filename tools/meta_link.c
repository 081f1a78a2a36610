#include "tools/meta_link.h"
#include "base/check.h"
#include <semaphore.h>

struct link {
    struct meta_asker asker;
    struct meta_live live;
    struct tool *t;
    sem_t back; /* the loop is done with what it was told: all below is the main thread's again */
    struct msg msg;
    struct client_call call;
    struct timer timer;
    int pause_ms;
    int32_t node;
    struct slice host;
    uint16_t port;
    enum err err;
};

/* ---- the NET loop ---- */

static void answered(struct client_call *call)
{
    struct link *k = call->arg;

    ASSERT(sem_post(&k->back) == 0); /* last touch */
}

static void run_begin(struct msg *msg)
{
    struct link *k = container_of(msg, struct link, msg);

    k->err = client_new(&k->t->options, &k->t->client);
    ASSERT(sem_post(&k->back) == 0);
}

static void run_ask(struct msg *msg)
{
    struct link *k = container_of(msg, struct link, msg);

    client_send(k->t->client, &k->call);
}

static void run_place(struct msg *msg)
{
    struct link *k = container_of(msg, struct link, msg);

    client_place(k->t->client, k->node, k->host, k->port);
    ASSERT(sem_post(&k->back) == 0);
}

static void pause_over(struct timer *timer)
{
    struct link *k = container_of(timer, struct link, timer);

    ASSERT(sem_post(&k->back) == 0);
}

static void run_pause(struct msg *msg)
{
    struct link *k = container_of(msg, struct link, msg);

    k->timer.fire = pause_over;
    timer_set(k->t->net, &k->timer, loop_now(k->t->net) + (int64_t)k->pause_ms * 1000000);
}

static void gone(void *arg)
{
    struct link *k = arg;

    loop_stop(k->t->disk, NULL, NULL);
    loop_stop(k->t->net, NULL, NULL);
}

static void run_end(struct msg *msg)
{
    struct link *k = container_of(msg, struct link, msg);

    if (k->t->client)
        client_close(k->t->client, gone, k);
    else
        gone(k);
}

/* ---- the main thread ---- */

static void wait(struct link *k, void (*run)(struct msg *msg))
{
    k->msg.run = run;
    loop_post(k->t->net, &k->msg);
    while (sem_wait(&k->back) != 0)
        ; /* a signal came */
}

static enum err link_ask(struct meta_asker *q, int32_t node, int16_t api_key, const void *in, struct arena *a,
                         const void **out)
{
    struct link *k = container_of(q, struct link, asker);

    client_call_init(&k->call, api_key, node < 0 ? client_any() : client_node(node), in, a);
    if (api_key == API_Fetch)
        k->call.version_min = 13; /* by topic id */
    k->call.done = answered;
    k->call.arg = k;
    wait(k, run_ask);
    *out = k->call.out;
    return k->call.err;
}

static void link_place(struct meta_asker *q, int32_t node, struct slice host, uint16_t port)
{
    struct link *k = container_of(q, struct link, asker);

    k->node = node;
    k->host = host;
    k->port = port;
    wait(k, run_place);
}

static void link_pause(struct meta_asker *q, int ms)
{
    struct link *k = container_of(q, struct link, asker);

    k->pause_ms = ms;
    wait(k, run_pause);
}

static void link_end(struct tool *t, void *arg)
{
    struct link *k = arg;

    k->msg.run = run_end;
    loop_post(t->net, &k->msg);
}

bool meta_link_place(struct tool *t, struct meta_place *out)
{
    struct link *k = arena_alloc(&t->arena, sizeof(*k));

    if (!tool_options(t, "bootstrap-controller"))
        return false;
    k->t = t;
    k->asker = (struct meta_asker){.ask = link_ask, .place = link_place, .pause = link_pause};
    ASSERT(sem_init(&k->back, 0, 0) == 0);
    tool_loops(t);
    t->behind = link_end;
    t->behind_arg = k;
    wait(k, run_begin);
    if (k->err)
        tool_usage(t, "--bootstrap-controller takes host:port, or several separated by commas, not \"%s\"",
                   t->options.bootstrap);
    else if (!meta_live_begin(&k->live, t, &k->asker, t->options.bootstrap, out))
        tool_fail(t, "%s", k->live.why);
    return !t->ended;
}
