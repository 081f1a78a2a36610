#include "quorum_voters.h"
#include "proto_gen.h"
#include "scenario.h"
#include "tally.h"

enum { NODES = 8, NAMED_MAX = 7 };

struct named {
    int32_t server, node;
    struct uuid directory;
    bool votes;
    int64_t since; /* offset of the first configuration that named it */
};

struct configuration {
    int n, version;
    struct named v[NAMED_MAX];
};

struct ask {
    enum qchange what;
    int node;
    struct uuid directory;
    int32_t epoch;
};

struct vote {
    int32_t server, candidate;
    int64_t epoch;
};

struct disk_of {
    struct uuid directory;
    bool may_speak,
        was_removed;  /* was_removed: a configuration without it has committed behind one with it */
    size_t asks_then; /* how many changes had been asked for when it was */
};

struct qvoters {
    struct sim *sim;
    struct heap *heap;
    struct configuration now;
    int awaited; /* the node between two disks, while kraft.version is 0; 0: none */
    struct disk_of disks[NODES];
    struct ask *asks;
    size_t n_asks, asks_room;
    struct vote *votes;
    size_t n_votes, votes_room;
};

struct qvoters *qvoters_new(struct sim *s, struct heap *h)
{
    struct qvoters *v = heap_alloc(h, sizeof(*v));

    *v = (struct qvoters){.sim = s, .heap = h};
    return v;
}

/* ---- what is told from outside ---- */

void qvoters_disk(struct qvoters *v, int node, const struct uuid *directory, bool founds)
{
    v->disks[node] = (struct disk_of){.directory = *directory, .may_speak = founds};
}

void qvoters_asked(struct qvoters *v, enum qchange what, int node, const struct uuid *directory,
                   int32_t epoch)
{
    if (v->n_asks == v->asks_room) {
        v->asks_room = v->asks_room ? 2 * v->asks_room : 64;
        v->asks = heap_resize(v->heap, v->asks, v->asks_room * sizeof(v->asks[0]));
    }
    v->asks[v->n_asks++] = (struct ask){what, node, *directory, epoch};
    if (what == QCHANGE_ADD && node < NODES && uuid_eq(v->disks[node].directory, *directory))
        v->disks[node].may_speak = true;
}

static bool asked(const struct qvoters *v, enum qchange what, const struct named *who, int32_t epoch)
{
    for (size_t i = v->n_asks; i > 0; i--) {
        const struct ask *a = &v->asks[i - 1];

        if (a->what == what && a->epoch == epoch &&
            (!who || (a->node == who->node &&
                      (uuid_is_zero(who->directory) || uuid_eq(a->directory, who->directory)))))
            return true;
    }
    return false;
}

static const struct named *named_node(const struct configuration *c, int node)
{
    for (int i = 0; i < c->n; i++)
        if (c->v[i].node == node)
            return &c->v[i];
    return NULL;
}

static const struct named *named_server(const struct configuration *c, int32_t server)
{
    for (int i = 0; i < c->n; i++)
        if (c->v[i].server == server)
            return &c->v[i];
    return NULL;
}

void qvoters_acknowledged(struct qvoters *v, enum qchange what, int node, const struct uuid *directory)
{
    const struct named *who = named_node(&v->now, node);

    if (what == QCHANGE_ADD)
        JUDGE(who && who->votes && uuid_eq(who->directory, *directory),
              "node %d was acknowledged as a voter, and isn't one", node);
    else if (what == QCHANGE_REMOVE)
        JUDGE(!who || !uuid_eq(who->directory, *directory),
              "the removal of node %d was acknowledged, and it is a voter", node);
    else
        JUDGE(v->now.version == 1, "the upgrade was acknowledged, and kraft.version is %d", v->now.version);
}

void qvoters_said(struct qvoters *v, int node)
{
    JUDGE(v->disks[node].may_speak,
          "node %d speaks as a voter, from a directory that nobody asked for or that was removed", node);
}

void qvoters_voted(struct qvoters *v, int32_t server, int32_t candidate, int64_t epoch)
{
    if (v->n_votes == v->votes_room) {
        v->votes_room = v->votes_room ? 2 * v->votes_room : 256;
        v->votes = heap_resize(v->heap, v->votes, v->votes_room * sizeof(v->votes[0]));
    }
    v->votes[v->n_votes++] = (struct vote){server, candidate, epoch};
}

void qvoters_removed(struct qvoters *v, int node)
{
    JUDGE(v->disks[node].was_removed, "node %d is told that it was removed, and never was", node);
}

/* Its disk, and not only its node. */
static bool is_named(const struct qvoters *v, int node)
{
    const struct named *who = named_node(&v->now, node);

    return who && uuid_eq(who->directory, v->disks[node].directory);
}

