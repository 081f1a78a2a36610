/* The lives of this node's quorum. It is stopped and started again on the same directory while the node runs on:
 *
 *     RUNS ── ops.role ─────► ENDS: the quorum, and what it follows by, are stopped ── all of it is gone ──► RUNS
 *      │                                                                                                      ▲
 *      └── a file failed ──► ENDS ── all of it is gone ──► RESTS, 1 s, twice as long each time, at most 30 s ──┘
 *
 *  1. While there is no quorum this node doesn't lead, and whoever asks its controller is sent to the leader that was last
 *     heard of (link/uplink.h). Images stay published.
 *  2. What a life had begun is over before the next one begins: entries, reads, questions.
 *  3. No image is published that is older than one that was: a quorum tells `loaded` only when it has caught up with what a
 *     leader had committed, and never when it lacks what an earlier life has told (quorum_settings.told).
 *  4. Nor is anybody told of who led before the leader that was told last: while a life begins, who leads is heard from afar too,
 *     and what the life was answered before an election may come to its disk after it. Such news is dropped (control_led); the
 *     life asks on, and hears the same. Who itself leads an older epoch than that has no majority any more, and ends it. Only
 *     leaders count: an epoch without one may be that of a voter which was removed.
 *  5. A disk that fails ends the controller of this node and nothing else. While it rests the metadata is followed from afar,
 *     in memory (control_afar.c), so that the broker hears what it has to do and where its session is kept. The next life
 *     believes of the files what was synced (quorum_mark). At a start, before anything was served, too: then the broker begins
 *     with what it hears from afar, and a controller alone waits for its disk. What is damaged stops the node at any time,
 *     and so does, at a start, a log of which nobody can tell what is on disk (quorum_view.for_good); who follows from afar by then
 *     goes on so. Where only a file on that disk says who votes first, no life begins before it was read (control_formatted.c).
 *  6. Its messages to voters end with it; one that led has said who is to lead next (quorum/stand.c).
 *  7. A disk that hangs below a leader is one that failed, once another voter has stored what it hasn't; its ENDS takes until
 *     the disk answers, and what follows from afar begins at once. Below a follower it is only told. */
#include "broker/control_internal.h"

enum {
    HEARTBEATS = 8, /* of a leader, in the time after which silence begins an election */
    REST_MAX_S = 30,
    WELL_S = 60 /* after that long the next rest is a first one again */
};

/* ---- the other voters ---- */

static void on_fetched(void *arg, const struct quorum_fetched *f)
{
    const struct control *c = arg;

    if (c->quorum)
        quorum_fetched(c->quorum, f);
}

static void on_hello(void *arg, int32_t node, const struct uuid *directory_id)
{
    const struct control *c = arg;

    if (c->quorum)
        quorum_hello(c->quorum, node, directory_id);
}

static bool on_came(void *arg, int32_t node, struct slice bytes)
{
    const struct control *c = arg;

    return c->quorum ? quorum_deliver(c->quorum, node, bytes) : true; /* dropped, as by one that is down */
}

static bool is_dead(const struct control *c, int32_t node)
{
    for (int i = 0; i < c->n_dead; i++)
        if (c->dead[i] == node)
            return true;
    return false;
}

void control_desert(struct control *c)
{
    const struct quorum_view v = control_quorum(c);
    int n_dead = 0;
    bool deserted;

    for (int i = 0; i < v.n_voters; i++)
        n_dead += is_dead(c, v.voters[i]);
    deserted = n_dead > 0 && v.n_voters - n_dead < v.n_voters / 2 + 1;
    if (deserted == c->deserted)
        return;
    c->deserted = deserted;
    c->ops.deserted(c->ops.arg, deserted);
}

static void dead_note(struct control *c, int32_t node, bool is)
{
    if (is && !is_dead(c, node)) {
        ASSERT(c->n_dead < RAFT_LINK_PEERS);
        c->dead[c->n_dead++] = node;
    }
    for (int i = 0; i < c->n_dead && !is; i++)
        if (c->dead[i] == node)
            c->dead[i--] = c->dead[--c->n_dead];
    control_desert(c);
}

