/* Questions about leaders, replicas, features and brokers, and what may be answered. Some are a broker's own, told by somebody
 * who isn't it: no broker here copies records yet, so a client tells who is in sync. */
#include "cluster_client_internal.h"
#include "scenario.h"
#include <stdio.h>

enum { PREFERRED, UNCLEAN, UPGRADE = 1, SAFE_DOWNGRADE, UNSAFE_DOWNGRADE, MOVE_MAX = 4 };

static const struct truth_topic *own_topic(const struct asker *a)
{
    char name[TRUTH_NAME];

    owned_name(a, a->at, name);
    return truth_topic(cbook_truth(a->c->book), name);
}

/* One of its topics that are there, and a partition of it. */
static const struct truth_topic *pick_part(struct asker *a)
{
    const struct truth_topic *t = asker_pick(a, OWN_SURE) ? own_topic(a) : NULL;

    a->part = t ? (int)sim_below(a->c->s, (uint64_t)t->n_parts) : 0;
    return t;
}

static const struct truth_part *now_of(const struct truth_topic *t, int part)
{
    return &t->part[part][t->n_part[part] - 1];
}

static struct slice topic_name(struct asker *a)
{
    char name[TRUTH_NAME];

    owned_name(a, a->at, name);
    return arena_copy(&a->ask.arena, SLICE(name));
}

static int any_broker(const struct asker *a)
{
    uint32_t among = a->c->brokers;

    for (int n = (int)sim_below(a->c->s, (uint64_t)a->c->n_brokers); n > 0; n--)
        among &= among - 1;
    return __builtin_ctz(among);
}

/* ---- leaders ---- */

static void elect(struct asker *a)
{
    struct ElectLeadersRequest *in = wire_in(&a->ask, API_ElectLeaders);
    struct arena *m = &a->ask.arena;
    const struct truth_topic *t = pick_part(a);

    if (!t)
        return;
    a->target = sim_below(a->c->s, 3) ? PREFERRED : UNCLEAN;
    in->election_type = (int8_t)a->target;
    in->timeout_ms = TIMEOUT_MS;
    PROTO_ARRAY_NEW(m, ElectLeadersRequest_TopicPartitions, in->topic_partitions, 1);
    in->topic_partitions.v[0].topic = topic_name(a);
    in->topic_partitions.v[0].partitions.v = arena_alloc(m, sizeof(int32_t));
    in->topic_partitions.v[0].partitions.v[0] = a->part;
    in->topic_partitions.v[0].partitions.n = 1;
    asker_ask(a, ASK_ELECT, 2, in);
}

static void elected(struct asker *a)
{
    const struct ElectLeadersResponse *out = a->ask.out;
    int16_t code = out->error_code;

    if (code == 0) {
        JUDGE(out->replica_election_results.n == 1 &&
                  out->replica_election_results.v[0].partition_result.n == 1,
              "shape");
        code = out->replica_election_results.v[0].partition_result.v[0].error_code;
    }
    if (code == err_wire(E_ELECTION_NOT_NEEDED) || code == err_wire(E_PREFERRED_LEADER_NOT_AVAILABLE))
        return;
    asker_unknown(a, code, E_ELIGIBLE_LEADERS_NOT_AVAILABLE);
    if (!asker_went_well(a, code))
        return;
    JUDGE(a->target == UNCLEAN || truth_elected(own_topic(a), a->part, a->since),
          "client %d: an election of topic %d-%d was told, and nothing came of it in the log", a->number,
          a->at, a->part);
    a->c->tally.elections++;
}

/* ---- replicas ---- */

