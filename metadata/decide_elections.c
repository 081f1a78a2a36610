#include "base/check.h"
#include "metadata/change.h"
#include "proto_gen.h"

/* ElectLeaders, and the elections that the controller holds by itself: preferred leaders where a broker leads less than
 * its share, and unclean ones where a topic would rather lose records than wait. */

enum { PREFERRED = 0, UNCLEAN = 1 };

static bool leads_preferred(const struct record_partition *p)
{
    return p->leader == p->replicas.v[0];
}

static enum err elect_one(struct changer *c, int32_t index, int type)
{
    struct change ch;

    if (!changer_open(c, index, &ch))
        return E_UNKNOWN_TOPIC_OR_PARTITION;
    if (type == PREFERRED ? leads_preferred(&ch.old) : ch.old.leader != NOBODY)
        return E_ELECTION_NOT_NEEDED;
    ch.election = type == PREFERRED ? ELECT_PREFERRED : ELECT_UNCLEAN;
    if (changer_put(c, &ch))
        return E_OK;
    return type == PREFERRED ? E_PREFERRED_LEADER_NOT_AVAILABLE : E_ELIGIBLE_LEADERS_NOT_AVAILABLE;
}

/* ---- ElectLeaders ---- */

typedef struct ElectLeadersResponse_ReplicaElectionResult topic_result;
typedef struct ElectLeadersResponse_PartitionResult partition_result;

static void elect_topic(struct changer *c, const struct ElectLeadersRequest *req,
                        const struct ElectLeadersRequest_TopicPartitions *ask, topic_result *tell)
{
    const struct image_topic *t = image_topic_by_name(c->tip, ask->topic);
    struct ctl_out *o = c->out;

    tell->topic = ask->topic;
    PROTO_ARRAY_NEW(o->arena, ElectLeadersResponse_PartitionResult, tell->partition_result,
                    ask->partitions.n);
    if (t)
        changer_topic(c, t);
    for (int i = 0; i < ask->partitions.n; i++) {
        int32_t index = ask->partitions.v[i];
        partition_result *p = &tell->partition_result.v[i];
        enum err err = t ? elect_one(c, index, req->election_type) : E_UNKNOWN_TOPIC_OR_PARTITION;
        struct api_error e = api_error_plain(err);

        if (!t)
            e = api_error(o, err, "No such topic as %.*s", SLICE_ARG(ask->topic));
        else if (err == E_UNKNOWN_TOPIC_OR_PARTITION)
            e = api_error(o, err, "No such partition as %.*s-%d", SLICE_ARG(ask->topic), index);
        p->partition_id = index;
        api_error_set(e, &p->error_code, &p->error_message);
    }
}

/* Every topic; partitions that need no election aren't told. */
static void elect_all(struct changer *c, const struct ElectLeadersRequest *req,
                      struct ElectLeadersResponse *resp)
{
    struct image_topics topics = image_topics_from(c->tip, SLICE_NULL);
    const struct image_topic *t;
    struct ctl_out *o = c->out;
    int n = 0;

    PROTO_ARRAY_NEW(o->arena, ElectLeadersResponse_ReplicaElectionResult, resp->replica_election_results,
                    (int32_t)c->tip->topics.count);
    while ((t = image_topics_next(&topics))) {
        topic_result *tell = &resp->replica_election_results.v[n++];
        int32_t count = (int32_t)t->partitions.count, told = 0;

        changer_topic(c, t);
        tell->topic = arena_copy(o->arena, t->name);
        PROTO_ARRAY_NEW(o->arena, ElectLeadersResponse_PartitionResult, tell->partition_result, count);
        for (int32_t i = 0; i < count; i++) {
            enum err err = elect_one(c, i, req->election_type);
            partition_result *p = &tell->partition_result.v[told];

            if (err == E_ELECTION_NOT_NEEDED)
                continue;
            p->partition_id = i;
            api_error_set(api_error_plain(err), &p->error_code, &p->error_message);
            told++;
        }
        tell->partition_result.n = told;
    }
}

static void refuse_all(const struct ElectLeadersRequest *req, struct ElectLeadersResponse *resp,
                       struct ctl_out *o)
{
    struct api_error e = api_error(o, E_INVALID_REQUEST, "Unknown election type %d", req->election_type);
    int n = req->topic_partitions.n > 0 ? req->topic_partitions.n : 0;

