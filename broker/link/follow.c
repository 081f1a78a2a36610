/* One question at a time goes round:
 *
 *     control loop ─► asked: whom? ─► a Fetch is out ─┬─ an answer ──────────────────────────────► control loop
 *                        ▲                            └─ none, or a refusal: that voter rests, the next one
 *                        └── timer, once all of them rest ◄──┘
 *
 * 1. The question is the control loop's or net[0]'s, never both's.
 * 2. Bytes that are asked for again were damaged there or on their way: another voter is asked.
 * 3. Who leads is asked, unless it rests; so a leader that died is asked for at the others within one round trip.
 * 4. Who has known no leader for some time, and gives nothing, is left: it may be cut off, or removed without knowing. */
#include "broker/link/follow.h"
#include "base/check.h"
#include "base/trace.h"
#include "broker/link/dial.h"
#include "broker/link/metadata_log.h"
#include "broker/link/piece.h"
#include "broker/link/raft_link.h"
#include "broker/net/client.h"
#include "proto_gen.h"
#include <stdio.h>

#define MS INT64_C(1000000)
enum {
    SOURCES_MAX = 64,
    REST_MS = 1000,
    LEADERLESS_MS = 3000, /* longer than an election takes */
    RETRY_FIRST_MS = 20,
    RETRY_MAX_MS = 500,
    VERSION_MIN = 17
};

struct source {
    int32_t node; /* -2, -3, …: a bootstrap server, whose id nobody knows */
    char *at;     /* host:port */
    struct client *client;
    struct client *bulk; /* pieces of checkpoints, which take longer; NULL until one is asked for */
    int64_t rests_until;
};

struct question {
    struct msg msg;
    int64_t offset;
    int32_t epoch;
    struct client_call call;
    struct arena arena;
    struct quorum_fetched told;
};

struct piece {
    struct msg msg;
    struct follow *follow;
    int32_t from;
    struct quorum_checkpoint id;
    int64_t at;
    struct client_call call;
    struct arena arena;
    enum err err;
    int64_t size;
    struct slice bytes;
};

struct follow {
    struct node *node;
    struct net_loop *first; /* net[0]: the list of all is the control loop's, and moves */
    struct loop *control, *net, *names;
    struct uuid directory_id;
    struct raft_link *link;
    struct follow_ops ops;
    bool stopping; /* the control loop's */
    struct question question;
    /* ---- net[0] ---- */
    struct source sources[SOURCES_MAX];
    int n;
    int at;         /* who is asked, or was last */
    int said;       /* who was said to be followed; -1: nobody */
    int32_t leader; /* as told last; -1: nobody */
    struct timer again;
    int64_t wait_ms;
    int64_t leaderless_since; /* the one that is asked says so; 0: it knows a leader, or gives something */
    int64_t gave;             /* the offset for which the last answer had bytes; -1: it had none */
    bool ending;
    int n_clients;
    struct msg stop;
    struct msg *stopped;
};

/* ---- whom to ask ---- */

static int source_of(const struct follow *f, int32_t node)
{
    for (int i = 0; i < f->n; i++)
        if (f->sources[i].node == node)
            return i;
    return -1;
}

static void source_add(struct follow *f, int32_t node, const char *at)
{
    if (f->n < SOURCES_MAX)
        f->sources[f->n++] = (struct source){.node = node, .at = heap_str(f->node->heap, SLICE(at))};
}

/* Nobody's word makes a list of servers out of one, or something that can't be read. */
static bool host_is_plain(struct slice host)
{
    for (size_t i = 0; i < host.len; i++)
        if (host.p[i] <= ' ' || strchr(",[]", host.p[i]))
            return false;
    return host.len > 0 && host.len <= DIAL_HOST_MAX;
}

/* Where that controller listens, as somebody says. Where it was found before is an address like any other then. */
static void source_note(struct follow *f, int32_t node, struct slice host, int32_t port)
{
    char at[DIAL_TEXT_MAX];
    int known = source_of(f, node);

    if (node < 0 || node == f->node->id || port <= 0 || port > UINT16_MAX || !host_is_plain(host) ||
        f->n == SOURCES_MAX)
        return;
    dial_text(at, host, (uint16_t)port);
    if (known >= 0 && strcmp(f->sources[known].at, at) == 0)
        return;
    if (known >= 0)
        f->sources[known].node = -1;
    source_add(f, node, at);
}

