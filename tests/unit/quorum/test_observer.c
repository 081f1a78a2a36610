/* What a node outside the quorum promises: the same records in the same order as the voters', from its own copy at once,
 * and never a state that is older than what it has acted on. */
#include "base/trace.h"
#include "quorum/observer.h"
#include "tests/unit/quorum/observer_world.h"
#include <stdlib.h>

static void caught_up(struct observer_world *w)
{
    CHECK(oworld_follow(w));
    CHECK_EQ(w->loaded, 1);
    CHECK_EQ(oworld_topics(w), w->voter.promised);
    CHECK_EQ(w->leader, WORLD_NODE_ID);
}

static int checkpoints(struct observer_world *w, char newest[256]);

/* An empty node gets the whole log, batch by batch, and hears who leads. */
TEST(observer, an_empty_one_follows_from_the_first_batch)
{
    struct observer_world w;

    oworld_init(&w, 1);
    oworld_write(&w, 30);
    CHECK(oworld_start(&w));
    CHECK_EQ(w.offset, 0);
    CHECK_EQ(w.last_epoch, -1);
    caught_up(&w);
    CHECK_EQ(w.installed, 0);
    oworld_write(&w, 30);
    caught_up(&w);
    struct quorum_view v = quorum_view(w.quorum), voters = quorum_view(w.voter.quorum);

    CHECK_EQ(v.committed, voters.committed);
    CHECK_EQ(v.end, voters.end);
    CHECK_EQ(v.epoch, voters.epoch);
    CHECK(v.n_voters == 1 && v.voters[0] == WORLD_NODE_ID);
    oworld_drop(&w);
}

static void told(struct observer *o, int32_t by, bool votes, int32_t leader, int32_t epoch)
{
    const struct quorum_fetched f = {.offset = o->end, .node = by, .leader = leader, .epoch = epoch};

    observer_heard(o, &f, votes);
}

/* Of an older epoch nothing is believed once a voter has told of a newer one, also where nobody leads in that. */
TEST(observer, the_newest_epoch_counts)
{
    struct observer o;

    observer_init(&o, 100, 11);
    told(&o, 3, true, 3, 11);
    told(&o, 1, true, -1, 12);
    CHECK(o.leader == -1 && o.epoch == 12);
    told(&o, 2, true, 3, 11);
    CHECK(o.leader == -1 && o.epoch == 12);
    told(&o, 2, true, 2, 12);
    CHECK(o.leader == 2 && o.epoch == 12 && o.by == -1);
}

/* A voter that was removed without hearing of it stands alone in ever newer epochs: who was told of those by it follows the
 * leader of the epoch that there is as soon as it knows, and believes it no more. */
TEST(observer, epochs_of_a_removed_voter_are_no_news)
{
    struct observer o;

    observer_init(&o, 100, 11);
    told(&o, 3, true, 3, 11);
    told(&o, 1, true, -1, 16);
    CHECK(o.epoch == 16 && o.by == 1);
    observer_doubt(&o);
    CHECK(o.leader == -1 && o.epoch == 11);
    told(&o, 3, true, 3, 12);
    told(&o, 1, false, -1, 17);
    CHECK(o.leader == -1 && o.epoch == 12);
    told(&o, 3, true, 3, 12);
    CHECK(o.leader == 3 && o.epoch == 12);
}

/* The copy has the very bytes of the voters' log. */
TEST(observer, the_copy_is_the_same_bytes)
{
    struct observer_world w;
    uint8_t ours[1 << 14], theirs[1 << 14];
    size_t n = 0, m = 0;

    oworld_init(&w, 2);
    w.settings.segment_bytes = w.voter.settings.segment_bytes;
    oworld_write(&w, 10);
    CHECK(oworld_start(&w));
    caught_up(&w);
    CHECK_OK(sim_file_read(w.voter.sim, OBSERVER_NODE, OBSERVER_LOG "/00000000000000000000.log", 0, ours,
                           sizeof(ours), &n));
    CHECK_OK(sim_file_read(w.voter.sim, WORLD_NODE, WORLD_LOG "/00000000000000000000.log", 0, theirs,
                           sizeof(theirs), &m));
    CHECK(n > 500 && n == m && memcmp(ours, theirs, n) == 0);
    oworld_drop(&w);
}

