/* Indexes that a start makes again in segments which no later scan looks at: no crash leaves a wrong one there, because it
 * would be believed for good. */
#include "tests/unit/log/fault_sweep.h"
#include "tests/unit/log/log_world.h"
#include <stdio.h>
#include <stdlib.h>

enum { BATCHES = 240, OLDER = 2, FILES = 2 * OLDER, INDEX_BYTES = 4096 };

struct mend_run {
    struct log_world w;
    char paths[FILES][128]; /* both indexes of the oldest segments */
    uint8_t was[FILES][INDEX_BYTES];
    size_t len[FILES];
    int n;
    bool missing; /* they are lost; else the newest segment is damaged */
};

static bool is_index(const char *path)
{
    return strstr(path, ".index") || strstr(path, ".timeindex");
}

static void find_older(void *arg, const char *path, bool is_dir, int64_t size)
{
    struct mend_run *r = arg;

    if (!is_dir && is_index(path) && r->n < FILES) {
        CHECK(size > 512 && size <= INDEX_BYTES && strlen(path) < sizeof(r->paths[0]));
        strcpy(r->paths[r->n++], path);
    }
}

static void last_log(void *arg, const char *path, bool is_dir, int64_t size)
{
    (void)size;
    if (!is_dir && strstr(path, ".log"))
        (void)snprintf(arg, sizeof(((struct mend_run *)0)->paths[0]), "%s", path);
}

static void hurt(struct sweep *s, const struct mend_run *r)
{
    char newest[sizeof(r->paths[0])] = "";

    if (!r->missing) { /* its last batch isn't one any more */
        struct bytes b;
        world_batch(io_heap(s->io), r->w.n - 1, 0, &b);
        sim_files(s->sim, 1, "/", last_log, newest);
        CHECK_OK(sim_file_flip(s->sim, 1, newest,
                               sim_file_size(s->sim, 1, newest) - (int64_t)b.len + BATCH_MAGIC_AT, 0x40));
        bytes_drop(&b);
        return;
    }
    for (int i = 0; i < FILES; i++)
        CHECK_OK(path_remove(s->io, r->paths[i]));
    CHECK_OK(dir_sync(s->io, WORLD_DIR "/" WORLD_LOG));
}

static void mend_before(struct sweep *s)
{
    struct mend_run *r = s->arg;
    bool missing = r->missing;

    *r = (struct mend_run){.missing = missing};
    world_config(&r->w);
    r->w.config.segment_bytes = 24000;
    r->w.config.index_interval_bytes = 60;
    CHECK_OK(world_start(&r->w, s->io));
    for (int i = 0; i < BATCHES; i++)
        CHECK_OK(world_append(&r->w));
    CHECK_OK(world_stop(&r->w));
    sim_files(s->sim, 1, "/", find_older, r);
    CHECK_EQ(r->n, FILES);
    for (int i = 0; i < FILES; i++)
        CHECK_OK(sim_file_read(s->sim, 1, r->paths[i], 0, r->was[i], INDEX_BYTES, &r->len[i]));
    hurt(s, r);
}

static void mend_act(struct sweep *s)
{
    struct mend_run *r = s->arg;
    struct log_world *w = &r->w;

    CHECK_OK(world_start(w, s->io));
    w->n = r->missing ? BATCHES : BATCHES - 1;
    for (int i = 0; i < 3; i++)
        CHECK_OK(world_append(w));
    CHECK_OK(world_sync(w, LOG_SYNC_ALL));
    CHECK_OK(world_checkpoint(w));
}

static void mend_after(struct sweep *s)
{
    struct mend_run *r = s->arg;
    uint8_t is[INDEX_BYTES];
    size_t len;

    if (s->acted) {
        world_drop(&r->w);
        return; /* no fault: the sweep is over */
    }
    CHECK_OK(world_start(&r->w, s->io));
    for (int i = 0; i < FILES; i++) {
        CHECK_OK(sim_file_read(s->sim, 1, r->paths[i], 0, is, INDEX_BYTES, &len));
        if (len != r->len[i] || memcmp(is, r->was[i], len) != 0)
            test_fail(__FILE__, __LINE__, "%s isn't what it was", r->paths[i]);
    }
    world_adopt_end(&r->w);
    world_verify(&r->w);
    CHECK_OK(world_stop(&r->w));
}

static void crash_everywhere(bool missing, int least)
{
    struct mend_run *r = calloc(1, sizeof(*r));
    struct sweep_case c = {.before = mend_before, .act = mend_act, .after = mend_after, .arg = r};

    r->missing = missing;
    int n = sweep_run(&c, SIM_CRASH_POWER, 1);
    if (n < least)
        test_fail(__FILE__, __LINE__, "only %d faults were met", n);
    free(r);
}

/* Indexes that were missing are whole after a power cut at any moment of the start that makes them and of what follows. */
TEST(index_mend, power_cuts_leave_no_wrong_index_where_one_was_missing)
{
    crash_everywhere(true, 20);
}

/* A damaged newest segment after a clean stop: the indexes of those before it stay as they are, whenever the power goes. */
TEST(index_mend, power_cuts_leave_older_indexes_alone_where_the_newest_segment_is_damaged)
{
    crash_everywhere(false, 10);
}
