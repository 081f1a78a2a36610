/* What clients of a cluster are answered, against the committed log: cluster_client.h. Nobody else touches a client's topics, so
 * what a broker asks for again, because it lost the answer, is answered as the first time: none is unknown that was deleted. */
#include "cluster_client_internal.h"
#include "scenario.h"
#include "whole.h"
#include <stdio.h>

static const int64_t SHOWN_NS = 1000000000;

/* ---- codes ---- */

bool asker_went_well(struct asker *a, int16_t code)
{
    a->elsewhere = code == err_wire(E_NOT_CONTROLLER);
    a->c->tally.not_controller += a->elsewhere;
    JUDGE(!a->elsewhere || a->direct, "client %d: node %d, a broker, answers question %d with NOT_CONTROLLER",
          a->number, a->broker, a->question);
    a->c->tally.late += code == err_wire(E_REQUEST_TIMED_OUT);
    a->c->tally.refused += code != 0 && code != err_wire(E_REQUEST_TIMED_OUT);
    return code == 0;
}

void asker_unknown(struct asker *a, int16_t code, enum err also)
{
    JUDGE(code == 0 || code == err_wire(E_REQUEST_TIMED_OUT) || code == err_wire(also) ||
              (a->direct && code == err_wire(E_NOT_CONTROLLER)),
          "client %d: node %d answers question %d about %d with error %d", a->number, a->broker, a->question,
          a->at, code);
}

/* ---- what was to be done ---- */

/* Who was told by a broker that something was done finds it there from then on, whoever asks: this client, and those who have
 * a connection to it by now and no answer due that may be older. (A broker that hears of nothing new answers after a while all
 * the same.) */
static void shows_from(struct asker *a, int64_t from)
{
    if (a->direct || loop_now(a->c->loop) - a->ask.asked >= SHOWN_NS)
        return;
    for (int i = 0; i < ASKERS; i++) {
        struct asker *x = &a->c->askers[i];

        if (x->broker == a->broker && x->wire.open && (x == a || !x->ask.wire) && x->knows < from)
            x->knows = from;
    }
    a->c->tally.shown++;
}

static const struct truth_topic *own_topic(struct asker *a)
{
    char name[TRUTH_NAME];

    owned_name(a, a->at, name);
    return truth_topic(cbook_truth(a->c->book), name);
}

static void is_there(struct asker *a)
{
    const struct owned *o = &a->owned[a->at];
    const struct truth_topic *t = own_topic(a);

    JUDGE(t && t->gone == TRUTH_EVER && uuid_eq(t->id, o->id) && t->n_parts >= o->parts,
          "client %d: topic %d was told to be there with %d partitions, and isn't so in the log", a->number,
          a->at, o->parts);
}

static void is_gone(struct asker *a)
{
    const struct truth_topic *t = own_topic(a);

    JUDGE(!t || t->gone < TRUTH_EVER, "client %d: topic %d was told to be gone, and is there in the log",
          a->number, a->at);
}

static void created(struct asker *a)
{
    const struct CreateTopicsResponse *out = a->ask.out;
    struct owned *o = &a->owned[a->at];
    int16_t code;

    JUDGE(out->topics.n == 1, "shape");
    code = out->topics.v[0].error_code;
    if (!asker_went_well(a, code)) {
        asker_unknown(a, code, E_INVALID_REPLICATION_FACTOR);
        return;
    }
    o->is = OWN_SURE;
    o->id = out->topics.v[0].topic_id;
    is_there(a);
    shows_from(a, own_topic(a)->made);
    a->c->tally.made++;
    if (a->c->to_goal)
        a->to_ask &= ~(1u << a->broker);
}

