#include "log/clean_choose.h"
#include "tests/check.h"

/* Four closed segments of 100 bytes and 10 offsets each, and the active one; times are 1000 a segment. */
static const struct clean_segment five[] = {
    {.base = 0, .bytes = 100, .index_bytes = 24, .first_timestamp = 1000, .largest_timestamp = 1900},
    {.base = 10, .bytes = 100, .index_bytes = 24, .first_timestamp = 2000, .largest_timestamp = 2900},
    {.base = 20, .bytes = 100, .index_bytes = 24, .first_timestamp = 3000, .largest_timestamp = 3900},
    {.base = 30, .bytes = 100, .index_bytes = 24, .first_timestamp = 4000, .largest_timestamp = 4900},
    {.base = 40, .bytes = 50, .index_bytes = 0, .first_timestamp = 5000, .largest_timestamp = 5900},
};

static struct clean_view view(void)
{
    return (struct clean_view){.segments = five, .n = 5, .log_end = 45, .stable_end = 45, .checkpoint = -1};
}

static struct log_config config(void)
{
    return (struct log_config){.min_cleanable_dirty_ratio = 0.5,
                               .max_compaction_lag_ms = INT64_MAX,
                               .segment_bytes = 1 << 30,
                               .segment_index_bytes = 10 << 20};
}

/* A log that was never cleaned is dirty from its start up to the active segment. */
TEST(clean_choose, all_but_the_active_segment_is_dirty_at_first)
{
    struct clean_view v = view();
    struct log_config c = config();
    struct clean_range r = clean_range_of(&v, &c, 10000);

    CHECK(r.from == 0 && r.upto == 40 && r.dirty_bytes == 400 && r.clean_bytes == 0 && r.ratio == 1 && r.due);
}

/* Behind the checkpoint it is dirty; it is due when more than min.cleanable.dirty.ratio of its bytes are. */
TEST(clean_choose, ratio_counts_from_the_checkpoint)
{
    struct clean_view v = view();
    struct log_config c = config();

    v.checkpoint = 20;
    struct clean_range r = clean_range_of(&v, &c, 10000);
    CHECK(r.from == 20 && r.clean_bytes == 200 && r.dirty_bytes == 200 && r.ratio == 0.5 && !r.due);
    c.min_cleanable_dirty_ratio = 0.49;
    CHECK(clean_range_of(&v, &c, 10000).due);
    v.checkpoint = 15; /* within a segment, which is dirty then */
    r = clean_range_of(&v, &c, 10000);
    CHECK(r.from == 15 && r.clean_bytes == 100 && r.dirty_bytes == 300);
    v.checkpoint = 40;
    r = clean_range_of(&v, &c, 10000);
    CHECK(r.from == 40 && r.upto == 40 && r.dirty_bytes == 0 && !r.due);
}

/* A checkpoint before the log's start or behind its end says nothing. */
TEST(clean_choose, checkpoint_outside_of_the_log_is_not_believed)
{
    struct clean_view v = view();
    struct log_config c = config();

    v.checkpoint = 46;
    CHECK_EQ(clean_range_of(&v, &c, 10000).from, 0);
    v.checkpoint = 5;
    v.log_start = 12;
    CHECK_EQ(clean_range_of(&v, &c, 10000).from, 12);
}

/* What isn't stable yet isn't cleaned: the segment that holds the first unstable offset ends the range. */
TEST(clean_choose, unstable_records_are_left_alone)
{
    struct clean_view v = view();
    struct log_config c = config();

    v.stable_end = 30;
    CHECK_EQ(clean_range_of(&v, &c, 10000).upto, 30);
    v.stable_end = 29;
    CHECK_EQ(clean_range_of(&v, &c, 10000).upto, 20);
    v.stable_end = 0;
    CHECK_EQ(clean_range_of(&v, &c, 10000).upto, 0);
    CHECK(!clean_range_of(&v, &c, 10000).due);
}

/* Segments younger than min.compaction.lag.ms wait; one older than max.compaction.lag.ms makes the log due.
 * */
TEST(clean_choose, lags_hold_back_and_push)
{
    struct clean_view v = view();
    struct log_config c = config();

    c.min_compaction_lag_ms = 1100;
    CHECK_EQ(clean_range_of(&v, &c, 5000).upto, 30); /* 3900 is old enough, 4900 isn't */
    CHECK_EQ(clean_range_of(&v, &c, 4999).upto, 20);
    c.min_compaction_lag_ms = 0;
    c.min_cleanable_dirty_ratio = 1;
    v.checkpoint = 10;
    c.max_compaction_lag_ms = 3000;
    CHECK(!clean_range_of(&v, &c, 5000).due);
    CHECK(clean_range_of(&v, &c, 5001).due);
    v.checkpoint = 20;
    CHECK(!clean_range_of(&v, &c, 5001).due);
}

/* Of those that are due the dirtiest is chosen. */
TEST(clean_choose, dirtiest_first)
{
    struct clean_range v[] = {{.ratio = 0.9},
                              {.ratio = 0.5, .due = true},
                              {.ratio = 0.7, .due = true},
                              {.ratio = 0.7, .due = true}};

    CHECK_EQ(clean_choose(v, 4), 2);
    CHECK_EQ(clean_choose(v, 1), -1);
    CHECK_EQ(clean_choose(v, 0), -1);
}

/* Neighbours become one segment as long as bytes, index and offsets fit. */
TEST(clean_choose, groups_keep_within_the_limits)
{
    struct clean_view v = view();
    struct log_config c = config();
    struct clean_segment far[] = {
        {.base = 0}, {.base = 10}, {.base = 1 + (int64_t)INT32_MAX}, {.base = 1LL << 40}};

    CHECK_EQ(clean_group(&v, &c, 0, 40), 4);
    CHECK_EQ(clean_group(&v, &c, 0, 25), 3);
    c.segment_bytes = 250;
    CHECK_EQ(clean_group(&v, &c, 0, 40), 2);
    CHECK_EQ(clean_group(&v, &c, 3, 40), 1);
    c.segment_bytes = 50;
    CHECK_EQ(clean_group(&v, &c, 1, 40), 1);
    c.segment_bytes = 1000;
    c.segment_index_bytes = 72;
    CHECK_EQ(clean_group(&v, &c, 0, 40), 3);
    c.segment_index_bytes = 1000;
    v = (struct clean_view){.segments = far, .n = 4, .log_end = 1LL << 40};
    CHECK_EQ(clean_group(&v, &c, 0, 1LL << 40), 2);
}