/* A link to the voters knows it better. */
void control_gone(void *arg, int32_t node, bool is)
{
    struct control *c = arg;

    if (!c->node->raft_link)
        dead_note(c, node, is);
}

static void on_dead(void *arg, int32_t node)
{
    struct control *c = arg;

    dead_note(c, node, true);
    if (c->quorum)
        quorum_dead(c->quorum, node);
}

static void on_alive(void *arg, int32_t node)
{
    struct control *c = arg;

    dead_note(c, node, false);
    if (c->quorum)
        quorum_alive(c->quorum, node);
}

static void on_piece(void *arg, struct quorum_checkpoint id, int64_t at, int64_t size, struct slice bytes,
                     enum err err)
{
    const struct control *c = arg;

    if (c->quorum)
        quorum_piece(c->quorum, id, at, size, bytes, err);
}

/* Voters speak to this node whatever its quorum does, so their connections outlive it. */
static void link_begin(struct control *c, const struct config_voter *voters, int n)
{
    const struct raft_link_settings settings = {
        .directory_id = c->settings.metadata_dir_id, .voters = voters, .n_voters = n};
    const struct raft_link_ops ops = {
        .hello = on_hello, .came = on_came, .dead = on_dead, .alive = on_alive, .piece = on_piece, .arg = c};

    c->node->raft_link = raft_link_start(c->node, c->loop, &settings, &ops);
}

void control_follow(struct control *c)
{
    const struct follow_ops ops = {.fetched = on_fetched, .piece = on_piece, .arg = c};

    if (!c->follow && follow_may(c->node))
        c->follow = follow_start(c->node, c->loop, &c->settings.metadata_dir_id, c->node->raft_link, &ops);
}

/* ---- what is on its way out ---- */

static void life_begin(struct control *c);

static void life_next(struct control *c)
{
    if (c->ending || c->quorum || c->n_closing > 0)
        return;
    if (c->resting)
        afar_begin(c);
    else
        life_begin(c);
}

static void closed(struct control *c)
{
    struct msg *unlinked = c->unlinked;

    ASSERT(c->n_closing > 0);
    if (--c->n_closing > 0)
        return;
    c->unlinked = NULL;
    if (unlinked)
        loop_post(c->loop, unlinked);
    if (c->stopped)
        loop_post(c->loop, &c->drained);
    else
        life_next(c);
}

static void quorum_gone(struct msg *msg)
{
    closed(container_of(msg, struct control, quorum_gone));
}

/* The quorum may be long on its way out: its disk hangs. */
static void afar_early(struct control *c)
{
    if (c->resting && !c->ending && !c->quorum && !c->follow_closing && !c->afar_closing)
        afar_begin(c);
}

static void follow_gone(struct msg *msg)
{
    struct control *c = container_of(msg, struct control, follow_gone);

    c->follow_closing = false;
    afar_early(c);
    closed(c);
}

static void afar_gone(struct msg *msg)
{
    struct control *c = container_of(msg, struct control, afar_gone);

    c->afar_closing = false;
    afar_early(c);
    closed(c);
}

static void link_gone(struct msg *msg)
{
    closed(container_of(msg, struct control, link_gone));
}

static void follow_end(struct control *c)
{
    if (!c->follow)
        return;
    c->n_closing++;
    c->follow_closing = true;
    follow_stop(c->follow, &c->follow_gone);
    c->follow = NULL;
}

static void from_afar_no_more(struct control *c)
{
    if (!c->afar.follow)
        return;
    c->n_closing++;
    c->afar_closing = true;
    afar_end(c, &c->afar_gone);
}

static void quorum_end(struct control *c)
{
    c->n_closing++;
    quorum_stop(c->quorum, &c->quorum_gone);
}

