#include "base/check.h"
#include "cluster_client_internal.h"
#include "scenario.h"
#include "whole.h"
#include <stdio.h>
#include <stdlib.h>

static const int64_t TICK_NS = 200000000, REDIAL_NS = 200000000, PATIENCE_NS = 9000000000;
enum { BELOW_BROKERS = 16 };

void owned_name(const struct asker *a, int i, char name[TRUTH_NAME])
{
    snprintf(name, TRUTH_NAME, "of%d-%d", a->number, i);
}

/* ---- questions ---- */

void asker_ask(struct asker *a, enum question q, int version, const void *in)
{
    a->question = q;
    a->since = cbook_truth(a->c->book)->offset;
    a->c->tally.asked++;
    sim_note(a->c->s, "client %d asks node %d: question %d about %d", a->number, a->broker, q, a->at);
    (void)wire_ask(&a->wire, &a->ask, version, in);
}

/* With more than one, replicas that fall out of sync may be eligible. */
static void min_isr_set(struct asker *a, struct CreateTopicsRequest_CreatableTopic *t, int replicas)
{
    struct arena *m = &a->ask.arena;

    PROTO_ARRAY_NEW(m, CreateTopicsRequest_CreatableTopicConfig, t->configs, 1);
    t->configs.v[0].name = SLICE("min.insync.replicas");
    t->configs.v[0].value = SLICE(arena_printf(m, "%d", 1 + (int)sim_below(a->c->s, (uint64_t)replicas)));
}

static void create(struct asker *a, enum question q, int partitions, int replicas, bool only_look)
{
    struct CreateTopicsRequest *in = wire_in(&a->ask, API_CreateTopics);
    char name[TRUTH_NAME];

    owned_name(a, a->at, name);
    in->timeout_ms = TIMEOUT_MS;
    a->only_look = in->validate_only = only_look;
    PROTO_ARRAY_NEW(&a->ask.arena, CreateTopicsRequest_CreatableTopic, in->topics, 1);
    in->topics.v[0].name = arena_copy(&a->ask.arena, SLICE(name));
    in->topics.v[0].num_partitions = partitions;
    in->topics.v[0].replication_factor = (int16_t)replicas;
    if (replicas > 1)
        min_isr_set(a, &in->topics.v[0], replicas);
    asker_ask(a, q, CREATE_VERSION, in);
}

static void create_new(struct asker *a, int replicas)
{
    struct owned *o;

    if (a->n_owned == OWNED_MAX)
        return;
    a->at = a->n_owned++;
    o = &a->owned[a->at];
    *o = (struct owned){.is = OWN_MAYBE, .parts = 1 + (int)sim_below(a->c->s, PARTS_START_MAX)};
    create(a, ASK_CREATE, o->parts, replicas, false);
}

static void create_again(struct asker *a)
{
    struct owned *o = &a->owned[a->at];
    bool only_look = sim_below(a->c->s, 2) || o->asked_again;

    o->asked_again |= !only_look;
    create(a, ASK_CREATE_AGAIN, 1, 1, only_look);
}

static void delete (struct asker *a, enum question q)
{
    struct DeleteTopicsRequest *in = wire_in(&a->ask, API_DeleteTopics);
    struct slice *names = arena_alloc(&a->ask.arena, sizeof(*names));
    char name[TRUTH_NAME];

    if (q == ASK_DELETE && a->owned[a->at].asked_again)
        return;
    owned_name(a, a->at, name);
    names[0] = arena_copy(&a->ask.arena, SLICE(name));
    in->topic_names.v = names;
    in->topic_names.n = 1;
    in->timeout_ms = TIMEOUT_MS;
    if (q == ASK_DELETE)
        a->owned[a->at].is = OWN_LEAVING;
    asker_ask(a, q, 5, in);
}

static void grow(struct asker *a)
{
    struct CreatePartitionsRequest *in = wire_in(&a->ask, API_CreatePartitions);
    struct owned *o = &a->owned[a->at];
    char name[TRUTH_NAME];

    if (o->growing || o->parts + 1 >= TRUTH_PARTS)
        return;
    o->growing = true;
    owned_name(a, a->at, name);
    in->timeout_ms = TIMEOUT_MS;
    PROTO_ARRAY_NEW(&a->ask.arena, CreatePartitionsRequest_CreatePartitionsTopic, in->topics, 1);
    in->topics.v[0].name = arena_copy(&a->ask.arena, SLICE(name));
    in->topics.v[0].count = o->parts + 1;
    in->topics.v[0].assignments.n = -1;
    asker_ask(a, ASK_GROW, 3, in);
}

