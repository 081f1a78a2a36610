#include "cluster_book.h"
#include "base/check.h"
#include "quorum_disk.h"
#include "scenario.h"
#include <stdio.h>

struct row {
    int64_t base, last;
    int32_t epoch;
    uint64_t hash;
};

struct node_book {
    int64_t image, image_ever; /* offsets; -1: none */
    bool rests;                /* its disk failed, and what it shows meanwhile it needn't have there */
    int32_t epoch;
    uint64_t life;
};

struct lead {
    int leader; /* 0: nobody was named */
    uint64_t life;
};

struct cbook {
    struct sim *sim;
    struct heap *heap;
    int voters, n;
    struct row *rows;
    size_t n_rows, rows_room;
    uint64_t *images; /* by offset: the hash of the image; 0: unknown */
    size_t images_room;
    struct lead *leads; /* by epoch */
    size_t leads_room;
    int32_t led;
    struct node_book nodes[TRUTH_NODES];
    struct truth truth;
    struct cbook_seen seen;
};

struct cbook *cbook_new(struct sim *s, int voters, int n)
{
    struct heap *heap = heap_new(true);
    struct cbook *b = heap_alloc(heap, sizeof(*b));

    ASSERT(n < TRUTH_NODES);
    *b = (struct cbook){.sim = s, .heap = heap, .voters = voters, .n = n};
    for (int i = 0; i < TRUTH_NODES; i++)
        b->nodes[i].image = b->nodes[i].image_ever = -1;
    truth_init(&b->truth, heap);
    return b;
}

void cbook_drop(struct cbook *b)
{
    heap_drop(b->heap);
}

void cbook_life(struct cbook *b, int node)
{
    b->nodes[node].image = -1;
    b->nodes[node].rests = false;
    b->nodes[node].life++;
}

void cbook_new_disk(struct cbook *b, int node)
{
    b->nodes[node].image = b->nodes[node].image_ever = -1;
    b->nodes[node].epoch = 0;
}

int64_t cbook_end(const struct cbook *b)
{
    return b->n_rows ? b->rows[b->n_rows - 1].last + 1 : 0;
}

int64_t cbook_image(const struct cbook *b, int node)
{
    return b->nodes[node].image;
}

const struct truth *cbook_truth(const struct cbook *b)
{
    return &b->truth;
}

const struct cbook_seen *cbook_seen(const struct cbook *b)
{
    return &b->seen;
}

int cbook_leader(const struct cbook *b)
{
    return b->led ? b->leads[b->led].leader : 0;
}

/* An array that is as long as it is asked about, zeros where nothing was written. */
static void *reach(struct cbook *b, void *v, size_t *room, size_t at, size_t size)
{
    size_t before = *room;

    if (at < before)
        return v;
    *room = at < 256 ? 512 : 2 * at;
    v = heap_resize(b->heap, v, *room * size);
    memset((char *)v + before * size, 0, (*room - before) * size);
    return v;
}

/* ---- what has committed ---- */

static uint64_t hash_of(const struct batch_view *v)
{
    uint64_t h = 0xcbf29ce484222325u;

    for (size_t i = 0; i < v->len; i++)
        h = (h ^ v->p[i]) * 0x100000001b3u;
    return h;
}

static const struct row *row_at(const struct cbook *b, int64_t offset)
{
    size_t low = 0, high = b->n_rows;

    while (low < high) {
        size_t middle = (low + high) / 2;

        if (b->rows[middle].last < offset)
            low = middle + 1;
        else
            high = middle;
    }
    return low < b->n_rows && b->rows[low].base <= offset ? &b->rows[low] : NULL;
}

static void row_add(struct cbook *b, const struct row *row, struct slice bytes)
{
    int32_t epoch = b->n_rows ? b->rows[b->n_rows - 1].epoch : 0;
    struct batch_content c;
    struct arena a;
    size_t used;

    JUDGE(row->epoch >= epoch, "epoch %d behind %d at offset %lld", row->epoch, epoch, (long long)row->base);
    arena_init(&a, b->heap, SIZE_MAX);
    JUDGE(batches_read(bytes, &a, &c, &used) == E_OK && used == bytes.len,
          "the committed batch at %lld doesn't read", (long long)row->base);
    truth_batch(&b->truth, &c);
    arena_drop(&a);
    if (b->n_rows == b->rows_room) {
        b->rows_room = b->rows_room ? 2 * b->rows_room : 256;
        b->rows = heap_resize(b->heap, b->rows, b->rows_room * sizeof(b->rows[0]));
    }
    b->rows[b->n_rows++] = *row;
}