static void created_again(struct asker *a)
{
    const struct CreateTopicsResponse *out = a->ask.out;
    int16_t code = out->topics.v[0].error_code;

    if (code == err_wire(E_TOPIC_ALREADY_EXISTS))
        a->c->tally.made_checks++;
    else
        JUDGE(code != 0 && !asker_went_well(a, code),
              "client %d: topic %d was made, and node %d would make it again", a->number, a->at, a->broker);
    asker_unknown(a, code, E_TOPIC_ALREADY_EXISTS);
    /* What has run out of time at a broker may still lie in a controller's socket. */
    if (!a->only_look && code != err_wire(E_REQUEST_TIMED_OUT))
        a->owned[a->at].asked_again = false;
}

static void created_gone(struct asker *a)
{
    const struct CreateTopicsResponse *out = a->ask.out;
    int16_t code = out->topics.v[0].error_code;

    JUDGE(code != err_wire(E_TOPIC_ALREADY_EXISTS),
          "client %d: topic %d was deleted, and is there for node %d", a->number, a->at, a->broker);
    a->c->tally.gone_checks += asker_went_well(a, code);
    asker_unknown(a, code, E_INVALID_REPLICATION_FACTOR); /* no broker is unfenced */
}

static void deleted(struct asker *a)
{
    const struct DeleteTopicsResponse *out = a->ask.out;
    int16_t code;

    JUDGE(out->responses.n == 1, "shape");
    code = out->responses.v[0].error_code;
    if (a->question == ASK_DELETE_GONE) {
        JUDGE(code != 0, "client %d: topic %d was deleted, and node %d does it again", a->number, a->at,
              a->broker);
        a->c->tally.gone_checks += code == err_wire(E_UNKNOWN_TOPIC_OR_PARTITION);
    } else if (code == 0) {
        is_gone(a);
        shows_from(a, own_topic(a) ? own_topic(a)->gone : 0);
        a->c->tally.deleted++;
        a->owned[a->at].is = OWN_GONE;
    }
    (void)asker_went_well(a, code);
    asker_unknown(a, code, a->question == ASK_DELETE_GONE ? E_UNKNOWN_TOPIC_OR_PARTITION : E_OK);
}

static void grown(struct asker *a)
{
    const struct CreatePartitionsResponse *out = a->ask.out;
    struct owned *o = &a->owned[a->at];
    int16_t code;

    JUDGE(out->results.n == 1, "shape");
    code = out->results.v[0].error_code;
    if (!asker_went_well(a, code)) {
        asker_unknown(a, code, E_INVALID_REPLICATION_FACTOR); /* too few are unfenced */
        return;
    }
    o->growing = false;
    o->parts++;
    is_there(a);
    shows_from(a, own_topic(a)->parts_from[o->parts - 1]);
    a->c->tally.grown++;
}

static void altered(struct asker *a)
{
    const struct IncrementalAlterConfigsResponse *out = a->ask.out;
    char name[TRUTH_NAME];
    int16_t code;

    JUDGE(out->responses.n == 1, "shape");
    code = out->responses.v[0].error_code;
    asker_unknown(a, code, E_REQUEST_TIMED_OUT);
    if (!asker_went_well(a, code))
        return;
    owned_name(a, a->at, name);
    JUDGE(truth_had(cbook_truth(a->c->book), SETTING_TOPIC, name, "retention.ms", a->value),
          "client %d: %s of %s was told to be set, and isn't in the log", a->number, a->value, name);
    a->c->tally.settings++;
}

/* Of the image of the node that is asked, which may not have the topic yet. */
static void described(struct asker *a)
{
    const struct DescribeConfigsResponse *out = a->ask.out;
    const struct DescribeConfigsResponse_DescribeConfigsResourceResult *v;
    char name[TRUTH_NAME], value[TRUTH_NAME];

    JUDGE(out->results.n == 1, "shape");
    if (out->results.v[0].error_code) {
        asker_unknown(a, out->results.v[0].error_code, E_UNKNOWN_TOPIC_OR_PARTITION);
        return;
    }
    JUDGE(out->results.v[0].configs.n == 1, "shape");
    v = &out->results.v[0].configs.v[0];
    snprintf(value, sizeof(value), "%.*s", (int)v->value.len, (const char *)v->value.p);
    owned_name(a, a->at, name);
    JUDGE(strcmp(value, "604800000") == 0 ||
              truth_had(cbook_truth(a->c->book), SETTING_TOPIC, name, "retention.ms", value),
          "client %d: node %d has %s of %s, which nobody set", a->number, a->broker, value, name);
    a->c->tally.described++;
}