static void setting(struct asker *a)
{
    struct IncrementalAlterConfigsRequest *in = wire_in(&a->ask, API_IncrementalAlterConfigs);
    struct arena *m = &a->ask.arena;
    char name[TRUTH_NAME];

    owned_name(a, a->at, name);
    snprintf(a->value, sizeof(a->value), "%lld", 1000000 + (long long)a->c->values++);
    PROTO_ARRAY_NEW(m, IncrementalAlterConfigsRequest_AlterConfigsResource, in->resources, 1);
    in->resources.v[0].resource_type = SETTING_TOPIC;
    in->resources.v[0].resource_name = arena_copy(m, SLICE(name));
    PROTO_ARRAY_NEW(m, IncrementalAlterConfigsRequest_AlterableConfig, in->resources.v[0].configs, 1);
    in->resources.v[0].configs.v[0].name = SLICE("retention.ms");
    in->resources.v[0].configs.v[0].value = arena_copy(m, SLICE(a->value));
    asker_ask(a, ASK_SETTING, 1, in);
}

static void describe(struct asker *a)
{
    struct DescribeConfigsRequest *in = wire_in(&a->ask, API_DescribeConfigs);
    struct arena *m = &a->ask.arena;
    struct slice *keys = arena_alloc(m, sizeof(*keys));
    char name[TRUTH_NAME];

    owned_name(a, a->at, name);
    keys[0] = SLICE("retention.ms");
    PROTO_ARRAY_NEW(m, DescribeConfigsRequest_DescribeConfigsResource, in->resources, 1);
    in->resources.v[0].resource_type = SETTING_TOPIC;
    in->resources.v[0].resource_name = arena_copy(m, SLICE(name));
    in->resources.v[0].configuration_keys.v = keys;
    in->resources.v[0].configuration_keys.n = 1;
    asker_ask(a, ASK_DESCRIBE, 4, in);
}

static void metadata(struct asker *a)
{
    struct MetadataRequest *in = wire_in(&a->ask, API_Metadata);

    in->topics.n = -1;
    in->allow_auto_topic_creation = false;
    asker_ask(a, ASK_METADATA, 12, in);
}

static void cluster(struct asker *a)
{
    asker_ask(a, ASK_CLUSTER, 2, wire_in(&a->ask, API_DescribeCluster));
}

bool asker_pick(struct asker *a, enum ownership is)
{
    uint64_t n = 0;

    for (int i = 0; i < a->n_owned; i++)
        if (a->owned[i].is == is && sim_below(a->c->s, ++n) == 0)
            a->at = i;
    return n > 0;
}

/* Few at a time: judges compare whole images often. */
static void create_or_delete(struct asker *a)
{
    int n = 0;

    for (int i = 0; i < a->n_owned; i++)
        n += a->owned[i].is == OWN_SURE;
    if (n < OWNED_SURE)
        create_new(a, 1 + (int)sim_below(a->c->s, (uint64_t)a->c->n_brokers));
    else if (asker_pick(a, OWN_SURE))
        delete (a, ASK_DELETE);
}

static void ask_about_topics(struct asker *a)
{
    struct sim *s = a->c->s;

    switch (sim_below(s, 12)) {
    case 0:
    case 1:
    case 2:
        create_or_delete(a);
        break;
    case 3:
    case 4:
        if (asker_pick(a, OWN_SURE))
            delete (a, ASK_DELETE);
        break;
    case 5:
        if (asker_pick(a, OWN_GONE))
            delete (a, ASK_DELETE_GONE);
        break;
    case 6:
    case 7:
        if (asker_pick(a, OWN_SURE))
            create_again(a);
        break;
    case 8:
        if (asker_pick(a, OWN_GONE))
            create(a, ASK_CREATE_GONE, 1, 1, true);
        break;
    case 9:
        if (asker_pick(a, OWN_SURE))
            grow(a);
        break;
    default:
        if (asker_pick(a, OWN_SURE))
            setting(a);
    }
}

/* Of the image of the node that is asked. */
static void ask_to_see(struct asker *a)
{
    switch (sim_below(a->c->s, 5)) {
    case 0:
        if (asker_pick(a, OWN_SURE))
            describe(a);
        break;
    case 1:
        cluster(a);
        break;
    default:
        metadata(a);
    }
}

static void ask_anything(struct asker *a)
{
    uint64_t what = sim_below(a->c->s, 20);

    if (what < 5 && !a->direct)
        ask_to_see(a);
    else if (what < 15)
        ask_about_topics(a);
    else
        asker_ask_more(a);
}

/* ---- connections ---- */

static int broker_next(struct asker *a)
{
    uint32_t among = a->c->brokers, wanted = a->c->to_goal ? a->to_ask | a->to_see : 0;
    int n;

    if (a->direct)
        return 1 + (int)sim_below(a->c->s, (uint64_t)a->c->voters);
    if (wanted)
        return __builtin_ctz(wanted);
    for (n = (int)sim_below(a->c->s, (uint64_t)a->c->n_brokers); n > 0; n--)
        among &= among - 1;
    return __builtin_ctz(among);
}

