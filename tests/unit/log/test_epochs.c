#include "log/epochs.h"
#include "tests/check.h"

static void open_with(struct epochs *e, int n, const struct epoch_row *rows)
{
    epochs_init(e, heap_new(true));
    for (int i = 0; i < n; i++)
        CHECK(epochs_assign(e, rows[i].epoch, rows[i].start));
}

static void close_it(struct epochs *e)
{
    epochs_drop(e);
    CHECK_EQ(heap_used(e->heap), 0);
    heap_drop(e->heap);
}

static void check_rows(const struct epochs *e, uint32_t n, const struct epoch_row *rows)
{
    CHECK_EQ(e->n, n);
    for (uint32_t i = 0; i < n; i++) {
        CHECK_EQ(e->rows[i].epoch, rows[i].epoch);
        CHECK_EQ(e->rows[i].start, rows[i].start);
    }
}

#define ROWS(...)                                                                                            \
    (int)(sizeof((struct epoch_row[]){__VA_ARGS__}) / sizeof(struct epoch_row)), (struct epoch_row[])        \
    {                                                                                                        \
        __VA_ARGS__                                                                                          \
    }

/* An epoch is entered once, at its first batch; the same again changes nothing. */
TEST(epochs, assign_keeps_the_first_offset_of_each_epoch)
{
    struct epochs e;
    open_with(&e, ROWS({0, 0}, {2, 10}, {5, 20}));
    CHECK(!epochs_assign(&e, 5, 25));
    check_rows(&e, ROWS({0, 0}, {2, 10}, {5, 20}));
    CHECK_EQ(epochs_latest(&e), 5);
    close_it(&e);
}

/* A new row drives out those that it contradicts: later epochs, and those that start where it does or behind.
 */
TEST(epochs, assign_drops_rows_that_contradict_it)
{
    struct epochs e;
    open_with(&e, ROWS({0, 0}, {2, 10}, {5, 20}));
    CHECK(epochs_assign(&e, 6, 20));
    check_rows(&e, ROWS({0, 0}, {2, 10}, {6, 20}));
    CHECK(epochs_assign(&e, 7, 5));
    check_rows(&e, ROWS({0, 0}, {7, 5}));
    CHECK(epochs_assign(&e, 3, 9));
    check_rows(&e, ROWS({0, 0}, {3, 9}));
    CHECK(epochs_assign(&e, 3, 7));
    check_rows(&e, ROWS({0, 0}, {3, 7}));
    close_it(&e);
}

struct end_row {
    int32_t asked, epoch;
    int64_t end;
};
static const struct end_row ends[] = {
    {-1, -1, -1}, {0, 0, 7},  {1, 1, 7},  {2, 2, 15}, {3, 2, 15},
    {4, 4, 40},   {5, 4, 40}, {6, 4, 40}, {7, 7, 99}, {8, -1, -1},
};
/* Where an epoch ended: Kafka's answer for each epoch known, between, before and after. */
TEST_EACH(epochs, end_of_an_epoch, ends)
{
    struct epochs e;
    open_with(&e, ROWS({2, 7}, {4, 15}, {7, 40}));
    struct epoch_end end = epochs_end_of(&e, row->asked, 99);
    CHECK_EQ(end.epoch, row->epoch);
    CHECK_EQ(end.end, row->end);
    close_it(&e);
}

/* Without any epoch nothing is known, and nothing is allocated. */
TEST(epochs, empty_history_knows_nothing)
{
    struct epochs e;
    open_with(&e, 0, NULL);
    CHECK_EQ(epochs_end_of(&e, 0, 99).epoch, -1);
    CHECK_EQ(epochs_at(&e, 0), -1);
    CHECK_EQ(epochs_latest(&e), -1);
    CHECK(!epochs_cut_end(&e, 0) && !epochs_cut_start(&e, 10));
    CHECK_EQ(heap_used(e.heap), 0);
    close_it(&e);
}

/* Each offset belongs to the last epoch that began at it or before. */
TEST(epochs, epoch_of_an_offset)
{
    struct epochs e;
    open_with(&e, ROWS({2, 7}, {4, 15}));
    CHECK_EQ(epochs_at(&e, 6), -1);
    CHECK_EQ(epochs_at(&e, 7), 2);
    CHECK_EQ(epochs_at(&e, 14), 2);
    CHECK_EQ(epochs_at(&e, 15), 4);
    CHECK_EQ(epochs_at(&e, INT64_MAX), 4);
    close_it(&e);
}

/* A cut of the end takes the epochs that began there or later. */
TEST(epochs, cut_of_the_end)
{
    struct epochs e;
    open_with(&e, ROWS({2, 7}, {4, 15}, {7, 40}));
    CHECK(!epochs_cut_end(&e, 41));
    CHECK(epochs_cut_end(&e, 40));
    check_rows(&e, ROWS({2, 7}, {4, 15}));
    CHECK(epochs_cut_end(&e, 0));
    CHECK_EQ(e.n, 0);
    close_it(&e);
}

/* A cut of the start keeps the epoch of the first record that is left, from there on. */
TEST(epochs, cut_of_the_start)
{
    struct epochs e;
    open_with(&e, ROWS({2, 7}, {4, 15}, {7, 40}));
    CHECK(!epochs_cut_start(&e, 6));
    CHECK(!epochs_cut_start(&e, 7));
    CHECK(epochs_cut_start(&e, 10));
    check_rows(&e, ROWS({2, 10}, {4, 15}, {7, 40}));
    CHECK(epochs_cut_start(&e, 15));
    check_rows(&e, ROWS({4, 15}, {7, 40}));
    CHECK(epochs_cut_start(&e, 100));
    check_rows(&e, ROWS({7, 100}));
    close_it(&e);
}