/* What is known of them but for the settings. */
static void sources_learn(struct follow *f)
{
    struct config_list names = config_list(f->node->config, C_controller_listener_names);
    const struct image *image = f->first->image;
    struct raft_link_at known[RAFT_LINK_PEERS];
    const struct image_controller *c;
    int n;

    if (config_voters(f->node->config, &n) && n > 0)
        return;
    n = f->link ? raft_link_places(f->link, known) : 0;
    for (int i = 0; i < n; i++)
        source_note(f, known[i].node, known[i].host, known[i].port);
    if (!image || f->link || names.n == 0)
        return;
    for (struct image_controllers it = image_controllers_all(image); (c = image_controllers_next(&it));)
        for (int i = 0; i < c->reg.n_endpoints; i++)
            if (slice_eq(c->reg.endpoints[i].name, SLICE(names.v[0])))
                source_note(f, c->reg.id, c->reg.endpoints[i].host, c->reg.endpoints[i].port);
}

static void sources_of_config(struct follow *f)
{
    const struct config *c = f->node->config;
    struct config_list servers = config_list(c, C_controller_quorum_bootstrap_servers);
    int n;
    const struct config_voter *v = config_voters(c, &n);
    char at[DIAL_TEXT_MAX];

    for (int i = 0; i < n; i++) {
        if (v[i].id == f->node->id)
            continue;
        dial_text(at, SLICE(v[i].host), v[i].port);
        source_add(f, v[i].id, at);
    }
    for (int i = 0; i < servers.n && n == 0; i++)
        source_add(f, -2 - i, servers.v[i]);
}

bool follow_may(const struct node *node)
{
    int n;
    const struct config_voter *v = config_voters(node->config, &n);

    for (int i = 0; i < n; i++)
        if (v[i].id != node->id)
            return true;
    return n == 0 && config_list(node->config, C_controller_quorum_bootstrap_servers).n > 0;
}

static struct client *client_of(struct follow *f, const struct source *s, struct client **client, int64_t ms)
{
    if (!*client) {
        struct client_options o = dial_options(f->node, f->net, f->names, "follow", ms);
        enum err err;

        o.bootstrap = s->at;
        err = client_new(&o, client);
        ASSERT(!err); /* the settings were checked when they were read */
        f->n_clients++;
    }
    return *client;
}

/* The leader, else the one that answered last, else the next; -1: all of them rest. */
static int source_choose(const struct follow *f)
{
    int64_t now = loop_now(f->net);
    int leader = source_of(f, f->leader);

    if (leader >= 0 && f->sources[leader].rests_until <= now)
        return leader;
    for (int i = 0; i < f->n; i++) {
        int at = (f->at + i) % f->n;

        if (f->sources[at].rests_until <= now)
            return at;
    }
    return -1;
}

/* ---- the question ---- */

static void fetch_answered(struct client_call *call);
static void question_ask(struct follow *f);

static void question_home(struct msg *msg)
{
    struct follow *f = container_of(msg, struct follow, question.msg);

    if (!f->stopping)
        f->ops.fetched(f->ops.arg, &f->question.told); /* may ask the next one */
}

static void question_end(struct follow *f)
{
    f->question.msg.run = question_home;
    loop_post(f->control, &f->question.msg);
}

static const struct FetchRequest *fetch_request(struct follow *f)
{
    struct question *q = &f->question;
    struct FetchRequest *in = proto_new(&FetchRequest_type, &q->arena, 1);
    struct FetchRequest_FetchPartition *p;
    const struct uuid id = METADATA_TOPIC_ID;

    in->cluster_id = SLICE(f->node->cluster_id);
    in->replica_state.replica_id = f->node->id;
    in->max_wait_ms = FOLLOW_WAIT_MS;
    in->min_bytes = 0;
    in->max_bytes = (int32_t)config_int(f->node->config, C_controller_quorum_fetch_max_bytes);
    in->session_epoch = -1;
    PROTO_ARRAY_NEW(&q->arena, FetchRequest_FetchTopic, in->topics, 1);
    in->topics.v[0].topic_id = id;
    PROTO_ARRAY_NEW(&q->arena, FetchRequest_FetchPartition, in->topics.v[0].partitions, 1);
    p = &in->topics.v[0].partitions.v[0];
    p->current_leader_epoch = -1;
    p->fetch_offset = q->offset;
    p->last_fetched_epoch = q->epoch;
    p->partition_max_bytes = in->max_bytes;
    p->replica_directory_id = f->directory_id;
    return in;
}

