#include "quorum_book.h"
#include "metadata/batches.h"
#include "proto/batch.h"
#include "scenario.h"
#include <stdio.h>

enum { VOTERS = 8 };

struct row {
    int64_t base, last;
    int32_t epoch;
    uint64_t hash;
    struct image *image; /* with this batch in it */
};

struct voter_book {
    int64_t known, known_ever;
    int32_t epoch, epoch_ever; /* in this life, of leaders alone if it is outside; as a voter */
};

struct qbook {
    struct sim *sim;
    struct heap *heap;
    struct grave grave;
    struct row *rows;
    size_t n, room;
    struct qwire *wire;
    struct qvoters *members;
    int32_t led; /* the newest epoch that somebody was told to lead */
    struct voter_book voters[VOTERS];
    struct image *empty;
    int64_t elections;
};

struct qbook *qbook_new(struct sim *s)
{
    struct heap *heap = heap_new(true);
    struct qbook *b = heap_alloc(heap, sizeof(*b));

    *b = (struct qbook){.sim = s, .heap = heap};
    for (int i = 0; i < VOTERS; i++)
        b->voters[i].known = b->voters[i].known_ever = -1;
    b->members = qvoters_new(s, heap);
    b->wire = qwire_new(s, heap, b->members);
    grave_init(&b->grave, heap);
    b->empty = image_new(&b->grave);
    image_seal(b->empty);
    return b;
}

void qbook_drop(struct qbook *b)
{
    heap_drop(b->heap);
}

int64_t qbook_end(const struct qbook *b)
{
    return b->n ? b->rows[b->n - 1].last + 1 : 0;
}

static int32_t epoch_of(const struct qbook *b)
{
    return b->n ? b->rows[b->n - 1].epoch : 0;
}

int64_t qbook_known(const struct qbook *b, int node)
{
    return b->voters[node].known;
}

int64_t qbook_rows(const struct qbook *b)
{
    return (int64_t)b->n;
}

int64_t qbook_elections(const struct qbook *b)
{
    return b->elections;
}

void qbook_start(struct qbook *b, int node)
{
    b->voters[node].known = -1;
    b->voters[node].epoch = 0;
    qwire_start(b->wire, node);
}

void qbook_disk(struct qbook *b, int node, const struct uuid *directory, bool founds)
{
    b->voters[node] = (struct voter_book){.known = -1, .known_ever = -1};
    qwire_disk(b->wire, node);
    qvoters_disk(b->members, node, directory, founds);
}

void qbook_forget(struct qbook *b, int node)
{
    b->voters[node].known_ever = -1;
}

/* The row that holds the offset; NULL: none. */
static struct row *row_at(struct qbook *b, int64_t offset)
{
    size_t low = 0, high = b->n;

    while (low < high) {
        size_t middle = (low + high) / 2;

        if (b->rows[middle].last < offset)
            low = middle + 1;
        else
            high = middle;
    }
    return low < b->n && b->rows[low].base <= offset ? &b->rows[low] : NULL;
}

static uint64_t hash_of(struct slice batch)
{
    uint64_t h = 0xcbf29ce484222325u;

    for (size_t i = 0; i < batch.len; i++)
        h = (h ^ batch.p[i]) * 0x100000001b3u;
    return h;
}

static struct image *image_with(struct qbook *b, struct slice batch, bool first)
{
    struct image *before = b->n ? b->rows[b->n - 1].image : b->empty, *draft;
    struct batch_content c;
    struct arena a;
    size_t used;
    enum err err;

    arena_init(&a, b->heap, SIZE_MAX);
    err = batches_read(batch, &a, &c, &used);
    JUDGE(!err && used == batch.len, "a committed batch doesn't read: %s", err_text(err));
    draft = c.is_control ? image_ref(before) : image_draft(before, &b->grave);
    if (!c.is_control) {
        for (int i = 0; i < c.n; i++)
            image_replay(draft, &b->grave, &c.records[i]);
        draft->offset = c.last_offset;
        image_seal(draft);
    } else {
        qvoters_batch(b->members, &c, &a, first);
    }
    arena_drop(&a);
    return draft;
}

static void row_add(struct qbook *b, const struct batch_view *v, struct slice batch)
{
    struct image *image;

    JUDGE(v->base_offset == qbook_end(b), "a gap in front of offset %lld", (long long)v->base_offset);
    JUDGE(v->leader_epoch >= epoch_of(b), "epoch %d behind %d", v->leader_epoch, epoch_of(b));
    image = image_with(b, batch, v->leader_epoch != epoch_of(b));
    if (b->n == b->room) {
        b->room = b->room ? 2 * b->room : 256;
        b->rows = heap_resize(b->heap, b->rows, b->room * sizeof(b->rows[0]));
    }
    b->rows[b->n++] = (struct row){.base = v->base_offset,
                                   .last = v->last_offset,
                                   .epoch = v->leader_epoch,
                                   .hash = hash_of(batch),
                                   .image = image};
}

static void know(struct qbook *b, int node, int64_t end)
{
    struct voter_book *v = &b->voters[node];

    v->known = end;
    if (end > v->known_ever)
        v->known_ever = end;
}