void qvoters_observes(struct qvoters *v, int node)
{
    struct disk_of *d = &v->disks[node];
    bool again = v->now.version == 0 && is_named(v, node); /* it was asked for meanwhile, or is named anew */

    for (size_t i = d->asks_then; i < v->n_asks; i++)
        again |= v->asks[i].what == QCHANGE_ADD && v->asks[i].node == node &&
                 uuid_eq(v->asks[i].directory, d->directory);
    d->may_speak = again;
}

/* ---- configurations ---- */

static void read_record(const struct proto_type *type, struct slice value, int version, struct arena *a,
                        void *out)
{
    JUDGE(proto_decode(type, version, value, a, out) == E_OK, "a control record that committed doesn't read");
}

static void configuration_read(const struct batch_content *c, struct arena *a, struct configuration *out)
{
    struct KRaftVersionRecord version;
    struct VotersRecord record;

    JUDGE(c->n >= 2 && c->control[1].type == CONTROL_KRAFT_VOTERS, "a configuration without voters");
    read_record(&KRaftVersionRecord_type, c->control[0].value, 0, a, &version);
    read_record(&VotersRecord_type, c->control[1].value, 0, a, &record);
    JUDGE(record.voters.n > 0 && record.voters.n <= NAMED_MAX, "%d voters", record.voters.n);
    *out = (struct configuration){.n = record.voters.n, .version = version.kraft_version};
    for (int i = 0; i < out->n; i++) {
        const struct VotersRecord_Voter *r = &record.voters.v[i];

        out->v[i] = (struct named){.server = r->voter_id,
                                   .node = r->node_id < 0 ? r->voter_id - 1 : r->node_id,
                                   .directory = r->voter_directory_id,
                                   .votes = r->role == 0,
                                   .since = c->base_offset};
    }
}

struct log_end {
    int64_t end;
};

static void log_ends(void *arg, const struct batch_view *b)
{
    ((struct log_end *)arg)->end = b->last_offset + 1;
}

/* What it has acknowledged to the leader that makes it a voter is on its disk. */
static void judge_caught_up(const struct qvoters *v, const struct named *who)
{
    struct log_end log = {0};
    int64_t checkpoint;

    if (who->node >= NODES || !uuid_eq(v->disks[who->node].directory, who->directory))
        return;
    (void)qdisk_batches(v->sim, who->node, log_ends, &log);
    checkpoint = qdisk_checkpoint(v->sim, who->node);
    JUDGE(log.end > who->since || checkpoint > who->since,
          "node %d votes, was named at %lld, and its disk has a log up to %lld, a checkpoint of %lld",
          who->node, (long long)who->since, (long long)log.end, (long long)checkpoint);
}

/* ---- fixed voters: a leader replaces a lost disk by itself ---- */

static void replaced(struct qvoters *v, const struct named *is)
{
    JUDGE(is->node == v->awaited, "node %d votes while kraft.version is 0, and isn't awaited", is->node);
    v->awaited = 0;
    tally_add(TALLY_quorum_fixed_disks_replaced, 1);
}

static void judge_comes_fixed(struct qvoters *v, const struct named *is)
{
    JUDGE(is->node == v->awaited && is->node < NODES && uuid_eq(is->directory, v->disks[is->node].directory),
          "node %d comes while kraft.version is 0, and node %d is awaited", is->node, v->awaited);
    v->disks[is->node].may_speak = true;
}

static void judge_goes_fixed(struct qvoters *v, const struct named *was)
{
    if (was->votes)
        JUDGE(v->awaited == 0 && was->node < NODES && !uuid_is_zero(was->directory) &&
                  !uuid_eq(was->directory, v->disks[was->node].directory),
              "node %d goes while kraft.version is 0, node %d is awaited, and its disk isn't lost", was->node,
              v->awaited);
    v->awaited = was->node;
}

/* Of one that was there before; how many votes it makes a difference of. */
static int judge_same(struct qvoters *v, const struct named *was, struct named *is, int32_t epoch)
{
    is->since = was->since;
    JUDGE(was->node == is->node && (uuid_is_zero(was->directory) || uuid_eq(was->directory, is->directory)),
          "the voter of node %d is another disk without having been removed", was->node);
    JUDGE(uuid_is_zero(is->directory) || !uuid_is_zero(was->directory) || is->node >= NODES ||
              uuid_eq(is->directory, v->disks[is->node].directory),
          "node %d is noted under a directory that it doesn't have", is->node);
    JUDGE(!was->votes || is->votes, "node %d voted, and doesn't any more", is->node);
    if (was->votes == is->votes)
        return 0;
    if (v->now.version > 0)
        JUDGE(asked(v, QCHANGE_ADD, is, epoch), "node %d votes from epoch %d on, and nobody asked", is->node,
              epoch);
    else
        replaced(v, is);
    judge_caught_up(v, is);
    return 1;
}

