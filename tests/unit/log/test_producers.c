#include "base/err.h"
#include "log/producers.h"
#include "tests/check.h"

struct bench {
    struct heap *heap;
    struct producers p;
    int64_t end;
};

static void bench_open(struct bench *b)
{
    b->heap = heap_new(true);
    producers_init(&b->p, b->heap, 7);
    b->end = 0;
}

static void bench_close(struct bench *b)
{
    producers_drop(&b->p);
    CHECK_EQ(heap_used(b->heap), 0);
    heap_drop(b->heap);
}

static struct producer_batch batch_of(struct bench *b, int64_t id, int16_t epoch, int32_t sequence, int32_t n)
{
    return (struct producer_batch){.producer_id = id,
                                   .epoch = epoch,
                                   .base_sequence = sequence,
                                   .base_offset = b->end,
                                   .last_offset = b->end + n - 1,
                                   .max_timestamp = 1000 + b->end,
                                   .coordinator_epoch = -1};
}

static void write_batch(struct bench *b, const struct producer_batch *batch)
{
    producers_apply(&b->p, batch);
    b->end = batch->last_offset + 1;
}

/* Asks, and appends if it may be. */
static enum err produce(struct bench *b, int64_t id, int16_t epoch, int32_t sequence, int32_t n)
{
    struct producer_past past;
    struct producer_batch batch = batch_of(b, id, epoch, sequence, n);
    enum err err = producers_check(&b->p, &batch, FROM_CLIENT, &past);

    if (!err)
        write_batch(b, &batch);
    return err;
}

/* A producer that nobody knows may begin at any sequence; from then on each batch follows the one before. */
TEST(producers, unknown_producer_begins_anywhere_and_goes_on_in_order)
{
    struct bench b;
    bench_open(&b);
    CHECK_OK(produce(&b, 1, 0, 40, 3));
    CHECK_OK(produce(&b, 1, 0, 43, 1));
    CHECK_EQ(produce(&b, 1, 0, 45, 1), E_OUT_OF_ORDER_SEQUENCE_NUMBER);
    CHECK_EQ(produce(&b, 1, 0, 39, 1), E_OUT_OF_ORDER_SEQUENCE_NUMBER);
    CHECK_OK(produce(&b, 1, 0, 44, 1));
    bench_close(&b);
}

/* Any of the last five batches sent again is told apart and answered with its first offset and timestamp. */
TEST(producers, last_five_batches_are_known_as_duplicates)
{
    struct bench b;
    struct producer_past past;
    bench_open(&b);
    for (int i = 0; i < 6; i++)
        CHECK_OK(produce(&b, 9, 2, i * 10, 10));
    for (int i = 1; i < 6; i++) {
        struct producer_batch again = batch_of(&b, 9, 2, i * 10, 10);
        CHECK_EQ(producers_check(&b.p, &again, FROM_CLIENT, &past), E_DUPLICATE_SEQUENCE_NUMBER);
        CHECK_EQ(past.last_offset - past.offset_delta, i * 10);
        CHECK_EQ(past.last_offset, i * 10 + 9);
        CHECK_EQ(past.timestamp, 1000 + i * 10);
    }
    CHECK_EQ(produce(&b, 9, 2, 0, 10), E_OUT_OF_ORDER_SEQUENCE_NUMBER); /* the sixth last is forgotten */
    CHECK_EQ(produce(&b, 9, 2, 50, 9), E_OUT_OF_ORDER_SEQUENCE_NUMBER); /* part of one isn't that one */
    bench_close(&b);
}

/* An older epoch is fenced off, a newer one begins at sequence 0 and forgets the duplicates of the old one.
 */
TEST(producers, epochs_fence_and_begin_at_zero)
{
    struct bench b;
    bench_open(&b);
    CHECK_OK(produce(&b, 5, 3, 0, 2));
    CHECK_EQ(produce(&b, 5, 2, 2, 1), E_INVALID_PRODUCER_EPOCH);
    CHECK_EQ(produce(&b, 5, 4, 2, 1), E_OUT_OF_ORDER_SEQUENCE_NUMBER);
    CHECK_OK(produce(&b, 5, 4, 0, 2));
    CHECK_EQ(producers_get(&b.p, 5)->n, 1);
    CHECK_EQ(produce(&b, 5, 3, 0, 2), E_INVALID_PRODUCER_EPOCH);
    CHECK_EQ(produce(&b, 5, 4, 0, 2), E_DUPLICATE_SEQUENCE_NUMBER);
    bench_close(&b);
}