/* What disks have from the end of the rows on. A batch of other bytes at an offset is another candidate. */
struct candidate {
    struct row row;
    struct slice bytes;
    int disks;
};

struct search {
    struct cbook *b;
    struct arena arena;
    struct candidate *v;
    int n, room;
    int64_t from, to;
};

static void candidate_found(void *arg, const struct batch_view *v)
{
    struct search *x = arg;
    struct row row = {v->base_offset, v->last_offset, v->leader_epoch, 0};
    int i;

    if (v->base_offset < x->from || v->base_offset > x->to)
        return;
    row.hash = hash_of(v);
    for (i = 0; i < x->n; i++)
        if (x->v[i].row.base == row.base && x->v[i].row.hash == row.hash && x->v[i].row.last == row.last)
            break;
    if (i == x->n) {
        if (x->n == x->room) {
            x->room = x->room ? 2 * x->room : 16;
            x->v = heap_resize(x->b->heap, x->v, (size_t)x->room * sizeof(x->v[0]));
        }
        x->v[x->n++] = (struct candidate){.row = row, .bytes = arena_copy(&x->arena, slice_of(v->p, v->len))};
    }
    x->v[i].disks++;
}

/* Somebody shows an image of `to`: a majority of the disks has what leads there. */
static void rows_learn(struct cbook *b, int node, int64_t to)
{
    struct search x = {.b = b, .from = cbook_end(b), .to = to};

    arena_init(&x.arena, b->heap, SIZE_MAX);
    for (int i = 1; i <= b->voters; i++)
        (void)qdisk_batches(b->sim, i, candidate_found, &x);
    while (cbook_end(b) <= to) {
        int64_t at = cbook_end(b);
        int i = 0;

        while (i < x.n && (x.v[i].row.base != at || 2 * x.v[i].disks <= b->voters))
            i++;
        JUDGE(i < x.n, "node %d shows an image of %lld, and no majority of the disks has offset %lld", node,
              (long long)to, (long long)at);
        row_add(b, &x.v[i].row, x.v[i].bytes);
    }
    heap_free(b->heap, x.v);
    arena_drop(&x.arena);
}

/* ---- what nodes say ---- */

static void image_said(struct cbook *b, int node, int64_t offset, uint64_t hash)
{
    struct node_book *n = &b->nodes[node];

    JUDGE(offset >= n->image, "node %d goes back from an image of %lld to %lld", node, (long long)n->image,
          (long long)offset);
    JUDGE(n->image >= 0 || offset >= n->image_ever,
          "node %d showed an image of %lld, and begins again with %lld", node, (long long)n->image_ever,
          (long long)offset);
    n->image = offset;
    if (offset < 0)
        return;
    if (offset > n->image_ever && !n->rests)
        n->image_ever = offset;
    if (offset >= cbook_end(b))
        rows_learn(b, node, offset);
    b->images = reach(b, b->images, &b->images_room, (size_t)offset, sizeof(b->images[0]));
    JUDGE(b->images[offset] == 0 || b->images[offset] == hash,
          "node %d: its image of %lld is %016llx, another's was %016llx", node, (long long)offset,
          (unsigned long long)hash, (unsigned long long)b->images[offset]);
    b->images[offset] = hash;
    b->seen.images++;
}

static struct lead *lead_said(struct cbook *b, int node, int leader, int32_t epoch)
{
    struct lead *l;

    JUDGE(epoch >= 0 && epoch < 1000000 && leader > 0 && leader <= b->voters, "node %d: %d leads epoch %d",
          node, leader, epoch);
    JUDGE(epoch >= b->nodes[node].epoch, "node %d goes back from epoch %d to %d", node, b->nodes[node].epoch,
          epoch);
    b->nodes[node].epoch = epoch;
    b->leads = reach(b, b->leads, &b->leads_room, (size_t)epoch, sizeof(b->leads[0]));
    l = &b->leads[epoch];
    JUDGE(l->leader == 0 || l->leader == leader, "epoch %d: node %d says that %d leads, and %d did", epoch,
          node, leader, l->leader);
    l->leader = leader;
    return l;
}

static void leads_said(struct cbook *b, int node, int32_t epoch, int64_t next)
{
    struct lead *l = lead_said(b, node, node, epoch);
    const struct row *last = b->n_rows ? &b->rows[b->n_rows - 1] : NULL;

    JUDGE(l->life == 0 || l->life == b->nodes[node].life, "node %d leads epoch %d in a second life", node,
          epoch);
    l->life = b->nodes[node].life;
    JUDGE(!last || last->epoch > epoch || next > last->last,
          "node %d leads epoch %d from %lld, and %lld has committed in epoch %d", node, epoch,
          (long long)next, (long long)last->last, last->epoch);
    b->seen.elections += epoch > b->led;
    b->led = epoch > b->led ? epoch : b->led;
}