static int judge_new(struct qvoters *v, const struct named *is, int32_t epoch)
{
    JUDGE(!is->votes, "node %d votes when it is named for the first time", is->node);
    if (v->now.version == 0)
        judge_comes_fixed(v, is);
    else
        JUDGE(asked(v, QCHANGE_ADD, is, epoch), "node %d is added in epoch %d, and nobody asked", is->node,
              epoch);
    return 0;
}

static int judge_gone(struct qvoters *v, const struct named *was, int32_t epoch)
{
    if (was->node < NODES &&
        (uuid_is_zero(was->directory) || uuid_eq(v->disks[was->node].directory, was->directory))) {
        v->disks[was->node].was_removed = true;
        v->disks[was->node].asks_then = v->n_asks;
    }
    if (v->now.version == 0)
        judge_goes_fixed(v, was);
    if (!was->votes)
        return 0;
    JUDGE(v->now.version == 0 || asked(v, QCHANGE_REMOVE, was, epoch),
          "node %d is removed in epoch %d, and nobody asked", was->node, epoch);
    return 1;
}

static void configuration_came(struct qvoters *v, struct configuration *c, int32_t epoch)
{
    int differ = 0;

    for (int i = 0; i < c->n && v->now.n > 0; i++) {
        const struct named *was = named_server(&v->now, c->v[i].server);

        differ += was ? judge_same(v, was, &c->v[i], epoch) : judge_new(v, &c->v[i], epoch);
    }
    for (int i = 0; i < v->now.n; i++) {
        if (named_server(c, v->now.v[i].server))
            continue;
        differ += judge_gone(v, &v->now.v[i], epoch);
    }
    JUDGE(differ <= 1, "%d voters come or go at one time, in epoch %d", differ, epoch);
    JUDGE(c->version >= v->now.version, "kraft.version falls");
    JUDGE(v->now.n == 0 || c->version == v->now.version || asked(v, QCHANGE_UPGRADE, NULL, epoch),
          "kraft.version rises in epoch %d, and nobody asked", epoch);
    v->awaited = c->version > 0 ? 0 : v->awaited;
    v->now = *c;
}

/* ---- leaders ---- */

static bool voted(const struct qvoters *v, int32_t server, int32_t candidate, int64_t epoch)
{
    for (size_t i = v->n_votes; i > 0; i--)
        if (v->votes[i - 1].epoch == epoch && v->votes[i - 1].server == server &&
            v->votes[i - 1].candidate == candidate)
            return true;
    return server == candidate;
}

static void judge_leader(const struct qvoters *v, int32_t leader, int32_t epoch)
{
    const struct named *who = named_server(&v->now, leader);
    int votes = 0;

    JUDGE(who && who->votes,
          "epoch %d is led by server %d, which doesn't vote in the configuration before it", epoch, leader);
    for (int i = 0; i < v->now.n; i++)
        votes += v->now.v[i].votes && voted(v, v->now.v[i].server, leader, epoch);
    JUDGE(votes > qvoters_voting(v) / 2, "epoch %d is led by node %d, which %d of %d voters chose", epoch,
          who->node, votes, qvoters_voting(v));
}

void qvoters_batch(struct qvoters *v, const struct batch_content *c, struct arena *a, bool first)
{
    struct LeaderChangeMessage leader;
    struct configuration configuration;

    if (c->control[0].type == CONTROL_LEADER_CHANGE && first) {
        read_record(&LeaderChangeMessage_type, c->control[0].value, 1, a, &leader);
        judge_leader(v, leader.leader_id, c->epoch);
    } else if (c->control[0].type == CONTROL_KRAFT_VERSION) {
        JUDGE(!first || v->now.n == 0, "epoch %d begins with a configuration", c->epoch);
        configuration_read(c, a, &configuration);
        configuration_came(v, &configuration, c->epoch);
    }
}

/* ---- for those who plan ---- */

bool qvoters_votes(const struct qvoters *v, int node)
{
    const struct named *who = named_node(&v->now, node);

    return who && who->votes &&
           (uuid_is_zero(who->directory) || uuid_eq(who->directory, v->disks[node].directory));
}

bool qvoters_knows(const struct qvoters *v, int node)
{
    return is_named(v, node) && named_node(&v->now, node)->votes;
}

int qvoters_voting(const struct qvoters *v)
{
    int n = 0;

    for (int i = 0; i < v->now.n; i++)
        n += v->now.v[i].votes;
    return n;
}

bool qvoters_all_vote(const struct qvoters *v)
{
    for (int i = 0; i < v->now.n && v->now.version == 0; i++)
        if (!qvoters_votes(v, v->now.v[i].node))
            return false;
    return v->now.n > 0 && v->awaited == 0 && qvoters_voting(v) == v->now.n;
}

int qvoters_version(const struct qvoters *v)
{
    return v->now.version;
}