/* Nothing is told before a leader has been heard of: the copy may be old. */
TEST(observer, its_own_copy_is_told_only_when_it_has_caught_up)
{
    struct observer_world w;

    oworld_init(&w, 3);
    oworld_write(&w, 20);
    CHECK(oworld_start(&w));
    caught_up(&w);
    oworld_begin(&w);
    oworld_write(&w, 20);
    CHECK(oworld_start(&w));
    (void)!sim_run(w.voter.sim, NULL, NULL, 1000000000);
    CHECK_EQ(w.loaded, 0);
    CHECK(w.offset > 20); /* what it had it doesn't ask for */
    caught_up(&w);
    CHECK_EQ(oworld_topics(&w), 40);
    oworld_drop(&w);
}

/* A leader that has just been elected is told of; until its barrier is here nothing is loaded. */
static void newer_epoch(struct observer_world *w, struct quorum_fetched *f)
{
    f->epoch++;
}

TEST(observer, a_leader_without_its_barrier_is_not_caught_up_with)
{
    struct observer_world w;

    oworld_init(&w, 4);
    oworld_write(&w, 5);
    CHECK(oworld_start(&w));
    w.meddle = newer_epoch;
    CHECK(oworld_follow(&w));
    CHECK_EQ(w.loaded, 0);
    w.meddle = NULL;
    qworld_restart(&w.voter); /* a new epoch */
    caught_up(&w);
    oworld_drop(&w);
}

static void three_snapshots(struct observer_world *w)
{
    for (int i = 0; i < 3; i++) {
        oworld_write(w, 60);
        CHECK(qworld_snapshot(&w->voter));
    }
}

/* Where the log's begin is gone, a snapshot comes first, in pieces, and the log behind it. */
TEST(observer, an_empty_one_begins_with_a_snapshot)
{
    struct observer_world w;
    char newest[256];

    oworld_init(&w, 5);
    three_snapshots(&w);
    oworld_write(&w, 10);
    w.piece_bytes = 300;
    CHECK(oworld_start(&w));
    caught_up(&w);
    CHECK_EQ(oworld_topics(&w), 190);
    CHECK_EQ(w.installed, 0); /* before `loaded` nobody needs to know */
    CHECK_EQ(checkpoints(&w, newest), 1);
    oworld_restart(&w);
    caught_up(&w);
    CHECK_EQ(oworld_topics(&w), 190);
    oworld_drop(&w);
}

/* One that was away for a week of changes is brought up by a snapshot; what it had goes. */
TEST(observer, a_week_away_ends_with_a_snapshot)
{
    struct observer_world w;

    oworld_init(&w, 6);
    oworld_write(&w, 25);
    CHECK(oworld_start(&w));
    caught_up(&w);
    oworld_begin(&w);
    three_snapshots(&w);
    CHECK(oworld_start(&w));
    CHECK(w.offset < quorum_view(w.voter.quorum).log_start);
    caught_up(&w);
    CHECK_EQ(trace_count(io_trace(w.io), TR_quorum_installed), 1);
    CHECK_EQ(oworld_topics(&w), 205);
    oworld_drop(&w);
}

/* So is one that was only not served for a while: the broker gets the newer image in place of its own. */
TEST(observer, a_running_one_gets_a_snapshot_too)
{
    struct observer_world w;

    oworld_init(&w, 7);
    oworld_write(&w, 25);
    CHECK(oworld_start(&w));
    caught_up(&w);
    three_snapshots(&w);
    caught_up(&w);
    CHECK_EQ(w.installed, 1);
    oworld_restart(&w);
    caught_up(&w);
    oworld_drop(&w);
}

/* ---- its own snapshots ---- */

struct ckpts {
    int n;
    char newest[256];
};

static void found(void *arg, const char *path, bool is_dir, int64_t size)
{
    struct ckpts *c = arg;
    size_t len = strlen(path);

    if (len < 11 || strcmp(path + len - 11, ".checkpoint") != 0)
        return;
    c->n++;
    (void)snprintf(c->newest, sizeof(c->newest), "%s", path);
}

static int checkpoints(struct observer_world *w, char newest[256])
{
    struct ckpts c = {0};

    sim_files(w->voter.sim, OBSERVER_NODE, OBSERVER_LOG, found, &c);
    memcpy(newest, c.newest, 256);
    return c.n;
}

static void snapshots_written(struct observer_world *w)
{
    w->settings.snapshot_bytes = 4000;
    CHECK(oworld_start(w));
    for (int i = 0; i < 8; i++) {
        oworld_write(w, 20);
        caught_up(w);
        CHECK(oworld_rest(w));
    }
}

/* It writes snapshots of its own by the same settings, keeps two, and its log gives way behind them. */
TEST(observer, it_makes_its_own_snapshots)
{
    struct observer_world w;
    char newest[256];

    oworld_init(&w, 8);
    snapshots_written(&w);
    CHECK_EQ(checkpoints(&w, newest), 2);
    CHECK(quorum_view(w.quorum).log_start > 0);
    oworld_restart(&w);
    caught_up(&w);
    oworld_drop(&w);
}