/* After sequence 2^31-1 comes 0, also within a batch. */
TEST(producers, sequences_wrap_at_the_largest_int32)
{
    struct bench b;
    bench_open(&b);
    CHECK_OK(produce(&b, 5, 0, INT32_MAX - 1, 2));
    CHECK_EQ(produce(&b, 5, 0, 1, 1), E_OUT_OF_ORDER_SEQUENCE_NUMBER);
    CHECK_OK(produce(&b, 5, 0, 0, 1));
    CHECK_OK(produce(&b, 6, 0, INT32_MAX - 1, 5));
    CHECK_EQ(producer_last_sequence(producers_get(&b.p, 6)), 2);
    CHECK_EQ(produce(&b, 6, 0, INT32_MAX - 1, 5), E_DUPLICATE_SEQUENCE_NUMBER);
    CHECK_OK(produce(&b, 6, 0, 3, 1));
    CHECK_EQ(producer_sequence_sub(2, 4), INT32_MAX - 1);
    CHECK_EQ(producer_sequence_add(-1, 4), -1);
    bench_close(&b);
}

/* A follower takes what its leader wrote, whatever the sequences; a coordinator's batches have none. */
TEST(producers, leader_is_believed_and_coordinators_have_no_sequences)
{
    struct bench b;
    struct producer_past past;
    bench_open(&b);
    CHECK_OK(produce(&b, 5, 3, 0, 2));
    struct producer_batch odd = batch_of(&b, 5, 2, 77, 1);
    CHECK_OK(producers_check(&b.p, &odd, FROM_LEADER, &past));
    struct producer_batch ours = batch_of(&b, 5, 3, -1, 1);
    CHECK_OK(producers_check(&b.p, &ours, FROM_COORDINATOR, &past));
    write_batch(&b, &ours);
    CHECK_EQ(producer_last_sequence(producers_get(&b.p, 5)), -1);
    ours.epoch = 2;
    CHECK_EQ(producers_check(&b.p, &ours, FROM_COORDINATOR, &past), E_INVALID_PRODUCER_EPOCH);
    bench_close(&b);
}

/* A transaction is open from its first batch to its marker, whose coordinator fences older ones. */
TEST(producers, transaction_opens_with_data_and_ends_with_its_marker)
{
    struct bench b;
    struct producer_past past;
    bench_open(&b);
    struct producer_batch data = batch_of(&b, 5, 1, 0, 4);
    data.transactional = true;
    CHECK_OK(producers_check(&b.p, &data, FROM_CLIENT, &past));
    write_batch(&b, &data);
    CHECK_EQ(producers_get(&b.p, 5)->txn_first, 0);
    CHECK_EQ(produce(&b, 5, 1, 4, 1), E_INVALID_TXN_STATE);
    struct producer_batch marker = batch_of(&b, 5, 1, -1, 1);
    marker.control = true;
    marker.transactional = true;
    marker.coordinator_epoch = 8;
    CHECK_OK(producers_check(&b.p, &marker, FROM_COORDINATOR, &past));
    write_batch(&b, &marker);
    CHECK_EQ(producers_get(&b.p, 5)->txn_first, -1);
    CHECK_EQ(producer_last_sequence(producers_get(&b.p, 5)), 3);
    marker.coordinator_epoch = 7;
    CHECK_EQ(producers_check(&b.p, &marker, FROM_COORDINATOR, &past), E_TRANSACTION_COORDINATOR_FENCED);
    bench_close(&b);
}

/* A producer is forgotten once it has been silent for the expiration, unless its transaction is open. */
TEST(producers, silent_producers_expire_but_not_inside_a_transaction)
{
    struct bench b;
    bench_open(&b);
    for (int i = 0; i < 100; i++)
        CHECK_OK(produce(&b, i, 0, 0, 1)); /* timestamps 1000 … 1099 */
    struct producer_batch open = batch_of(&b, 1000, 0, 0, 1);
    open.transactional = true;
    open.max_timestamp = 5;
    write_batch(&b, &open);
    CHECK_EQ(producers_expire(&b.p, 1549, 500), 50);
    CHECK(!producers_get(&b.p, 49) && producers_get(&b.p, 50) && producers_get(&b.p, 1000));
    CHECK_OK(produce(&b, 49, 0, 17, 1));
    CHECK_EQ(producers_expire(&b.p, 1 << 30, 500), 51);
    CHECK_EQ(b.p.n, 1);
    CHECK_EQ(b.p.end, b.end);
    bench_close(&b);
}

/* Compaction keeps the batch that alone tells a live producer's last sequence, or its epoch after a marker.
 */
