#include "base/check.h"
#include "client_node_internal.h"
#include <stdio.h>
#include <stdlib.h>

static const int64_t REDIAL_NS = 200000000, PATIENCE_NS = 8000000000;

/* ---- links ---- */

static void link_again(struct timer *t)
{
    struct link *l = container_of(t, struct link, again);
    struct addr to = sim_addr(l->c->server, 9092);

    l->c->tally.dials++;
    wire_dial(&l->wire, &to);
}

static void link_lost(struct wire *w, enum err why)
{
    link_dial(w->arg);
}

static void link_opened(struct wire *w)
{
    struct link *l = w->arg;

    if (l->fresh)
        l->fresh(l);
    l->ticked(l);
}

static void link_ticked(struct timer *t)
{
    struct link *l = container_of(t, struct link, tick);

    if (l->wire.open)
        l->ticked(l);
}

void link_init(struct link *l, struct clients *c)
{
    l->c = c;
    wire_init(&l->wire, c->io, c->loop);
    l->wire.patience = PATIENCE_NS;
    l->wire.opened = link_opened;
    l->wire.lost = link_lost;
    l->wire.arg = l;
    list_init(&l->again.link);
    list_init(&l->tick.link);
    l->again.fire = link_again;
    l->tick.fire = link_ticked;
}

void link_dial(struct link *l)
{
    timer_set(l->c->loop, &l->again, loop_now(l->c->loop) + (int64_t)sim_below(l->c->s, (uint64_t)REDIAL_NS));
}

void link_tick(struct link *l, int64_t max_ns)
{
    timer_set(l->c->loop, &l->tick, loop_now(l->c->loop) + (int64_t)sim_below(l->c->s, (uint64_t)max_ns));
}

/* ---- the set of clients ---- */

struct clients *clients_new(struct sim *s, int node, int server)
{
    struct clients *c = calloc(1, sizeof(*c));

    c->s = s;
    c->node = node;
    c->server = server;
    c->io = sim_node(s, node);
    c->loop = loop_start(c->io, LOOP_NET, "clients");
    return c;
}

struct book *clients_book(struct clients *c, const char *topic, int partition)
{
    for (int i = 0; i < c->n_books; i++)
        if (strcmp(c->books[i].topic, topic) == 0 && c->books[i].partition == partition)
            return &c->books[i];
    ASSERT(false);
}

int clients_books(struct clients *c, struct book **v)
{
    *v = c->books;
    return c->n_books;
}

const struct clients_tally *clients_tally(const struct clients *c)
{
    return &c->tally;
}

enum promise promise_of(const struct book *b, bool durable_then)
{
    return durable_then && b->durable ? PROMISED_DURABLE : PROMISED;
}

void clients_topic(struct clients *c, const char *topic, int partitions, const char *settings)
{
    struct fixed *t = &c->topics[c->n_topics++];

    ASSERT(c->n_topics <= TOPICS_MAX && partitions <= PARTS_MAX);
    snprintf(t->name, sizeof(t->name), "%s", topic);
    t->partitions = partitions;
    t->settings = settings;
    for (int i = 0; i < partitions; i++) {
        struct book *b = &c->books[c->n_books++];
        ASSERT(c->n_books <= BOOKS_MAX);
        book_init(b, topic, i);
        b->durable = strstr(settings, "log.durable=true") != NULL;
        b->stamped = strstr(settings, "LogAppendTime") != NULL;
    }
}

bool topics_ready(const struct clients *c)
{
    for (int i = 0; i < c->n_topics; i++)
        if (!c->topics[i].made)
            return false;
    return true;
}

void clients_maker(struct clients *c, struct book *b, int16_t acks, bool idempotent)
{
    struct maker *m = heap_alloc(io_heap(c->io), sizeof(*m));

    ASSERT(c->n_makers < MAKERS_MAX);
    c->makers[c->n_makers++] = m;
    link_init(&m->link, c);
    m->book = b;
    m->acks = acks;
    m->idempotent = idempotent;
    m->id = -1;
}