void cbook_line(void *book, int node, struct slice line)
{
    struct cbook *b = book;
    char text[400];
    const char *at;
    long long offset, next;
    unsigned long long hash;
    int leader, epoch;

    if (node > b->n)
        return;
    snprintf(text, sizeof(text), "%.*s", (int)line.len, (const char *)line.p);
    at = strstr(text, "] ");
    if (!at)
        return;
    at += 2;
    if (sscanf(at, "image of offset %lld, hash %llx", &offset, &hash) == 2)
        image_said(b, node, offset, hash);
    else if (sscanf(at, "this node leads the metadata in epoch %d; the next record is %lld", &epoch, &next) ==
             2)
        leads_said(b, node, epoch, next);
    else if (sscanf(at, "node %d leads the metadata in epoch %d", &leader, &epoch) == 2) {
        (void)lead_said(b, node, leader, epoch);
        b->seen.follows++;
    }
    if (strstr(at, "takes no part in the quorum until its disk does"))
        b->nodes[node].rests = true;
    if (strstr(at, "this node takes part in the quorum from offset"))
        b->nodes[node].rests = false;
    b->seen.rests += strstr(at, "takes no part in the quorum until its disk does") != NULL;
    b->seen.snapshots += strncmp(at, "metadata: wrote the snapshot", 28) == 0;
    b->seen.installs += strncmp(at, "metadata: took over the snapshot", 32) == 0;
    b->seen.copies += node > b->voters && strncmp(at, "metadata: took over the snapshot", 32) == 0;
    b->seen.truncations += strstr(at, "were never committed and give way") != NULL;
    b->seen.dead += strstr(at, "its connections have ended and its port refuses") != NULL;
}

bool cbook_agree(const struct cbook *b)
{
    for (int i = 1; i <= b->n; i++)
        if (b->nodes[i].image < b->truth.offset)
            return false;
    return true;
}

bool cbook_rests(const struct cbook *b, int node)
{
    return b->nodes[node].rests;
}

/* ---- disks ---- */

struct disk_walk {
    struct cbook *b;
    int node;
    int64_t up_to, end;
    uint32_t *held; /* by row, bits of nodes; NULL: nobody counts */
};

static void disk_batch(void *arg, const struct batch_view *v)
{
    struct disk_walk *w = arg;
    const struct row *row = row_at(w->b, v->base_offset);
    bool same = row && row->base == v->base_offset && row->last == v->last_offset && row->hash == hash_of(v);

    w->end = v->last_offset + 1;
    if (same && w->held)
        w->held[row - w->b->rows] |= 1u << w->node;
    JUDGE(same || v->base_offset > w->up_to,
          "node %d showed an image of %lld, and its disk has another batch at %lld, of epoch %d", w->node,
          (long long)w->up_to, (long long)v->base_offset, v->leader_epoch);
}

bool cbook_judge_disk(struct cbook *b, int node)
{
    struct disk_walk w = {.b = b, .node = node, .up_to = b->nodes[node].image_ever};
    int64_t checkpoint = qdisk_checkpoint(b->sim, node);
    bool torn = qdisk_batches(b->sim, node, disk_batch, &w);

    JUDGE(w.end > w.up_to || checkpoint > w.up_to || w.up_to < 0,
          "node %d showed an image of %lld, and its disk has a log up to %lld, a checkpoint of %lld", node,
          (long long)w.up_to, (long long)w.end, (long long)checkpoint);
    return torn;
}

void cbook_judge_kept(struct cbook *b)
{
    uint32_t *held = heap_alloc(b->heap, (b->n_rows + 1) * sizeof(*held));

    for (int i = 1; i <= b->voters; i++) {
        struct disk_walk w = {.b = b, .node = i, .up_to = b->nodes[i].image_ever, .held = held};
        int64_t checkpoint = qdisk_checkpoint(b->sim, i);

        (void)qdisk_batches(b->sim, i, disk_batch, &w);
        for (size_t k = 0; k < b->n_rows && b->rows[k].last < checkpoint; k++)
            held[k] |= 1u << i; /* whether the log still has it or not */
    }
    for (size_t k = 0; k < b->n_rows; k++)
        JUDGE(2 * __builtin_popcount(held[k]) > b->voters,
              "offset %lld had committed, and the disks %x of %d have it", (long long)b->rows[k].base,
              held[k], b->voters);
    heap_free(b->heap, held);
}