TEST(producers, compaction_needs_the_last_batch_of_a_live_producer)
{
    struct bench b;
    bench_open(&b);
    CHECK_OK(produce(&b, 5, 1, 0, 4));
    CHECK_OK(produce(&b, 5, 1, 4, 4));
    CHECK(!producers_need(&b.p, 5, 1, 3, false));
    CHECK(producers_need(&b.p, 5, 1, 7, false));
    CHECK(!producers_need(&b.p, 6, 1, 7, false));
    struct producer_batch marker = batch_of(&b, 5, 2, -1, 1);
    marker.control = true;
    write_batch(&b, &marker);
    CHECK(producers_need(&b.p, 5, 2, 8, true));
    CHECK(!producers_need(&b.p, 5, 1, 7, false));
    bench_close(&b);
}

/* The model: every batch that each producer ever wrote, searched in the simplest way. */
enum { MODEL_IDS = 40, MODEL_BATCHES = 4000 };
struct model_batch {
    int id;
    int16_t epoch;
    int32_t first, n;
    int64_t at;
};
struct model {
    struct model_batch done[MODEL_BATCHES];
    int n;
};

static const struct model_batch *model_last(const struct model *m, int id, int back)
{
    for (int i = m->n - 1; i >= 0; i--)
        if (m->done[i].id == id && back-- == 0)
            return &m->done[i];
    return NULL;
}

static enum err model_check(const struct model *m, const struct model_batch *b, int64_t *at)
{
    const struct model_batch *last = model_last(m, b->id, 0), *old;

    if (!last)
        return E_OK;
    for (int back = 0; back < 5 && (old = model_last(m, b->id, back)); back++)
        if (old->epoch == last->epoch && old->epoch == b->epoch && old->first == b->first && old->n == b->n) {
            *at = old->at;
            return E_DUPLICATE_SEQUENCE_NUMBER;
        }
    if (b->epoch < last->epoch)
        return E_INVALID_PRODUCER_EPOCH;
    uint32_t want = b->epoch > last->epoch ? 0 : ((uint32_t)last->first + (uint32_t)last->n) & INT32_MAX;
    return (uint32_t)b->first == want ? E_OK : E_OUT_OF_ORDER_SEQUENCE_NUMBER;
}

static struct model_batch model_draw(const struct model *m, struct test_random *r)
{
    int id = (int)test_random_below(r, MODEL_IDS);
    const struct model_batch *last = model_last(m, id, (int)test_random_below(r, 7));
    struct model_batch b = {.id = id, .epoch = 0, .first = (int32_t)test_random_below(r, 3), .n = 1};

    if (test_random_below(r, 50) == 0)
        b.first = INT32_MAX - 2;
    if (!last)
        return b;
    b = *last;
    if (test_random_below(r, 4) == 0)
        return b; /* sent again */
    last = model_last(m, id, 0);
    b.epoch = last->epoch;
    b.first = (int32_t)(((uint32_t)last->first + (uint32_t)last->n) & INT32_MAX);
    b.n = 1 + (int32_t)test_random_below(r, 5);
    if (test_random_below(r, 10) == 0)
        b.first = (int32_t)((uint32_t)b.first + 1 + test_random_below(r, 3)) & INT32_MAX;
    if (test_random_below(r, 10) == 0) {
        b.epoch = (int16_t)(b.epoch + (int)test_random_below(r, 3) - 1);
        b.epoch = b.epoch < 0 ? 0 : b.epoch;
        b.first = (int32_t)test_random_below(r, 2);
    }
    return b;
}

static const uint64_t seeds[] = {1, 2, 3, 4};
/* Whatever producers send in whatever order, every answer equals that of a model which forgets nothing. */
TEST_EACH(producers, answers_equal_those_of_a_simple_model, seeds)
{
    static struct model m;
    struct test_random r;
    struct producer_past past;
    struct bench b;
    bench_open(&b);
    test_random_init(&r, *row);
    for (int i = 0; i < 20000 && m.n < MODEL_BATCHES; i++) {
        int64_t at = -1;
        struct model_batch draw = model_draw(&m, &r);
        struct producer_batch batch = batch_of(&b, draw.id, draw.epoch, draw.first, draw.n);
        enum err want = model_check(&m, &draw, &at);
        enum err got = producers_check(&b.p, &batch, FROM_CLIENT, &past);
        CHECK_STR(err_name(got), err_name(want));
        if (got == E_DUPLICATE_SEQUENCE_NUMBER)
            CHECK_EQ(past.last_offset - past.offset_delta, at);
        if (got)
            continue;
        draw.at = b.end;
        m.done[m.n++] = draw;
        write_batch(&b, &batch);
    }
    CHECK(m.n > 1000);
    bench_close(&b);
}