/* ---- Metadata: the state of one offset ---- */

typedef struct MetadataResponse_MetadataResponseTopic shown_topic;
typedef struct MetadataResponse_MetadataResponsePartition shown_part;

/* The state that is shown is that of an offset from lo on and before hi. */
struct span {
    int64_t lo, hi;
};

static void narrow(struct span *x, int64_t lo, int64_t hi)
{
    x->lo = lo > x->lo ? lo : x->lo;
    x->hi = hi < x->hi ? hi : x->hi;
}

static uint32_t bits_of(const int32_t *v, int32_t n)
{
    uint32_t bits = 0;

    for (int32_t i = 0; i < n; i++) {
        JUDGE(v[i] > 0 && v[i] < TRUTH_NODES, "replica %d", v[i]);
        bits |= 1u << v[i];
    }
    return bits;
}

static void part_judge(const struct asker *a, const struct truth_topic *t, const shown_part *p,
                       struct span *x)
{
    int i = p->partition_index, first = -1, last = -1;
    uint32_t isr = bits_of(p->isr_nodes.v, p->isr_nodes.n),
             replicas = bits_of(p->replica_nodes.v, p->replica_nodes.n);

    JUDGE(i >= 0 && i < t->n_parts, "%s has %d partitions, node %d shows %d", t->name, t->n_parts, a->broker,
          i);
    for (int k = 0; k < t->n_part[i]; k++) {
        const struct truth_part *was = &t->part[i][k];
        if (was->leader_epoch != p->leader_epoch || was->isr != isr || was->replicas != replicas ||
            (p->leader_id >= 0 && was->leader != p->leader_id))
            continue;
        first = first < 0 ? k : first;
        last = k;
    }
    JUDGE(first >= 0, "node %d shows %s-%d led by %d in epoch %d, ISR %x, replicas %x: it never was so",
          a->broker, t->name, i, p->leader_id, p->leader_epoch, isr, replicas);
    narrow(x, t->part[i][first].from, last + 1 < t->n_part[i] ? t->part[i][last + 1].from : TRUTH_EVER);
    narrow(x, t->parts_from[i], TRUTH_EVER);
}

static void topic_judge(const struct asker *a, const struct truth_topic *t, const shown_topic *shown,
                        struct span *x)
{
    int32_t n = shown->partitions.n;

    JUDGE(shown->error_code == 0 && slice_eq(shown->name, SLICE(t->name)),
          "node %d shows %s as %.*s, error %d", a->broker, t->name, (int)shown->name.len,
          (const char *)shown->name.p, shown->error_code);
    JUDGE(n > 0 && n <= t->n_parts, "node %d shows %s with %d partitions of %d", a->broker, t->name, n,
          t->n_parts);
    narrow(x, t->made, t->gone);
    narrow(x, 0, n < t->n_parts ? t->parts_from[n] : TRUTH_EVER);
    for (int32_t i = 0; i < n; i++)
        part_judge(a, t, &shown->partitions.v[i], x);
}

static const shown_topic *shown_of(const struct MetadataResponse *out, const struct uuid *id)
{
    for (int32_t i = 0; i < out->topics.n; i++)
        if (uuid_eq(out->topics.v[i].topic_id, *id))
            return &out->topics.v[i];
    return NULL;
}

