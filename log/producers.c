#include "log/producers.h"
#include "base/check.h"
#include "base/map.h"

int32_t producer_sequence_add(int32_t sequence, int32_t n)
{
    if (sequence < 0)
        return -1;
    return (int32_t)(((int64_t)sequence + n) & INT32_MAX);
}

int32_t producer_sequence_sub(int32_t sequence, int32_t n)
{
    if (sequence < 0)
        return -1;
    return (int32_t)(((int64_t)sequence - n) & INT32_MAX);
}

void producers_init(struct producers *p, struct heap *h, uint64_t seed)
{
    *p = (struct producers){.heap = h, .seed = seed};
}

void producers_clear(struct producers *p, int64_t end)
{
    heap_free(p->heap, p->rows);
    heap_free(p->heap, p->index);
    *p = (struct producers){.heap = p->heap, .seed = p->seed, .end = end};
}

void producers_drop(struct producers *p)
{
    producers_clear(p, 0);
}

/* Where `id` is in the index, or the free place where it belongs. The index is never full. */
static uint32_t slot_of(const struct producers *p, int64_t id)
{
    uint32_t at = (uint32_t)map_hash(p->seed, slice_of(&id, sizeof(id))) & p->index_mask;

    while (p->index[at] && p->rows[p->index[at] - 1].id != id)
        at = (at + 1) & p->index_mask;
    return at;
}

static void index_rebuild(struct producers *p)
{
    memset(p->index, 0, ((size_t)p->index_mask + 1) * sizeof(*p->index));
    for (uint32_t i = 0; i < p->n; i++)
        p->index[slot_of(p, p->rows[i].id)] = i + 1;
}

/* Most partitions have one producer or none, so it begins small; a large one grows by half. */
static void grow(struct producers *p)
{
    uint32_t places = 2;

    p->room = p->room < 2 ? p->room + 1 : p->room + (p->room + 1) / 2;
    p->rows = heap_resize(p->heap, p->rows, p->room * sizeof(*p->rows));
    while (places < p->room + p->room / 3 + 1)
        places *= 2;
    if (places != p->index_mask + 1 || !p->index) {
        heap_free(p->heap, p->index);
        p->index = heap_alloc(p->heap, places * sizeof(*p->index));
        p->index_mask = places - 1;
        index_rebuild(p);
    }
}

static struct producer *find(const struct producers *p, int64_t id)
{
    if (p->n == 0)
        return NULL;
    uint32_t row = p->index[slot_of(p, id)];
    return row ? &p->rows[row - 1] : NULL;
}

static struct producer *find_or_add(struct producers *p, int64_t id)
{
    struct producer *r = find(p, id);

    ASSERT(id >= 0);
    if (r)
        return r;
    if (p->n == p->room)
        grow(p);
    r = &p->rows[p->n];
    *r = (struct producer){
        .id = id, .epoch = -1, .coordinator_epoch = -1, .last_timestamp = -1, .txn_first = -1};
    p->index[slot_of(p, id)] = p->n + 1;
    p->n++;
    return r;
}

const struct producer *producers_get(const struct producers *p, int64_t id)
{
    return find(p, id);
}

static const struct producer_past *duplicate_of(const struct producer *r, const struct producer_batch *b)
{
    int32_t delta = (int32_t)(b->last_offset - b->base_offset);
    int32_t last = producer_sequence_add(b->base_sequence, delta);

    for (int i = 0; r->epoch == b->epoch && i < r->n; i++)
        if (r->past[i].last_sequence == last && r->past[i].offset_delta == delta)
            return &r->past[i];
    return NULL;
}

static enum err check_sequence(const struct producer *r, const struct producer_batch *b)
{
    if (r->epoch == -1)
        return E_OK;
    if (r->epoch != b->epoch)
        return b->base_sequence == 0 ? E_OK : E_OUT_OF_ORDER_SEQUENCE_NUMBER;
    int32_t last = producer_last_sequence(r);
    int32_t next = last == -1 ? 0 : producer_sequence_add(last, 1);
    return b->base_sequence == next ? E_OK : E_OUT_OF_ORDER_SEQUENCE_NUMBER;
}

