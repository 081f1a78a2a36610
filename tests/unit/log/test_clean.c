#include "log/clean_task.h"
#include "tests/unit/log/clean_world.h"
#include <limits.h>

enum { MAP_BYTES = 1 << 20 };

static struct clean_world_record model[CLEAN_WORLD_RECORDS];

static void in_sim(uint64_t seed, void (*fn)(struct loop *loop, void *arg), struct clean_world *w)
{
    struct sim *s = sim_new(seed);

    clean_world_init(w, model, seed);
    w->io = sim_node(s, 1);
    CHECK(sim_call(s, w->io, LOOP_DISK, fn, w));
    CHECK_EQ(sim_files_open(s, 1), 0);
    sim_drop(s);
}

static void last_values(struct loop *loop, void *arg)
{
    struct clean_world *w = arg;

    (void)loop;
    CHECK_OK(clean_world_open(w, w->io));
    CHECK_OK(clean_world_fill(w, 200, CLEAN_WORLD_KEYS));
    int64_t before = log_size(w->log);
    CHECK_OK(clean_world_clean(w, MAP_BYTES));
    CHECK(w->checkpoint > w->n / 2 && log_size(w->log) < before / 2);
    clean_world_check(w, w->checkpoint, w->checkpoint);
    CHECK_OK(clean_world_close(w));
    CHECK_OK(clean_world_open(w, w->io));
    clean_world_check(w, w->checkpoint, w->checkpoint);
    CHECK_OK(clean_world_close(w));
}

/* Below the checkpoint the last record of each key is left and no other, everything behind it is whole, and a
 * restart changes nothing. */
TEST(clean, last_value_of_each_key_is_left)
{
    struct clean_world w;
    in_sim(1, last_values, &w);
}

static void tombstones_go(struct loop *loop, void *arg)
{
    struct clean_world *w = arg;
    struct clean_progress p[3];

    (void)loop;
    CHECK_OK(clean_world_open(w, w->io));
    CHECK_OK(clean_world_fill(w, 200, CLEAN_WORLD_KEYS));
    for (int i = 0; i < 3; i++) {
        struct clean_range range;
        w->now_ms += i == 2 ? 100000 : 0;
        CHECK_OK(clean_look(w->log, -1, log_end(w->log), w->now_ms, &range));
        struct clean *c = clean_new(w->log, &range, MAP_BYTES, w->now_ms);
        enum err err;
        while ((err = clean_step(c, w->now_ms)) == E_BUSY)
            ;
        CHECK_OK(err);
        p[i] = *clean_progress(c);
        w->checkpoint = clean_reached(c);
        clean_drop(c);
        clean_world_check(w, w->checkpoint, w->checkpoint);
    }
    CHECK(p[0].records_kept < p[0].records_read);
    CHECK_EQ(p[1].records_kept, p[0].records_kept);
    CHECK(p[2].records_kept < p[1].records_kept);
    CHECK_OK(clean_world_close(w));
}

/* Tombstones stay until delete.retention.ms after they were first cleaned, and go at the next cleaning. */
TEST(clean, tombstones_stay_for_their_time)
{
    struct clean_world w;
    in_sim(3, tombstones_go, &w);
}

static void small_map(struct loop *loop, void *arg)
{
    struct clean_world *w = arg;
    int rounds = 0;
    int64_t before = -1;

    (void)loop;
    CHECK_OK(clean_world_open(w, w->io));
    CHECK_OK(clean_world_fill(w, 200, CLEAN_WORLD_KEYS));
    while (w->checkpoint > before || rounds == 0) {
        before = w->checkpoint;
        CHECK_OK(clean_world_clean(w, 24 * 12));
        clean_world_check(w, 0, w->checkpoint);
        rounds++;
    }
    CHECK(rounds > 3);
    CHECK_EQ(clean_world_clean(w, MAP_BYTES), E_OK);
    CHECK_OK(clean_world_close(w));
}

/* Where the map is too small for all keys the log is cleaned in several rounds, each as far as the map goes.
 * */
TEST(clean, small_map_takes_several_rounds)
{
    struct clean_world w;
    in_sim(4, small_map, &w);
}

static void too_small_map(struct loop *loop, void *arg)
{
    struct clean_world *w = arg;

    (void)loop;
    CHECK_OK(clean_world_open(w, w->io));
    for (int i = 0; i < 60; i++)
        CHECK_OK(clean_world_append(w, 8, CLEAN_WORLD_KEYS));
    int64_t before = log_size(w->log);
    CHECK_EQ(clean_world_clean(w, 24 * 2), E_NOMEM);
    CHECK_EQ(log_size(w->log), before);
    clean_world_check(w, 0, 0);
    CHECK_OK(clean_world_close(w));
}

/* A map that doesn't hold the keys of one batch is an error that changes nothing. */
TEST(clean, map_smaller_than_a_batch_is_refused)
{
    struct clean_world w;
    in_sim(5, too_small_map, &w);
}