void control_unlink(struct control *c, struct msg *unlinked)
{
    struct raft_link *l = c->node->raft_link;

    follow_end(c); /* these look into the link */
    from_afar_no_more(c);
    c->node->raft_link = NULL;
    if (l) {
        c->n_closing++;
        raft_link_stop(l, &c->link_gone);
    }
    timer_stop(&c->rest);
    if (c->n_closing > 0)
        c->unlinked = unlinked;
    else
        loop_post(c->loop, unlinked);
}

void control_life_end(struct control *c)
{
    if (c->quorum)
        quorum_end(c);
    else if (c->n_closing == 0)
        loop_post(c->loop, &c->drained);
}

/* ---- a life ---- */

/* Who else could say whether this node votes doesn't. */
static bool votes_unread(const struct control *c)
{
    return c->settings.formatted->unread && !c->quorum_settings.observes && !c->quorum_settings.fixed;
}

static void life_begin(struct control *c)
{
    struct quorum_ops ops = control_quorum_ops;

    if (votes_unread(c)) {
        c->n_closing++;
        control_formatted_read(c, &c->formats_gone);
        return;
    }
    ops.arg = c;
    if (c->loaded)
        c->quorum_settings.told = ctl_tip(c->ctl)->offset;
    c->quorum = quorum_start(c->node->io, c->loop, ctl_grave(c->ctl), &c->quorum_settings, &ops);
    followers_open(c->node->followers, c->quorum);
}

/* The next one begins when nothing of this one is left. */
static void life_end(struct control *c)
{
    c->over_due = false;
    control_unlead(c);
    followers_close(c->node->followers);
    c->view = quorum_view(c->quorum);
    quorum_end(c);
    c->quorum = NULL;
    follow_end(c);
    afar_early(c);
}

static void over_run(struct msg *msg)
{
    struct control *c = container_of(msg, struct control, over);

    c->over_posted = false;
    if (c->over_due && c->quorum && !c->ending)
        life_end(c);
}

/* Not inside the quorum's callback. */
void control_role(struct control *c)
{
    c->over_due = true;
    if (!c->over_posted)
        loop_post(c->loop, &c->over);
    c->over_posted = true;
}

/* ---- a disk that failed ---- */

/* At the first start a person must mend what isn't there, isn't ours, or is in use. */
static bool may_come_back(const struct control *c, enum err err)
{
    return err == E_IO || err == E_FULL || err == E_KAFKA_STORAGE_ERROR ||
           (c->loaded && (err == E_NOENT || err == E_ACCESS || err == E_BUSY || err == E_EOF));
}

static void rest_over(struct timer *timer)
{
    struct control *c = container_of(timer, struct control, rest);

    c->resting = false;
    life_next(c);
}

/* It served already: the broker goes on with what it hears. */
static bool rest_for_good(struct control *c)
{
    if (c->loaded) {
        TRACE(c->node->io, control_rests_for_good);
        c->resting = true;
        control_role(c);
    }
    return c->loaded;
}

static void rest_begin(struct control *c)
{
    int64_t now = loop_now(c->loop);
    bool first = c->rest_s == 0 || c->well_ns > 0;

    if (c->rest_s == 0 || (c->well_ns > 0 && now - c->well_ns > WELL_S * INT64_C(1000000000)))
        c->rest_s = 1;
    else
        c->rest_s = 2 * c->rest_s < REST_MAX_S ? 2 * c->rest_s : REST_MAX_S;
    if (first)
        TRACE(c->node->io, control_rests, c->rest_s);
    else
        TRACE(c->node->io, control_rests_still, c->rest_s);
    c->well_ns = 0;
    c->resting = true;
    timer_set(c->loop, &c->rest, now + c->rest_s * INT64_C(1000000000));
}

bool control_rest(struct control *c, enum err err)
{
    if (!may_come_back(c, err))
        return false;
    if (quorum_view(c->quorum).for_good)
        return rest_for_good(c);
    rest_begin(c);
    control_role(c);
    return true;
}