static void again_fired(struct timer *timer)
{
    struct follow *f = container_of(timer, struct follow, again);

    question_ask(f);
}

static void question_ask(struct follow *f)
{
    struct question *q = &f->question;
    int at = source_choose(f);

    if (at < 0) { /* all of them rest */
        sources_learn(f);
        for (int i = 0; i < f->n; i++)
            f->sources[i].rests_until = 0;
        timer_set(f->net, &f->again, loop_now(f->net) + f->wait_ms * MS);
        f->wait_ms = 2 * f->wait_ms < RETRY_MAX_MS ? 2 * f->wait_ms : RETRY_MAX_MS;
        return;
    }
    f->at = at;
    arena_reset(&q->arena);
    client_call_init(&q->call, API_Fetch, client_any(), fetch_request(f), &q->arena);
    q->call.version_min = VERSION_MIN;
    q->call.done = fetch_answered;
    q->call.arg = f;
    client_send(client_of(f, &f->sources[at], &f->sources[at].client, FOLLOW_CALL_MS), &q->call);
}

static void source_rest(struct follow *f)
{
    f->said = -1;
    f->leaderless_since = 0;
    f->sources[f->at].rests_until = loop_now(f->net) + REST_MS * MS;
    f->at = (f->at + 1) % f->n;
}

static void source_failed(struct follow *f, enum err why)
{
    struct source *s = &f->sources[f->at];

    if (f->said == f->at || f->wait_ms == RETRY_FIRST_MS)
        TRACE(f->node->io, follow_lost, s->at, err_text(why));
    source_rest(f);
    question_ask(f);
}

/* Who leads, and where it is if that is news. */
static void leader_heard(struct follow *f, int32_t leader, const struct FetchResponse *out)
{
    f->leader = leader;
    for (int i = 0; i < out->node_endpoints.n; i++) {
        const struct FetchResponse_NodeEndpoint *e = &out->node_endpoints.v[i];

        if (e->node_id == leader && source_of(f, leader) < 0)
            source_note(f, leader, e->host, e->port);
    }
}

/* What the answer says of the one partition; an error is one for which another voter is asked. */
static enum err answer_read(struct follow *f, const struct FetchResponse *out)
{
    struct question *q = &f->question;
    const struct FetchResponse_PartitionData *p;
    enum err err;

    if (out->error_code)
        return err_of_wire(out->error_code);
    if (out->responses.n != 1 || out->responses.v[0].partitions.n != 1)
        return E_MALFORMED;
    p = &out->responses.v[0].partitions.v[0];
    err = p->error_code ? err_of_wire(p->error_code) : E_OK;
    if (p->current_leader.leader_epoch >= 0)
        leader_heard(f, p->current_leader.leader_id, out);
    if (err && err != E_OFFSET_OUT_OF_RANGE)
        return err;
    q->told = (struct quorum_fetched){
        .offset = q->offset,
        .node = f->sources[f->at].node,
        .err = err,
        .diverges = p->diverging_epoch.end_offset >= 0,
        .leader = p->current_leader.leader_id,
        .epoch = p->current_leader.leader_epoch,
        .committed = p->high_watermark,
        .snapshot = {p->snapshot_id.end_offset, p->snapshot_id.epoch},
        .batches = p->records,
    };
    return E_OK;
}

static void leaderless_look(struct follow *f)
{
    int64_t now = loop_now(f->net);

    if (f->leader >= 0 || f->gave >= 0)
        f->leaderless_since = 0;
    else if (f->leaderless_since == 0)
        f->leaderless_since = now;
    else if (now - f->leaderless_since >= LEADERLESS_MS * MS)
        source_rest(f);
}

static void fetch_answered(struct client_call *call)
{
    struct follow *f = call->arg;
    enum err err = call->err ? call->err : answer_read(f, call->out);

    if (f->ending)
        return;
    if (err) {
        source_failed(f, err);
        return;
    }
    f->wait_ms = RETRY_FIRST_MS;
    if (f->said != f->at)
        TRACE(f->node->io, follow_from, f->sources[f->at].at);
    f->said = f->at;
    f->gave =
        f->question.told.batches.len > 0 || f->question.told.snapshot.offset >= 0 ? f->question.offset : -1;
    leaderless_look(f);
    question_end(f);
}

static void question_came(struct msg *msg)
{
    struct follow *f = container_of(msg, struct follow, question.msg);

    if (f->ending)
        return;
    if (f->gave == f->question.offset) /* what that voter gave was of no use: another one may have it right */
        source_rest(f);
    question_ask(f);
}