static void reading_on(struct loop *loop, void *arg)
{
    struct clean_world *w = arg;
    struct log_limits limits = {.up_to = INT64_MAX, .max_bytes = 1 << 20, .min_one = true};
    struct log_range range;
    uint8_t before[2000], after[2000];
    size_t got;

    (void)loop;
    CHECK_OK(clean_world_open(w, w->io));
    CHECK_OK(clean_world_fill(w, 100, 2));
    CHECK_OK(log_read(w->log, 0, &limits, &range));
    CHECK(range.len > 0 && range.len <= sizeof(before));
    CHECK_OK(file_read(range.file, range.at, before, range.len, &got));
    CHECK_OK(clean_world_clean(w, MAP_BYTES));
    (void)log_env_due(w->env, w->now_ms + 100000); /* the old files are gone now */
    CHECK_OK(file_read(range.file, range.at, after, range.len, &got));
    CHECK(got == range.len && memcmp(before, after, got) == 0);
    log_range_drop(&range);
    clean_world_check(w, w->checkpoint, w->checkpoint);
    CHECK_OK(clean_world_close(w));
}

/* Who was reading a segment when it was replaced reads on in the old one. */
TEST(clean, readers_keep_the_file_that_they_hold)
{
    struct clean_world w;
    in_sim(6, reading_on, &w);
}

static void cut_under_it(struct loop *loop, void *arg)
{
    struct clean_world *w = arg;
    struct clean_range range;
    int removed;

    (void)loop;
    CHECK_OK(clean_world_open(w, w->io));
    CHECK_OK(clean_world_fill(w, 100, 2));
    CHECK_OK(clean_look(w->log, -1, log_end(w->log), w->now_ms, &range));
    struct clean *c = clean_new(w->log, &range, MAP_BYTES, w->now_ms);
    CHECK_EQ(clean_step(c, w->now_ms), E_BUSY);
    CHECK_OK(log_start_set(w->log, w->n - 1, w->n));
    CHECK_OK(log_retain(w->log, w->now_ms, w->n, &removed));
    CHECK(removed > 0);
    enum err err;
    while ((err = clean_step(c, w->now_ms)) == E_BUSY)
        ;
    CHECK_EQ(err, E_CANCELED);
    clean_drop(c);
    clean_world_check(w, 0, 0);
    CHECK_OK(clean_world_close(w));
}

/* Segments that retention takes away under a cleaning end it, without harm. */
TEST(clean, lost_segments_end_a_cleaning)
{
    struct clean_world w;
    in_sim(7, cut_under_it, &w);
}

static void restarted_under_it(struct loop *loop, void *arg)
{
    struct clean_world *w = arg;
    struct clean_range range;

    (void)loop;
    CHECK_OK(clean_world_open(w, w->io));
    test_random_init(&w->random, 8);
    CHECK_OK(clean_world_fill(w, 100, 2));
    CHECK_OK(clean_look(w->log, -1, log_end(w->log), w->now_ms, &range));
    struct clean *c = clean_new(w->log, &range, MAP_BYTES, w->now_ms);
    CHECK_EQ(clean_step(c, w->now_ms), E_BUSY);
    CHECK_OK(log_restart_at(w->log, 0, w->now_ms));
    w->n = 0;
    w->sequence = 0;
    test_random_init(&w->random, 8);
    CHECK_OK(clean_world_fill(w, 100, 2)); /* segments with the same bases again */
    CHECK_EQ(clean_step(c, w->now_ms), E_CANCELED);
    clean_drop(c);
    clean_world_check(w, 0, 0);
    CHECK_OK(clean_world_close(w));
}

/* A log that was emptied and filled again isn't cleaned by what was seen before. */
TEST(clean, log_begun_anew_ends_a_cleaning)
{
    struct clean_world w;
    in_sim(8, restarted_under_it, &w);
}

static void random_life(struct loop *loop, void *arg)
{
    struct clean_world *w = arg;
    int cleanings = 0;

    (void)loop;
    CHECK_OK(clean_world_open(w, w->io));
    for (int i = 0; i < 150 && w->n < CLEAN_WORLD_RECORDS - 200; i++) {
        int keys = 1 + (int)test_random_below(&w->random, CLEAN_WORLD_KEYS);
        w->codec = (enum codec)test_random_below(&w->random, 5);
        CHECK_OK(clean_world_fill(w, (int)test_random_below(&w->random, 20), keys));
        w->now_ms += (int64_t)test_random_below(&w->random, 3000);
        if (test_random_below(&w->random, 4) == 0) {
            int64_t before = w->checkpoint;
            CHECK_OK(clean_world_clean(w, test_random_below(&w->random, 2) ? 24 * 20 : MAP_BYTES));
            cleanings += w->checkpoint > before;
            clean_world_check(w, w->checkpoint, w->checkpoint);
        }
        if (test_random_below(&w->random, 20) == 0) {
            CHECK_OK(clean_world_close(w));
            CHECK_OK(clean_world_open(w, w->io));
        }
        (void)log_env_due(w->env, w->now_ms);
    }
    clean_world_check(w, w->checkpoint, w->checkpoint);
    CHECK(cleanings > 3);
    CHECK_OK(clean_world_close(w));
}