/* A damaged newest snapshot is passed over and said; the one before and the log behind it give the same. */
TEST(observer, a_damaged_snapshot_is_passed_over)
{
    struct observer_world w;
    char newest[256];

    oworld_init(&w, 9);
    snapshots_written(&w);
    CHECK(oworld_stop(&w));
    CHECK_EQ(checkpoints(&w, newest), 2);
    CHECK_OK(sim_file_flip(w.voter.sim, OBSERVER_NODE, newest, 300, 4));
    w.io = sim_node(w.voter.sim, OBSERVER_NODE);
    CHECK(oworld_start(&w));
    CHECK_OK(w.failed);
    CHECK_EQ(trace_count(io_trace(w.io), TR_quorum_checkpoint_bad), 1);
    caught_up(&w);
    oworld_drop(&w);
}

/* ---- what it refuses ---- */

/* A batch in its own log that rotted stops it, by file and position: it is never cut and fetched anew in silence. */
TEST(observer, a_batch_that_rotted_stops_it)
{
    static const char path[] = OBSERVER_LOG "/00000000000000000000.log";
    struct observer_world w;

    oworld_init(&w, 15);
    oworld_write(&w, 12);
    CHECK(oworld_start(&w));
    caught_up(&w);
    CHECK(oworld_stop(&w));
    CHECK_OK(sim_file_flip(w.voter.sim, OBSERVER_NODE, path, 700, 4));
    w.io = sim_node(w.voter.sim, OBSERVER_NODE);
    CHECK(oworld_start(&w));
    CHECK_EQ(w.failed, E_CORRUPT_MESSAGE);
    CHECK_EQ(trace_count(io_trace(w.io), TR_log_batch_wrong), 1);
    oworld_drop(&w);
}

static void other_history(struct observer_world *w, struct quorum_fetched *f)
{
    f->diverges = true;
    f->batches = SLICE_NULL;
}

static void too_short(struct observer_world *w, struct quorum_fetched *f)
{
    f->err = E_OFFSET_OUT_OF_RANGE;
    f->batches = SLICE_NULL;
}

static const struct refused_row {
    void (*meddle)(struct observer_world *w, struct quorum_fetched *f);
    int said;
} refusals[] = {{other_history, 0}, {too_short, 0}};

/* A leader whose log is of another history, or ends before what this node knows to have committed, stops it. */
TEST_EACH(observer, another_history_stops_it, refusals)
{
    struct observer_world w;

    oworld_init(&w, 10);
    oworld_write(&w, 5);
    CHECK(oworld_start(&w));
    caught_up(&w);
    w.meddle = row->meddle;
    oworld_write(&w, 5);
    CHECK(!oworld_follow(&w));
    CHECK_EQ(w.failed, E_OFFSET_OUT_OF_RANGE);
    CHECK_EQ(trace_count(io_trace(w.io), TR_quorum_diverged), 1);
    CHECK_EQ(w.topics_told, 5);
    oworld_drop(&w);
}

static void older(struct quorum_fetched *f, struct observer_world *w)
{
    f->epoch--;
    f->batches = SLICE_NULL;
    w->meddle = NULL;
}

static void older_history(struct observer_world *w, struct quorum_fetched *f)
{
    f->diverges = true;
    older(f, w);
}

static void older_and_short(struct observer_world *w, struct quorum_fetched *f)
{
    f->err = E_OFFSET_OUT_OF_RANGE;
    older(f, w);
}

static const struct refused_row stale[] = {{older_history, 0}, {older_and_short, 0}};

/* One that led in an older epoch, and hasn't heard yet that it doesn't any more, may lack what has committed since: somebody
 * else is asked. Nor does it say who leads. Also when this start hasn't heard of the newer epoch, but has a batch of it. */
TEST_EACH(observer, a_leader_of_an_older_epoch_contradicts_nothing, stale)
{
    for (int again = 0; again < 2; again++) {
        struct observer_world w;

        oworld_init(&w, 10);
        oworld_write(&w, 5);
        CHECK(oworld_start(&w));
        caught_up(&w);
        if (again) {
            CHECK(oworld_stop(&w));
            w.io = sim_node(w.voter.sim, OBSERVER_NODE);
            CHECK(oworld_start(&w));
        }
        w.meddle = row->meddle;
        oworld_write(&w, 5);
        caught_up(&w);
        CHECK(!w.failed && !w.meddle);
        CHECK_EQ(oworld_topics(&w), 10);
        oworld_drop(&w);
    }
}