enum err producers_check(const struct producers *p, const struct producer_batch *b,
                         enum producer_origin origin, struct producer_past *past)
{
    const struct producer *r = find(p, b->producer_id);
    const struct producer_past *twin;
    enum err err = E_OK;

    if (origin == FROM_CLIENT && b->epoch < -1)
        return E_INVALID_PRODUCER_EPOCH;
    if (!r || origin == FROM_LEADER)
        return E_OK;
    if (origin == FROM_CLIENT && !b->control && (twin = duplicate_of(r, b))) {
        *past = *twin;
        return E_DUPLICATE_SEQUENCE_NUMBER;
    }
    if (b->epoch < r->epoch)
        return E_INVALID_PRODUCER_EPOCH;
    if (b->control)
        return b->coordinator_epoch < r->coordinator_epoch ? E_TRANSACTION_COORDINATOR_FENCED : E_OK;
    if (origin == FROM_CLIENT)
        err = check_sequence(r, b);
    if (!err && r->txn_first >= 0 && !b->transactional)
        err = E_INVALID_TXN_STATE;
    return err;
}

static void invariant(const struct producer *r)
{
    ASSERT(r->id >= 0 && r->n <= PRODUCER_BATCHES_MAX && r->txn_first >= -1);
    if (r->n > 1)
        ASSERT(r->past[r->n - 2].last_offset < r->past[r->n - 1].last_offset);
}

static void apply_marker(struct producer *r, const struct producer_batch *b)
{
    r->coordinator_epoch = b->coordinator_epoch;
    r->txn_first = -1;
    r->last_timestamp = b->max_timestamp;
}

static void apply_data(struct producer *r, const struct producer_batch *b)
{
    int32_t delta = (int32_t)(b->last_offset - b->base_offset);

    if (r->n == PRODUCER_BATCHES_MAX) {
        memmove(r->past, r->past + 1, (PRODUCER_BATCHES_MAX - 1) * sizeof(r->past[0]));
        r->n--;
    }
    r->past[r->n++] = (struct producer_past){.last_offset = b->last_offset,
                                             .timestamp = b->max_timestamp,
                                             .last_sequence = producer_sequence_add(b->base_sequence, delta),
                                             .offset_delta = delta};
    r->last_timestamp = b->max_timestamp;
    if (b->transactional && r->txn_first == -1)
        r->txn_first = b->base_offset;
}

void producers_apply(struct producers *p, const struct producer_batch *b)
{
    struct producer *r = find_or_add(p, b->producer_id);

    ASSERT(b->last_offset >= p->end && b->last_offset >= b->base_offset);
    if (r->epoch != b->epoch) {
        r->n = 0;
        r->epoch = b->epoch;
    }
    if (b->control)
        apply_marker(r, b);
    else
        apply_data(r, b);
    p->end = b->last_offset + 1;
    invariant(r);
}

void producers_reach(struct producers *p, int64_t end)
{
    ASSERT(end >= p->end);
    p->end = end;
}

void producers_put(struct producers *p, const struct producer *row)
{
    struct producer *r = find_or_add(p, row->id);
    *r = *row;
    invariant(r);
}

uint32_t producers_expire(struct producers *p, int64_t now_ms, int64_t expiration_ms)
{
    uint32_t left = 0, had = p->n;

    for (uint32_t i = 0; i < had; i++) {
        const struct producer *r = &p->rows[i];
        if (r->txn_first >= 0 || now_ms - r->last_timestamp < expiration_ms)
            p->rows[left++] = *r;
    }
    if (left == 0) {
        int64_t snapshot = p->snapshot;
        producers_clear(p, p->end);
        p->snapshot = snapshot;
    } else if (left < had) {
        p->n = left;
        index_rebuild(p);
    }
    return had - left;
}

bool producers_need(const struct producers *p, int64_t producer_id, int16_t epoch, int64_t last_offset,
                    bool control)
{
    const struct producer *r = find(p, producer_id);

    if (!r)
        return false;
    return r->n ? producer_last_offset(r) == last_offset : control && r->epoch == epoch;
}