void follow_fetch(struct follow *f, int64_t offset, int32_t epoch)
{
    if (f->stopping)
        return;
    f->question.offset = offset;
    f->question.epoch = epoch;
    f->question.msg.run = question_came;
    loop_post(f->net, &f->question.msg);
}

/* ---- pieces of a checkpoint ---- */

static void piece_home(struct msg *msg)
{
    struct piece *p = container_of(msg, struct piece, msg);
    struct follow *f = p->follow;

    if (!f->stopping)
        f->ops.piece(f->ops.arg, p->id, p->at, p->size, p->bytes, p->err);
    arena_drop(&p->arena);
    heap_free(f->node->heap, p);
}

static void piece_end(struct piece *p, enum err err)
{
    p->err = err;
    p->msg.run = piece_home;
    loop_post(p->follow->control, &p->msg);
}

static void piece_answered(struct client_call *call)
{
    struct piece *p = call->arg;

    piece_end(p, call->err ? call->err : piece_read(call->out, p->id, p->at, &p->size, &p->bytes));
}

static void piece_came(struct msg *msg)
{
    struct piece *p = container_of(msg, struct piece, msg);
    struct follow *f = p->follow;
    int at = source_of(f, p->from);

    if (at < 0 || f->ending) {
        piece_end(p, E_BROKER_NOT_AVAILABLE);
        return;
    }
    client_call_init(&p->call, API_FetchSnapshot, client_any(),
                     piece_request(&p->arena, f->node, &f->directory_id, p->id, p->at), &p->arena);
    p->call.done = piece_answered;
    p->call.arg = p;
    client_send(client_of(f, &f->sources[at], &f->sources[at].bulk, FOLLOW_PIECE_MS), &p->call);
}

void follow_ask(struct follow *f, int32_t from, struct quorum_checkpoint id, int64_t at)
{
    struct piece *p;

    if (f->stopping)
        return;
    p = heap_alloc(f->node->heap, sizeof(*p));
    p->msg.run = piece_came;
    p->follow = f;
    p->from = from;
    p->id = id;
    p->at = at;
    arena_init(&p->arena, f->node->heap, SIZE_MAX);
    loop_post(f->net, &p->msg);
}

/* ---- start and stop ---- */

struct follow *follow_start(struct node *node, struct loop *control, const struct uuid *directory_id,
                            struct raft_link *link, const struct follow_ops *ops)
{
    struct follow *f = heap_alloc(node->heap, sizeof(*f));

    f->node = node;
    f->control = control;
    f->first = node->net[0];
    f->net = f->first->loop;
    f->names = loop_start(node->io, LOOP_DISK, "names");
    f->directory_id = *directory_id;
    f->link = link;
    f->ops = *ops;
    f->leader = f->said = -1;
    f->gave = -1;
    f->wait_ms = RETRY_FIRST_MS;
    f->again.fire = again_fired;
    arena_init(&f->question.arena, node->heap, SIZE_MAX);
    sources_of_config(f);
    return f;
}

/* On the control loop, behind everything that net[0] had told it. */
static void gone(struct msg *msg)
{
    struct follow *f = container_of(msg, struct follow, stop);
    struct msg *stopped = f->stopped;
    struct loop *control = f->control;

    for (int i = 0; i < f->n; i++)
        heap_free(f->node->heap, f->sources[i].at);
    arena_drop(&f->question.arena);
    heap_free(f->node->heap, f);
    loop_post(control, stopped);
}

static void names_end(struct follow *f)
{
    f->stop.run = gone;
    loop_stop(f->names, f->control, &f->stop);
}

static void client_closed(void *arg)
{
    struct follow *f = arg;

    if (--f->n_clients == 0)
        names_end(f);
}

static void stop_run(struct msg *msg)
{
    struct follow *f = container_of(msg, struct follow, stop);

    f->ending = true;
    timer_stop(&f->again);
    if (f->n_clients == 0) {
        names_end(f);
        return;
    }
    for (int i = 0; i < f->n; i++) {
        if (f->sources[i].client)
            client_close(f->sources[i].client, client_closed, f);
        if (f->sources[i].bulk)
            client_close(f->sources[i].bulk, client_closed, f);
    }
}

void follow_stop(struct follow *f, struct msg *stopped)
{
    f->stopping = true;
    f->stopped = stopped;
    f->stop.run = stop_run;
    loop_post(f->net, &f->stop);
}