void clients_reader(struct clients *c, const char *topic)
{
    struct reader *r = heap_alloc(io_heap(c->io), sizeof(*r));

    ASSERT(c->n_readers < READERS_MAX);
    c->readers[c->n_readers++] = r;
    link_init(&r->link, c);
    snprintf(r->topic, sizeof(r->topic), "%s", topic);
    for (int i = 0; i < c->n_books; i++)
        if (strcmp(c->books[i].topic, topic) == 0)
            r->books[r->n++] = &c->books[i];
}

void clients_admin(struct clients *c)
{
    c->admin = heap_alloc(io_heap(c->io), sizeof(*c->admin));
    link_init(&c->admin->link, c);
}

void clients_clock(struct clients *c, int64_t ahead_ms)
{
    if (c->ahead_ms < -AFTER_MAX_MS / 2)
        c->behind_until = sim_now(c->s);
    c->clock_changed = sim_now(c->s);
    c->ahead_ms = ahead_ms;
}

static void start_run(struct msg *msg)
{
    struct clients *c = container_of(msg, struct clients, start);

    admin_start(c->admin);
    for (int i = 0; i < c->n_makers; i++)
        maker_start(c->makers[i]);
    for (int i = 0; i < c->n_readers; i++)
        reader_start(c->readers[i]);
}

void clients_one_of_several(struct clients *c)
{
    c->one_of_several = true;
}

bool passing(const struct clients *c, int16_t code)
{
    return code == err_wire(E_KAFKA_STORAGE_ERROR) ||
           code == err_wire(E_NOT_LEADER_OR_FOLLOWER) || /* its directory is known to be lost */
           (c->one_of_several &&
            (code == err_wire(E_UNKNOWN_TOPIC_OR_PARTITION) || code == err_wire(E_LEADER_NOT_AVAILABLE)));
}

void clients_rest(struct clients *c)
{
    c->to_goal = false;
}

void clients_start(struct clients *c)
{
    c->start.run = start_run;
    loop_post(c->loop, &c->start);
}

void clients_goal(struct clients *c, int n)
{
    for (int i = 0; i < c->n_makers; i++)
        c->makers[i]->goal = n;
    for (int i = 0; i < c->n_readers; i++)
        for (int p = 0; p < c->readers[i]->n; p++) {
            c->readers[i]->done[p] = c->readers[i]->from_start[p] = false;
            c->readers[i]->lost_place[p] = true;
        }
    c->admin->goal = c->admin->rounds + 20;
    c->to_goal = true;
}

bool clients_reached(const struct clients *c)
{
    for (int i = 0; i < c->n_makers; i++)
        if (c->makers[i]->goal > 0)
            return false;
    for (int i = 0; i < c->n_readers; i++)
        for (int p = 0; p < c->readers[i]->n; p++)
            if (!c->readers[i]->done[p])
                return false;
    return c->admin->rounds >= c->admin->goal;
}

void clients_say(const struct clients *c)
{
    for (int i = 0; i < c->n_makers; i++)
        fprintf(stderr, "maker %d of %s-%d (acks %d%s): %d to go, %d in flight%s\n", i,
                c->makers[i]->book->topic, c->makers[i]->book->partition, c->makers[i]->acks,
                c->makers[i]->idempotent ? ", idempotent" : "", c->makers[i]->goal, c->makers[i]->flight,
                c->makers[i]->link.wire.open ? "" : ", not connected");
    for (int i = 0; i < c->n_readers; i++)
        for (int p = 0; p < c->readers[i]->n; p++)
            fprintf(stderr, "reader %d of %s-%d at %lld of %lld%s%s\n", i, c->readers[i]->topic, p,
                    (long long)c->readers[i]->position[p], (long long)c->readers[i]->books[p]->promised_end,
                    c->readers[i]->from_start[p] ? ", from the start" : "",
                    c->readers[i]->done[p] ? ", done" : "");
    fprintf(stderr, "admin: %d of %d rounds\n", c->admin->rounds, c->admin->goal);
}

void clients_drop(struct clients *c)
{
    for (int i = 0; i < c->n_books; i++)
        book_drop(&c->books[i]);
    sim_crash(c->s, c->node, SIM_PROCESS);
    free(c);
}