static void dial(struct timer *t)
{
    struct asker *a = container_of(t, struct asker, again);
    struct addr to;

    a->broker = broker_next(a);
    a->knows = -1;
    a->elsewhere = false;
    a->c->tally.dials++;
    to = sim_addr(a->broker, a->direct ? WHOLE_CONTROL_PORT : WHOLE_PORT);
    wire_dial(&a->wire, &to);
}

static void dial_soon(struct asker *a)
{
    timer_set(a->c->loop, &a->again, loop_now(a->c->loop) + (int64_t)sim_below(a->c->s, (uint64_t)REDIAL_NS));
}

static void lost(struct wire *w, enum err why)
{
    dial_soon(w->arg);
}

/* To another node: this one has said all that the goal wants, isn't the controller, or for no reason. */
static bool moves_on(struct asker *a)
{
    if (a->c->to_goal && !a->direct)
        return (a->to_ask | a->to_see) && !((a->to_ask | a->to_see) >> a->broker & 1);
    return a->elsewhere || sim_below(a->c->s, BELOW_BROKERS) == 0;
}

static void ticked(struct timer *t)
{
    struct asker *a = container_of(t, struct asker, tick);

    timer_set(a->c->loop, t, loop_now(a->c->loop) + (int64_t)sim_below(a->c->s, (uint64_t)TICK_NS));
    if (a->ask.wire || !a->wire.open)
        return;
    if (moves_on(a))
        wire_cut(&a->wire);
    else if (!a->c->to_goal)
        ask_anything(a);
    else if (a->to_ask >> a->broker & 1)
        create_new(a, a->c->n_brokers);
    else if (!a->direct)
        metadata(a);
}

static void done(struct wire_ask *ask)
{
    struct asker *a = ask->arg;

    if (ask->err)
        a->c->tally.unanswered++;
    else
        asker_answered(a);
}

/* ---- the set ---- */

static void start_run(struct msg *msg)
{
    struct cclients *c = container_of(msg, struct cclients, start);

    for (int i = 0; i < ALL_ASKERS; i++) {
        struct asker *a = &c->askers[i];
        a->c = c;
        a->number = i;
        a->direct = i >= ASKERS;
        wire_init(&a->wire, c->io, c->loop);
        a->wire.patience = PATIENCE_NS;
        a->wire.lost = lost;
        a->wire.arg = a;
        wire_ask_init(&a->ask, c->io);
        a->ask.done = done;
        a->ask.arg = a;
        a->again.fire = dial;
        a->tick.fire = ticked;
        list_init(&a->again.link);
        list_init(&a->tick.link);
        dial_soon(a);
        ticked(&a->tick);
    }
}

struct cclients *cclients_new(struct sim *s, int node, int voters, uint32_t brokers, struct cbook *book)
{
    struct cclients *c = calloc(1, sizeof(*c));

    *c = (struct cclients){.s = s, .node = node, .voters = voters, .brokers = brokers, .book = book};
    c->n_brokers = __builtin_popcount(brokers);
    c->io = sim_node(s, node);
    c->loop = loop_start(c->io, LOOP_NET, "clients");
    return c;
}

void cclients_start(struct cclients *c)
{
    c->start.run = start_run;
    loop_post(c->loop, &c->start);
}

void cclients_spare(struct cclients *c, int broker)
{
    c->spared = broker;
}

void cclients_goal(struct cclients *c)
{
    c->to_goal = true;
    for (int i = 0; i < ASKERS; i++)
        c->askers[i].to_ask = c->askers[i].to_see = c->brokers;
}

bool cclients_reached(const struct cclients *c)
{
    for (int i = 0; i < ASKERS; i++)
        if (c->askers[i].to_ask | c->askers[i].to_see)
            return false;
    return true;
}

void cclients_rest(struct cclients *c)
{
    c->to_goal = false;
}

void cclients_say(const struct cclients *c)
{
    for (int i = 0; i < ASKERS; i++)
        fprintf(stderr, "client %d at node %d%s%s: brokers to ask %x, to see well %x\n", i,
                c->askers[i].broker, c->askers[i].wire.open ? "" : ", not connected",
                c->askers[i].ask.wire ? ", waits" : "", c->askers[i].to_ask, c->askers[i].to_see);
}

const struct cclients_tally *cclients_tally(const struct cclients *c)
{
    return &c->tally;
}

void cclients_drop(struct cclients *c)
{
    sim_crash(c->s, c->node, SIM_PROCESS);
    free(c);
}