/* What isn't shown wasn't there yet, or no more. */
static void absent_judge(const struct truth *truth, const struct MetadataResponse *out, struct span *x)
{
    for (bool moved = true; moved;) {
        moved = false;
        for (int i = 0; i < truth->n_topics; i++) {
            const struct truth_topic *t = &truth->topics[i];
            if (t->made <= x->lo && x->lo < t->gone && !shown_of(out, &t->id)) {
                x->lo = t->gone;
                moved = true;
            }
        }
    }
}

static void brokers_judge(const struct asker *a, const struct MetadataResponse *out)
{
    bool controller = out->controller_id == -1;

    for (int32_t i = 0; i < out->brokers.n; i++) {
        const struct MetadataResponse_MetadataResponseBroker *b = &out->brokers.v[i];
        char host[TRUTH_NAME];

        snprintf(host, sizeof(host), "10.0.0.%d", b->node_id);
        JUDGE(b->node_id >= 1 && b->node_id < TRUTH_NODES && a->c->brokers >> b->node_id & 1 &&
                  b->port == WHOLE_PORT && slice_eq(b->host, SLICE(host)),
              "node %d shows broker %d at %.*s:%d", a->broker, b->node_id, (int)b->host.len,
              (const char *)b->host.p, b->port);
        controller |= b->node_id == out->controller_id;
    }
    JUDGE(controller, "node %d shows controller %d, which is none of its brokers", a->broker,
          out->controller_id);
}

static void metadata_shown(struct asker *a)
{
    const struct MetadataResponse *out = a->ask.out;
    const struct truth *truth = cbook_truth(a->c->book);
    struct span x = {a->knows, TRUTH_EVER};

    brokers_judge(a, out);
    for (int32_t i = 0; i < out->topics.n; i++) {
        const struct truth_topic *t = truth_topic_id(truth, &out->topics.v[i].topic_id);
        JUDGE(t, "node %d shows %.*s, which isn't in the log", a->broker, (int)out->topics.v[i].name.len,
              (const char *)out->topics.v[i].name.p);
        topic_judge(a, t, &out->topics.v[i], &x);
    }
    absent_judge(truth, out, &x);
    JUDGE(x.lo < x.hi,
          "node %d shows no state of one offset, or goes back behind %lld: from %lld, before %lld", a->broker,
          (long long)a->knows, (long long)x.lo, (long long)x.hi);
    a->knows = x.lo;
    a->c->tally.metadata++;
    a->c->tally.stale += x.hi < TRUTH_EVER;
    if (a->c->to_goal && x.hi == TRUTH_EVER && out->brokers.n == a->c->n_brokers)
        a->to_see &= ~(1u << a->broker);
}

static void cluster_shown(struct asker *a)
{
    const struct DescribeClusterResponse *out = a->ask.out;
    bool controller = out->controller_id == -1;

    JUDGE(out->error_code == 0 && slice_eq(out->cluster_id, SLICE("sim-cluster")),
          "node %d shows cluster %.*s", a->broker, (int)out->cluster_id.len, (const char *)out->cluster_id.p);
    for (int32_t i = 0; i < out->brokers.n; i++)
        controller |= out->brokers.v[i].broker_id == out->controller_id;
    JUDGE(controller, "node %d describes controller %d, which is none of its brokers", a->broker,
          out->controller_id);
    a->c->tally.clusters++;
}

void asker_answered(struct asker *a)
{
    static void (*const judges[ASK_ELECT])(struct asker * a) = {
        [ASK_CREATE] = created,       [ASK_CREATE_AGAIN] = created_again, [ASK_CREATE_GONE] = created_gone,
        [ASK_DELETE] = deleted,       [ASK_DELETE_GONE] = deleted,        [ASK_GROW] = grown,
        [ASK_SETTING] = altered,      [ASK_DESCRIBE] = described,         [ASK_METADATA] = metadata_shown,
        [ASK_CLUSTER] = cluster_shown};

    if (a->question >= ASK_ELECT)
        asker_judge_more(a);
    else
        judges[a->question](a);
}