void qbook_committed(struct qbook *b, int node, struct slice batch)
{
    struct batch_view v;
    struct row *row;
    enum err err = batch_view(batch, &v);

    JUDGE(!err && v.len == batch.len, "node %d was told of bytes that are no batch", node);
    JUDGE(b->voters[node].known == v.base_offset, "node %d, told up to %lld, is told of a batch at %lld",
          node, (long long)b->voters[node].known, (long long)v.base_offset);
    row = row_at(b, v.base_offset);
    if (row)
        JUDGE(row->base == v.base_offset && row->last == v.last_offset && row->epoch == v.leader_epoch &&
                  row->hash == hash_of(batch),
              "node %d has another batch at %lld, of epoch %d and not of %d", node, (long long)v.base_offset,
              v.leader_epoch, row->epoch);
    else
        row_add(b, &v, batch);
    know(b, node, v.last_offset + 1);
}

/* ---- images ---- */

struct log_files {
    struct qbook *b;
    int64_t up_to;
};

/* What all that were told of it forgot since: it is in the log of the node that has an image of it. */
static void forgotten(void *arg, const struct batch_view *v)
{
    struct log_files *f = arg;

    if (qbook_end(f->b) < f->up_to && v->base_offset == qbook_end(f->b))
        row_add(f->b, v, slice_of(v->p, v->len));
}

void qbook_image(struct qbook *b, int node, const struct image *image, struct heap *h)
{
    struct voter_book *v = &b->voters[node];
    struct log_files files = {b, image->offset + 1};
    struct row *row;

    if (image->offset + 1 > qbook_end(b))
        (void)qdisk_batches(b->sim, node, forgotten, &files);
    JUDGE(image->offset + 1 <= qbook_end(b), "node %d has an image of %lld, beyond what has committed (%lld)",
          node, (long long)image->offset, (long long)qbook_end(b));
    JUDGE(v->known < image->offset + 1, "node %d goes back from %lld to an image of %lld", node,
          (long long)v->known, (long long)image->offset);
    JUDGE(v->known_ever <= image->offset + 1, "node %d was told up to %lld and begins with an image of %lld",
          node, (long long)v->known_ever, (long long)image->offset);
    row = row_at(b, image->offset);
    JUDGE(image_hash(image, h) == image_hash(row ? row->image : b->empty, b->heap),
          "node %d has another image of %lld", node, (long long)image->offset);
    know(b, node, image->offset + 1);
}

void qbook_judge_end(struct qbook *b, int node, const struct image *image, struct heap *h)
{
    JUDGE(b->voters[node].known == qbook_end(b), "node %d knows %lld of %lld", node,
          (long long)b->voters[node].known, (long long)qbook_end(b));
    JUDGE(image_hash(image, h) == image_hash(b->rows[b->n - 1].image, b->heap),
          "node %d has another image in the end", node);
}

/* ---- leaders ---- */

void qbook_leader(struct qbook *b, int node, int leader, int32_t epoch, bool self, int64_t next_offset,
                  bool observes)
{
    struct voter_book *v = &b->voters[node];

    JUDGE(v->known >= 0, "node %d is told of a leader before its image", node);
    JUDGE(epoch >= v->epoch && (observes || epoch >= v->epoch_ever), "node %d goes back from epoch %d to %d",
          node, observes ? v->epoch : v->epoch_ever, epoch);
    JUDGE(!self || leader == node, "node %d is told that it leads as %d", node, leader);
    if (!observes || leader > 0)
        v->epoch = epoch;
    v->epoch_ever = observes ? v->epoch_ever : epoch;
    if (leader > 0 && !(observes && leader == node)) /* it led in another life, somebody says */
        qwire_leads(b->wire, node, leader, epoch);
    if (!self)
        return;
    for (size_t i = b->n; i > 0 && b->rows[i - 1].last >= v->known; i--)
        JUDGE(b->rows[i - 1].epoch > epoch,
              "node %d leads epoch %d and knows %lld of %lld that had committed", node, epoch,
              (long long)v->known, (long long)qbook_end(b));
    JUDGE(next_offset >= v->known, "node %d leads from %lld, behind %lld that had committed", node,
          (long long)next_offset, (long long)v->known);
    b->elections += epoch > b->led;
    b->led = epoch > b->led ? epoch : b->led;
}

struct qwire *qbook_wire(struct qbook *b)
{
    return b->wire;
}

struct qvoters *qbook_voters(struct qbook *b)
{
    return b->members;
}

/* ---- disks ---- */

struct disk_walk {
    struct qbook *b;
    int node;
    int64_t known, end;
};

static void disk_batch(void *arg, const struct batch_view *v)
{
    struct disk_walk *w = arg;
    const struct row *row = row_at(w->b, v->base_offset);

    w->end = v->last_offset + 1;
    if (v->base_offset >= w->known)
        return;
    JUDGE(row && row->base == v->base_offset && row->epoch == v->leader_epoch &&
              row->hash == hash_of(slice_of(v->p, v->len)),
          "node %d was told up to %lld, and its disk has another batch at %lld", w->node, (long long)w->known,
          (long long)v->base_offset);
}

bool qbook_judge_disk(struct qbook *b, int node)
{
    struct disk_walk w = {.b = b, .node = node, .known = b->voters[node].known_ever};
    int64_t checkpoint = qdisk_checkpoint(b->sim, node);

    bool torn;

    qwire_judge_disk(b->wire, node);
    torn = qdisk_batches(b->sim, node, disk_batch, &w);
    JUDGE(w.known < 0 || w.end >= w.known || checkpoint >= w.known,
          "node %d was told up to %lld, and its disk has a log up to %lld, a checkpoint of %lld", node,
          (long long)w.known, (long long)w.end, (long long)checkpoint);
    return torn;
}