bool control_led(struct control *c, int32_t leader, int32_t epoch)
{
    if (epoch < c->led)
        return false;
    if (leader >= 0)
        c->led = epoch;
    return true;
}

void control_well(struct control *c)
{
    if (c->rest_s > 0 && c->well_ns == 0) {
        c->well_ns = loop_now(c->loop);
        TRACE(c->node->io, control_back, (long long)quorum_view(c->quorum).committed);
    }
    from_afar_no_more(c);
}

/* Those of controller.quorum.voters, or those that the directory was formatted with: where neither names it, this node begins
 * no log, but follows until it is made a voter. */
static void first_voters(const struct control *c, const struct config_voter *voters, int n,
                         struct quorum_settings *out)
{
    const struct formatted *f = c->settings.formatted;

    out->fixed = n > 0;
    out->joins = !out->fixed && !formatted_names(f, c->node->id, &c->settings.metadata_dir_id);
    for (int i = 0; i < n; i++)
        out->voters[out->n_voters++] = voters[i].id;
    for (int i = 0; i < f->n && !out->fixed; i++) {
        out->voters[out->n_voters] = f->v[i].node;
        out->voter_directories[out->n_voters++] = f->v[i].directory_id;
    }
}

/* Where these listen, until they say it themselves. */
static void first_places(const struct control *c)
{
    const struct formatted *f = c->settings.formatted;

    for (int i = 0; i < f->n; i++)
        if (f->v[i].node != c->node->id && f->v[i].port)
            raft_link_place(c->node->raft_link, f->v[i].node, SLICE(f->v[i].host), f->v[i].port);
}

/* What couldn't be read at the start: now it could, or its disk is waited for. */
static void formats_gone(struct msg *msg)
{
    struct control *c = container_of(msg, struct control, formats_gone);
    enum err err = c->formats.err;

    if (c->ending) {
        closed(c);
        return;
    }
    if (!err) {
        c->settings.formatted = &c->formats.formatted;
        first_voters(c, NULL, 0, &c->quorum_settings);
        first_places(c);
    } else if (may_come_back(c, err)) {
        rest_begin(c);
    } else {
        c->resting = true;
        c->ops.failed(c->ops.arg, err, "reading which voters the metadata log begins with");
    }
    closed(c);
}

void control_life_first(struct control *c)
{
    const struct config *cfg = c->settings.config;
    struct quorum_settings *s = &c->quorum_settings;
    int n;
    const struct config_voter *voters = config_voters(cfg, &n);

    *s = (struct quorum_settings){
        .election_ms = (int32_t)config_int(cfg, C_quorum_election_ms),
        .heartbeat_ms = (int32_t)config_int(cfg, C_quorum_election_ms) / HEARTBEATS,
        .dir = config_metadata_dir(cfg),
        .node_id = c->node->id,
        .directory_id = c->settings.metadata_dir_id,
        .observes = !config_controls(cfg),
        .snapshot_bytes = config_int(cfg, C_metadata_log_max_record_bytes_between_snapshots),
        .snapshot_ms = config_int(cfg, C_metadata_log_max_snapshot_interval_ms),
        .segment_bytes = config_int(cfg, C_metadata_log_segment_bytes),
        .segment_ms = config_int(cfg, C_metadata_log_segment_ms),
        .retention_bytes = config_int(cfg, C_metadata_max_retention_bytes),
        .retention_ms = config_int(cfg, C_metadata_max_retention_ms),
        .mark = &c->mark,
    };
    first_voters(c, voters, n, s);
    c->over.run = over_run;
    c->rest.fire = rest_over;
    c->afar_gone.run = afar_gone;
    c->quorum_gone.run = quorum_gone;
    c->follow_gone.run = follow_gone;
    c->link_gone.run = link_gone;
    c->formats_gone.run = formats_gone;
    c->view = (struct quorum_view){.leader = -1, .snapshot = -1};
    if (!s->observes) {
        link_begin(c, voters, n);
        if (!s->fixed)
            first_places(c);
    }
    life_begin(c);
}