static void move(struct asker *a)
{
    struct AlterPartitionReassignmentsRequest *in = wire_in(&a->ask, API_AlterPartitionReassignments);
    struct AlterPartitionReassignmentsRequest_ReassignablePartition *p;
    struct arena *m = &a->ask.arena;
    const struct truth_topic *t = pick_part(a);
    int most = a->c->n_brokers < MOVE_MAX ? a->c->n_brokers : MOVE_MAX,
        n = (int)sim_below(a->c->s, (uint64_t)most + 1);

    if (!t)
        return;
    in->timeout_ms = TIMEOUT_MS;
    PROTO_ARRAY_NEW(m, AlterPartitionReassignmentsRequest_ReassignableTopic, in->topics, 1);
    in->topics.v[0].name = topic_name(a);
    PROTO_ARRAY_NEW(m, AlterPartitionReassignmentsRequest_ReassignablePartition, in->topics.v[0].partitions,
                    1);
    p = &in->topics.v[0].partitions.v[0];
    p->partition_index = a->part;
    p->replicas.n = n ? n : -1; /* none: it is cancelled */
    p->replicas.v = arena_alloc(m, MOVE_MAX * sizeof(int32_t));
    a->targets = 0;
    for (int i = 0; i < n; i++) {
        do
            p->replicas.v[i] = any_broker(a);
        while (a->targets >> p->replicas.v[i] & 1);
        a->targets |= 1u << p->replicas.v[i];
    }
    asker_ask(a, ASK_MOVE, 1, in);
}

static void moved(struct asker *a)
{
    const struct AlterPartitionReassignmentsResponse *out = a->ask.out;
    int16_t code = out->error_code;

    if (code == 0) {
        JUDGE(out->responses.n == 1 && out->responses.v[0].partitions.n == 1, "shape");
        code = out->responses.v[0].partitions.v[0].error_code;
    }
    if (code == err_wire(E_INVALID_REPLICA_ASSIGNMENT)) /* a broker that isn't registered */
        return;
    asker_unknown(a, code, E_NO_REASSIGNMENT_IN_PROGRESS);
    if (!asker_went_well(a, code))
        return;
    JUDGE(truth_replicated(own_topic(a), a->part, a->targets, a->since),
          "client %d: topic %d-%d was told to move to %x, and doesn't in the log", a->number, a->at, a->part,
          a->targets);
    a->c->tally.moves++;
}

/* ---- features ---- */

static void feature(struct asker *a)
{
    struct UpdateFeaturesRequest *in = wire_in(&a->ask, API_UpdateFeatures);

    a->target = (int)sim_below(a->c->s, 3) > 0;
    in->timeout_ms = TIMEOUT_MS;
    in->validate_only = sim_below(a->c->s, 4) == 0;
    PROTO_ARRAY_NEW(&a->ask.arena, UpdateFeaturesRequest_FeatureUpdateKey, in->feature_updates, 1);
    in->feature_updates.v[0].feature = SLICE(TRUTH_ELR);
    in->feature_updates.v[0].max_version_level = (int16_t)a->target;
    in->feature_updates.v[0].upgrade_type = a->target                               ? UPGRADE
                                            : a->c->spared || sim_below(a->c->s, 2) ? SAFE_DOWNGRADE
                                                                                    : UNSAFE_DOWNGRADE;
    a->part = in->validate_only;
    asker_ask(a, ASK_FEATURE, 2, in);
}

static void levelled(struct asker *a)
{
    const struct UpdateFeaturesResponse *out = a->ask.out;

    asker_unknown(a, out->error_code, E_INVALID_UPDATE_VERSION);
    if (!asker_went_well(a, out->error_code) || a->part)
        return;
    JUDGE(truth_level(cbook_truth(a->c->book), TRUTH_ELR, a->target, a->since),
          "client %d: " TRUTH_ELR " was told to be %d, and isn't in the log", a->number, a->target);
    a->c->tally.levels++;
}

/* ---- brokers ---- */

static void unregister(struct asker *a)
{
    struct UnregisterBrokerRequest *in = wire_in(&a->ask, API_UnregisterBroker);

    if (sim_below(a->c->s, 6)) /* seldom: who lives comes back at once */
        return;
    a->target = any_broker(a);
    if (a->target == a->c->spared)
        return;
    in->broker_id = a->target;
    asker_ask(a, ASK_UNREGISTER, 0, in);
}

static void unregistered(struct asker *a)
{
    const struct UnregisterBrokerResponse *out = a->ask.out;

    asker_unknown(a, out->error_code, E_BROKER_ID_NOT_REGISTERED);
    if (!asker_went_well(a, out->error_code))
        return;
    JUDGE(cbook_truth(a->c->book)->brokers[a->target].removed_at > a->since,
          "client %d: broker %d was told to be unregistered, and isn't in the log", a->number, a->target);
    a->c->tally.removals++;
}