/* The voter itself finds the difference: another epoch lies before that offset in its log. */
TEST(observer, a_voter_sees_that_a_copy_diverges)
{
    struct observer_world w;

    oworld_init(&w, 11);
    oworld_write(&w, 5);
    CHECK(oworld_start(&w));
    caught_up(&w);
    oworld_write(&w, 5);
    w.last_epoch--;
    CHECK(!oworld_follow(&w));
    CHECK_EQ(w.failed, E_OFFSET_OUT_OF_RANGE);
    oworld_drop(&w);
}

static void one_bit(struct observer_world *w, struct quorum_fetched *f)
{
    if (f->batches.len == 0)
        return;
    f->batches.p[f->batches.len / 2] ^= 4;
    w->meddle = NULL;
}

static void cut_short(struct observer_world *w, struct quorum_fetched *f)
{
    if (f->batches.len == 0)
        return;
    f->batches.len = 70; /* not even one */
    w->meddle = NULL;
}

static const struct refused_row bad_bytes[] = {{one_bit, 0}, {cut_short, 1}};

/* Bytes that were damaged on their way, or cut, are asked for again; nothing of them is kept. */
TEST_EACH(observer, damaged_bytes_are_asked_for_again, bad_bytes)
{
    struct observer_world w;

    oworld_init(&w, 12);
    oworld_write(&w, 12);
    CHECK(oworld_start(&w));
    w.meddle = row->meddle;
    caught_up(&w);
    CHECK_EQ(oworld_topics(&w), 12);
    CHECK(!w.meddle);
    CHECK_EQ(trace_count(io_trace(w.io), TR_quorum_fetch_bad), row->said);
    oworld_drop(&w);
}

/* It can't be asked to write, nor to confirm that it leads. */
static void refused(struct quorum_entry *e, enum err err)
{
    CHECK_EQ(err, E_NOT_CONTROLLER);
    *(bool *)e->bytes.p = true;
}

struct submission {
    struct observer_world *world;
    struct quorum_entry entry;
    bool over;
};

static void submit_run(struct loop *loop, void *arg)
{
    struct submission *s = arg;

    s->entry.bytes = slice_of(&s->over, sizeof(s->over));
    s->entry.done = refused;
    quorum_submit(s->world->quorum, &s->entry);
}

TEST(observer, it_takes_no_entries)
{
    struct observer_world w;
    struct submission s = {.world = &w};

    oworld_init(&w, 13);
    CHECK(oworld_start(&w));
    caught_up(&w);
    CHECK(sim_call(w.voter.sim, w.io, LOOP_DISK, submit_run, &s));
    (void)!sim_run(w.voter.sim, NULL, NULL, 1000000);
    CHECK(s.over);
    oworld_drop(&w);
}

struct stop_row {
    int topics; /* in the answer that is being told */
};

static const struct stop_row stops[] = {{180}, {200}, {220}, {240}};

/* It asks for nothing any more once its stop has begun, also when the last step of an answer is told after that. */
TEST_EACH(observer, one_that_is_being_stopped_asks_nobody, stops)
{
    struct observer_world w;

    oworld_init_with(&w, 15, 1 << 20);
    w.fetch_bytes = 1 << 20;
    CHECK(oworld_start(&w));
    caught_up(&w);
    oworld_write(&w, row->topics);
    oworld_answer_some(&w);
    CHECK(oworld_stop(&w));
    oworld_drop(&w);
}

/* One question at a time, and one answer to each: a second one finds the first on its way to the disk, or told in part. */
TEST(observer, an_answer_that_comes_twice_is_taken_once)
{
    struct observer_world w;

    oworld_init_with(&w, 16, 1 << 20);
    w.fetch_bytes = 1 << 20;
    w.twice = true;
    oworld_write(&w, 30);
    CHECK(oworld_start(&w));
    caught_up(&w);
    oworld_write(&w, 600);
    oworld_answer_some(&w);
    caught_up(&w);
    CHECK_EQ(trace_count(io_trace(w.io), TR_quorum_fetch_bad), 0);
    oworld_drop(&w);
}

/* It ends while it waits for a leader, with nothing to show. */
TEST(observer, it_stops_while_nobody_answers)
{
    struct observer_world w;

    oworld_init(&w, 14);
    CHECK(oworld_start(&w));
    CHECK_EQ(w.loaded, 0);
    CHECK(oworld_stop(&w));
    oworld_drop(&w);
}