static const uint64_t seeds[] = {11, 12, 13, 14, 15, 16, 17, 18};
/* Whatever is appended, with whatever codec, cleaned with whatever map, closed and opened: what is read is
 * what a model that forgets nothing says must be there. */
TEST_EACH(clean, equals_a_model_that_forgets_nothing, seeds)
{
    struct clean_world w;
    in_sim(*row, random_life, &w);
}

/* ---- as messages ---- */

struct turns {
    struct clean_task task;
    struct msg other;
    struct loop *loop;
    struct clean_world w;
    int others; /* turns of another message while the cleaning went on */
    bool done;
    enum err err;
    int64_t began, ended;
};

static void other_turn(struct msg *msg)
{
    struct turns *t = container_of(msg, struct turns, other);

    if (t->done)
        return;
    t->others++;
    loop_post(t->loop, &t->other);
}

static void task_done(struct clean_task *task, enum err err)
{
    struct turns *t = container_of(task, struct turns, task);

    t->done = true;
    t->err = err;
    t->ended = loop_now(t->loop);
}

static void task_begin(struct loop *loop, void *arg)
{
    struct turns *t = arg;
    struct clean_range range;

    t->loop = loop;
    CHECK_OK(clean_world_open(&t->w, t->w.io));
    CHECK_OK(clean_world_fill(&t->w, 300, 4));
    CHECK_OK(clean_look(t->w.log, -1, log_end(t->w.log), t->w.now_ms, &range));
    t->task.loop = loop;
    t->task.io = t->w.io;
    t->task.done = task_done;
    t->began = loop_now(loop);
    t->other = (struct msg){.run = other_turn};
    clean_task_start(&t->task, clean_new(t->w.log, &range, MAP_BYTES, t->w.now_ms));
    loop_post(loop, &t->other);
}

static void task_end(struct loop *loop, void *arg)
{
    struct turns *t = arg;

    (void)loop;
    clean_world_check(&t->w, 0, t->task.reached);
    CHECK_OK(clean_world_close(&t->w));
}

static bool is_done(void *arg)
{
    return ((struct turns *)arg)->done;
}

/* Between two steps whatever else waits for the loop has its turn. */
TEST(clean_task, others_have_their_turn_between_steps)
{
    struct sim *s = sim_new(21);
    struct turns t = {.task.bytes_per_second = 1e300};

    clean_world_init(&t.w, model, 21);
    t.w.io = sim_node(s, 1);
    CHECK(sim_call(s, t.w.io, LOOP_DISK, task_begin, &t));
    CHECK(!t.done);
    CHECK(sim_run(s, is_done, &t, (int64_t)60e9));
    CHECK_OK(t.err);
    CHECK(t.others > 10 && t.task.progress.segments_after > 0);
    CHECK(sim_call(s, t.w.io, LOOP_DISK, task_end, &t));
    sim_drop(s);
}

/* A rate keeps the cleaning from reading and writing faster. */
TEST(clean_task, keeps_to_its_rate)
{
    struct sim *s = sim_new(22);
    struct turns t = {.task.bytes_per_second = 10000};

    clean_world_init(&t.w, model, 22);
    t.w.io = sim_node(s, 1);
    CHECK(sim_call(s, t.w.io, LOOP_DISK, task_begin, &t));
    t.other.run = other_turn;
    CHECK(sim_run(s, is_done, &t, (int64_t)600e9));
    int64_t bytes = t.task.progress.bytes_read + t.task.progress.bytes_written;
    CHECK_OK(t.err);
    CHECK(t.ended - t.began > (bytes - 4 * CLEAN_STEP_BYTES) * 100000 && t.ended - t.began > (int64_t)1e9);
    CHECK(sim_call(s, t.w.io, LOOP_DISK, task_end, &t));
    sim_drop(s);
}

static void task_stop(struct loop *loop, void *arg)
{
    struct turns *t = arg;

    (void)loop;
    clean_task_stop(&t->task);
    clean_task_stop(&t->task);
    CHECK(!t->done);
    clean_world_check(&t->w, 0, t->w.n);
    CHECK_OK(clean_world_close(&t->w));
}

/* Stopped, it lets go of the log at once and says so later, once. */
TEST(clean_task, stop_lets_go_at_once)
{
    struct sim *s = sim_new(23);
    struct turns t = {.task.bytes_per_second = 10000};

    clean_world_init(&t.w, model, 23);
    t.w.io = sim_node(s, 1);
    CHECK(sim_call(s, t.w.io, LOOP_DISK, task_begin, &t));
    CHECK(sim_call(s, t.w.io, LOOP_DISK, task_stop, &t));
    CHECK(sim_run(s, is_done, &t, (int64_t)600e9));
    CHECK_EQ(t.err, E_CANCELED);
    CHECK_EQ(sim_files_open(s, 1), 0);
    sim_drop(s);
}