    resp->error_code = err_wire(e.err);
    PROTO_ARRAY_NEW(o->arena, ElectLeadersResponse_ReplicaElectionResult, resp->replica_election_results, n);
    for (int i = 0; i < n; i++) {
        const struct ElectLeadersRequest_TopicPartitions *ask = &req->topic_partitions.v[i];
        topic_result *tell = &resp->replica_election_results.v[i];

        tell->topic = ask->topic;
        PROTO_ARRAY_NEW(o->arena, ElectLeadersResponse_PartitionResult, tell->partition_result,
                        ask->partitions.n);
        for (int j = 0; j < ask->partitions.n; j++) {
            tell->partition_result.v[j].partition_id = ask->partitions.v[j];
            api_error_set(e, &tell->partition_result.v[j].error_code,
                          &tell->partition_result.v[j].error_message);
        }
    }
}

void decide_elect_leaders(const struct image *tip, const void *in, void *out, struct ctl_out *o)
{
    const struct ElectLeadersRequest *req = in;
    struct ElectLeadersResponse *resp = out;
    struct changer c;

    if (req->election_type != PREFERRED && req->election_type != UNCLEAN) {
        refuse_all(req, resp, o);
        return;
    }
    changer_init(&c, tip, o, true);
    if (req->topic_partitions.n < 0) {
        elect_all(&c, req, resp);
    } else {
        PROTO_ARRAY_NEW(o->arena, ElectLeadersResponse_ReplicaElectionResult, resp->replica_election_results,
                        req->topic_partitions.n);
        for (int i = 0; i < req->topic_partitions.n; i++)
            elect_topic(&c, req, &req->topic_partitions.v[i], &resp->replica_election_results.v[i]);
    }
    changer_end(&c);
}

/* ---- the controller's own doing ---- */

/* How much of what a broker is preferred for others lead. */
struct share {
    int32_t id;
    int32_t preferred;
    int32_t missed;
};

static struct share *share_of(struct map *shares, struct ctl_out *o, int32_t id)
{
    struct share *s = map_get(shares, slice_of(&id, sizeof(id)));

    if (!s) {
        s = arena_alloc(o->work, sizeof(*s));
        s->id = id;
        (void)map_put(shares, slice_of(&s->id, sizeof(s->id)), s);
    }
    return s;
}

static void count_shares(struct map *shares, const struct image *tip, struct ctl_out *o)
{
    struct image_topics topics = image_topics_from(tip, SLICE_NULL);
    const struct image_topic *t;
    const struct image_partition *p;

    while ((t = image_topics_next(&topics))) {
        struct image_partitions w = image_partitions_from(t, 0);

        while ((p = image_partitions_next(&w))) {
            struct share *s = share_of(shares, o, partition_replicas(p).v[0]);

            s->preferred++;
            s->missed += p->leader != s->id;
        }
    }
}

static bool out_of_balance(struct map *shares, const struct image_partition *p, int32_t percent)
{
    int32_t preferred = partition_replicas(p).v[0];
    const struct share *s = map_get(shares, slice_of(&preferred, sizeof(preferred)));

    return p->leader != preferred && (int64_t)s->missed * 100 > (int64_t)percent * s->preferred;
}

/* Goes over all partitions; picks: may this one be elected anew? */
static struct balance_done elect_some(struct changer *c, const struct balance *b, struct map *shares)
{
    struct image_topics topics = image_topics_from(c->tip, SLICE_NULL);
    struct balance_done done = {0};
    const struct image_topic *t;
    const struct image_partition *p;

    while ((t = image_topics_next(&topics))) {
        struct image_partitions w = image_partitions_from(t, 0);

        changer_topic(c, t);
        if (!shares && !c->may_lose)
            continue;
        while ((p = image_partitions_next(&w))) {
            if (shares ? !out_of_balance(shares, p, b->percent) : p->leader != NOBODY)
                continue;
            if (done.elected == b->max) {
                done.more = true;
                return done;
            }
            done.elected += !elect_one(c, partition_index(p), shares ? PREFERRED : UNCLEAN);
        }
    }
    return done;
}

void decide_balance_leaders(const struct image *tip, const void *in, void *out, struct ctl_out *o)
{
    const struct balance *b = in;
    struct changer c;
    struct map shares;

    changer_init(&c, tip, o, false);
    map_init(&shares, o->work->heap, ctl_random(o));
    count_shares(&shares, tip, o);
    *(struct balance_done *)out = elect_some(&c, b, &shares);
    map_drop(&shares);
    changer_end(&c);
}

void decide_unclean_leaders(const struct image *tip, const void *in, void *out, struct ctl_out *o)
{
    struct changer c;

    changer_init(&c, tip, o, false);
    *(struct balance_done *)out = elect_some(&c, in, NULL);
    changer_end(&c);
}

void decide_stranded_leaders(const struct image *tip, const void *in, void *out, struct ctl_out *o)
{
    struct balance_done *done = out;
    int before = o->n;
    struct changer c;

    changer_init(&c, tip, o, false);
    (void)changer_walk(&c, walk_of(o), WALK_NO_LEADER); /* until it is over, o->more says so */
    changer_end(&c);
    done->elected += o->n - before;
}