/* The leader, and some of the replicas, of whom some are fenced. */
static void in_sync(struct asker *a)
{
    struct AlterPartitionRequest *in = wire_in(&a->ask, API_AlterPartition);
    struct AlterPartitionRequest_PartitionData *d;
    struct arena *m = &a->ask.arena;
    const struct truth_topic *t = pick_part(a);
    const struct truth_part *p = t ? now_of(t, a->part) : NULL;
    bool all = sim_below(a->c->s, 2);

    if (!p || p->leader < 0)
        return;
    in->broker_id = p->leader;
    in->broker_epoch = cbook_truth(a->c->book)->brokers[p->leader].epoch;
    PROTO_ARRAY_NEW(m, AlterPartitionRequest_TopicData, in->topics, 1);
    in->topics.v[0].topic_id = t->id;
    PROTO_ARRAY_NEW(m, AlterPartitionRequest_PartitionData, in->topics.v[0].partitions, 1);
    d = &in->topics.v[0].partitions.v[0];
    d->partition_index = a->part;
    d->leader_epoch = p->leader_epoch;
    d->partition_epoch = p->partition_epoch;
    d->new_isr.v = arena_alloc(m, TRUTH_NODES * sizeof(int32_t));
    d->new_isr.n = 0;
    for (int i = 1; i < TRUTH_NODES; i++)
        if (p->replicas >> i & 1 && (i == p->leader || all || sim_below(a->c->s, 2)))
            d->new_isr.v[d->new_isr.n++] = i;
    asker_ask(a, ASK_ISR, 2, in);
}

static void in_sync_told(struct asker *a)
{
    const struct AlterPartitionResponse *out = a->ask.out;
    int16_t code = out->error_code;

    if (code == 0 && out->topics.n == 1 && out->topics.v[0].partitions.n == 1)
        code = out->topics.v[0].partitions.v[0].error_code;
    a->c->tally.isrs += asker_went_well(a, code); /* the log is judged by itself */
}

static void stale_beat(struct asker *a)
{
    struct BrokerHeartbeatRequest *in = wire_in(&a->ask, API_BrokerHeartbeat);
    const struct truth_broker *b;

    a->target = any_broker(a);
    b = &cbook_truth(a->c->book)->brokers[a->target];
    if (b->epoch == 0)
        return;
    in->broker_id = a->target;
    in->broker_epoch = b->epoch - 1;
    in->want_fence = sim_below(a->c->s, 2);
    in->want_shut_down = sim_below(a->c->s, 2);
    asker_ask(a, ASK_STALE_BEAT, 1, in);
}

static void stale_beaten(struct asker *a)
{
    const struct BrokerHeartbeatResponse *out = a->ask.out;

    JUDGE(out->error_code != 0, "node %d takes a heartbeat of broker %d in an epoch that isn't its",
          a->broker, a->target);
    asker_unknown(a, out->error_code, E_STALE_BROKER_EPOCH);
    (void)asker_went_well(a, out->error_code);
    a->c->tally.stale_beats += out->error_code == err_wire(E_STALE_BROKER_EPOCH);
}

/* ---- all of these ---- */

void asker_ask_more(struct asker *a)
{
    static void (*const asks[])(struct asker * a) = {elect,   elect,      move,       move,
                                                     feature, unregister, stale_beat, in_sync,
                                                     in_sync, in_sync,    in_sync,    in_sync};
    enum { FORWARDED = 6, ALL = sizeof(asks) / sizeof(asks[0]) };

    asks[sim_below(a->c->s, a->direct ? ALL : FORWARDED)](a);
}

void asker_judge_more(struct asker *a)
{
    static void (*const judges[QUESTIONS])(struct asker * a) = {
        [ASK_ELECT] = elected,           [ASK_MOVE] = moved,       [ASK_FEATURE] = levelled,
        [ASK_UNREGISTER] = unregistered, [ASK_ISR] = in_sync_told, [ASK_STALE_BEAT] = stale_beaten};

    judges[a->question](a);
}
