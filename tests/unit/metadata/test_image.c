#include "metadata/image_check.h"
#include "metadata/snapshot.h"
#include "proto/batch.h"
#include "proto/bigend.h"
#include "tests/unit/metadata/meta_world.h"

enum { OLD_MAX = 12 };

/* A history that keeps some of its images, with their hashes. */
struct history {
    struct heap *heap;
    struct grave g;
    struct arena a;
    struct test_random r;
    struct image *old[OLD_MAX];
    uint64_t hash[OLD_MAX];
    int n;
};

static void history_start(struct history *h, uint64_t seed)
{
    h->heap = heap_new(false);
    grave_init(&h->g, h->heap);
    arena_init(&h->a, h->heap, SIZE_MAX);
    test_random_init(&h->r, seed);
    h->n = 1;
    h->old[0] = image_new(&h->g);
    image_seal(h->old[0]);
    h->hash[0] = image_hash(h->old[0], h->heap);
}

/* One more image, `records` further than the newest. */
static struct image *history_step(struct history *h, int records)
{
    struct image *draft = image_draft(h->old[h->n - 1], &h->g);

    for (int i = 0; i < records; i++) {
        struct meta_record r;

        random_record(&h->r, draft, &h->a, &r);
        image_replay(draft, &h->g, &r);
    }
    image_seal(draft);
    arena_reset(&h->a);
    h->old[h->n] = draft;
    h->hash[h->n++] = image_hash(draft, h->heap);
    return draft;
}

static void history_end(struct history *h)
{
    for (int i = 0; i < h->n; i++)
        image_unref(h->old[i], &h->g);
    grave_empty(&h->g);
    arena_drop(&h->a);
    CHECK_EQ(heap_used(h->heap), 0);
    heap_drop(h->heap);
}

static const uint64_t SEEDS[] = {1, 2, 3, 4, 5, 6, 7, 8};

/* An image never changes once it is sealed, whatever happens to those made from it, and all is freed. */
TEST_EACH(image, old_image_never_changes, SEEDS)
{
    struct history h;

    history_start(&h, *row);
    while (h.n < OLD_MAX) {
        (void)history_step(&h, 300);
        for (int i = 0; i < h.n; i++)
            CHECK(image_hash(h.old[i], h.heap) == h.hash[i]);
    }
    history_end(&h);
}

/* From any earlier image, or a later one, the way of what changed leads to the same hash as a walk over all. */
TEST_EACH(image, hash_follows_what_changed, SEEDS)
{
    struct history h;

    history_start(&h, *row);
    while (h.n < OLD_MAX)
        (void)history_step(&h, 100);
    for (int i = 0; i < h.n; i++)
        for (int j = 0; j < h.n; j++)
            CHECK(image_hash_after(h.hash[i], h.old[i], h.old[j], h.heap) == h.hash[j]);
    CHECK(h.hash[0] != h.hash[1]);
    history_end(&h);
}

/* An image is what its records say: replayed in canonical order on nothing they give it again. */
TEST_EACH(image, records_replayed_give_the_image, SEEDS)
{
    struct history h;
    struct image *last, *again;
    struct image_records w;
    struct meta_record r;

    history_start(&h, *row);
    last = history_step(&h, 2000);
    again = image_new(&h.g);
    w = image_records(last);
    while (image_records_next(&w, &r))
        image_replay(again, &h.g, &r);
    CHECK(image_equal(last, again, h.heap));
    CHECK(again->n_partitions == last->n_partitions);
    image_unref(again, &h.g);
    history_end(&h);
}

/* ---- apply(diff(a, b), a) == b ---- */

struct patch {
    struct image *draft;
    struct grave *g;
};

static void apply(struct patch *p, const struct meta_record *r)
{
    image_replay(p->draft, p->g, r);
}

static void patch_feature(void *arg, const struct image_feature *before, const struct image_feature *after)
{
    apply(arg, &(struct meta_record){.type = RECORD_FEATURE,
                                     .feature = {.name = before ? before->name : after->name,
                                                 .level = after ? after->level : 0}});
}

static void patch_broker(void *arg, const struct image_broker *before, const struct image_broker *after)
{
    if (after)
        apply(arg, &(struct meta_record){.type = RECORD_REGISTER_BROKER, .register_broker = after->reg});
    else
        apply(arg,
              &(struct meta_record){.type = RECORD_UNREGISTER_BROKER,
                                    .unregister_broker = {.id = before->reg.id, .epoch = before->reg.epoch}});
}

static void patch_gone(void *arg, const struct image_topic *before, const struct image_topic *after)
{
    if (!after)
        apply(arg, &(struct meta_record){.type = RECORD_REMOVE_TOPIC, .remove_topic = {.id = before->id}});
}

static void patch_topic(void *arg, const struct image_topic *before, const struct image_topic *after)
{
    if (!before)
        apply(arg,
              &(struct meta_record){.type = RECORD_TOPIC, .topic = {.name = after->name, .id = after->id}});
}

static void patch_partition(void *arg, const struct image_topic *t, const struct image_partition *before,
                            const struct image_partition *after)
{
    struct meta_record r;

    if (!after)
        return; /* went with its topic */
    partition_record(t, after, &r);
    apply(arg, &r);
}

static void patch_controller(void *arg, const struct image_controller *before,
                             const struct image_controller *after)
{
    CHECK(after != NULL); /* none ever goes */
    apply(arg, &(struct meta_record){.type = RECORD_REGISTER_CONTROLLER, .register_controller = after->reg});
}

static void patch_config(void *arg, const struct image_config *before, const struct image_config *after)
{
    const struct image_config *c = after ? after : before;

    apply(arg, &(struct meta_record){.type = RECORD_CONFIG,
                                     .config = {.resource_type = c->type,
                                                .resource = c->resource,
                                                .name = c->name,
                                                .value = after ? after->value : SLICE_NULL}});
}

/* One alone goes when it is due before all others. */
static void patch_request(void *arg, const struct image_request *before, const struct image_request *after)
{
    struct meta_record forget = {.type = RECORD_REQUESTS_FORGET,
                                 .requests_forget.last = before ? before->done.id : after->done.id};
    struct meta_record done = {.type = RECORD_REQUEST_DONE, .request_done.id = forget.requests_forget.last};

    if (!after)
        done.request_done.piece = done.request_done.last_piece = before->done.piece;
    if (after)
        done.request_done = after->done;
    apply(arg, &done);
    if (!after)
        apply(arg, &forget);
}

/* What a diff between two images tells turns the first into the second. */
TEST_EACH(image, diff_applied_gives_the_other, SEEDS)
{
    struct history h;

    history_start(&h, *row);
    while (h.n < OLD_MAX)
        (void)history_step(&h, h.n % 2 ? 500 : 5);
    for (int i = 1; i < h.n; i++) {
        const struct image *a = image_settled(h.old[i - 1]), *b = image_settled(h.old[i]);
        struct patch p = {.draft = image_draft(a, &h.g), .g = &h.g};
        struct image_diff gone = {.topic = patch_gone, .arg = &p};
        struct image_diff rest = {.feature = patch_feature,
                                  .broker = patch_broker,
                                  .controller = patch_controller,
                                  .topic = patch_topic,
                                  .partition = patch_partition,
                                  .config = patch_config,
                                  .request = patch_request,
                                  .arg = &p};

        image_diff(a, b, &gone); /* a name may be taken again in the same stretch */
        image_diff(a, b, &rest);
        p.draft->next_producer_id = b->next_producer_id;
        memcpy(p.draft->cluster_id, b->cluster_id, sizeof(b->cluster_id));
        CHECK(image_equal(p.draft, b, h.heap));
        image_unref(p.draft, &h.g);
    }
    history_end(&h);
}

/* A snapshot written in steps while the newest image goes on is the image that it was begun from. */
TEST_EACH(image, snapshot_round_trips, SEEDS)
{
    struct history h;
    struct image *from, *read;
    struct snapshot_writer w;
    struct snapshot_reader r;
    struct bytes file;
    size_t used, at = 0;

    history_start(&h, *row);
    from = history_step(&h, 1500);
    bytes_init(&file, h.heap);
    snapshot_start(&w, h.heap, from);
    while (snapshot_step(&w, 37, &file))
        if (h.n < OLD_MAX)
            (void)history_step(&h, 50);
    snapshot_end(&w);
    snapshot_read_start(&r, &h.g);
    for (; at < file.len; at += used)
        CHECK_OK(snapshot_read_step(&r, slice_of(file.p + at, file.len - at), &used));
    CHECK_OK(snapshot_read_end(&r, 77, 5, &read));
    CHECK(image_equal(read, from, h.heap));
    CHECK(read->offset == 76 && read->epoch == 5);
    image_unref(read, &h.g);
    bytes_drop(&file);
    history_end(&h);
}

/* A snapshot that was cut off anywhere is refused. */
TEST(image, cut_snapshot_is_refused)
{
    struct history h;
    struct snapshot_writer w;
    struct bytes file;

    history_start(&h, 5);
    bytes_init(&file, h.heap);
    snapshot_start(&w, h.heap, history_step(&h, 200));
    while (snapshot_step(&w, 20, &file))
        ;
    snapshot_end(&w);
    for (size_t len = 0; len < file.len; len += 41) {
        struct snapshot_reader r;
        struct image *read = NULL;
        size_t used, at = 0;
        enum err err = E_OK;

        snapshot_read_start(&r, &h.g);
        for (; at < len && !err; at += used)
            err = snapshot_read_step(&r, slice_of(file.p + at, len - at), &used);
        CHECK(snapshot_read_end(&r, 1, 1, &read) == E_TRUNCATED);
    }
    bytes_drop(&file);
    history_end(&h);
}

/* A checkpoint's records are zstd, in batches of a size that a reader can bound; a compressed batch that promises more
 * records than a checkpoint's may have is refused before anything is made for them. */
TEST(image, snapshot_is_packed_and_bounded)
{
    struct history h;
    struct snapshot_writer w;
    struct bytes file;
    struct batch_view v;
    struct slice rest;
    int packed = 0;

    history_start(&h, 6);
    bytes_init(&file, h.heap);
    snapshot_start(&w, h.heap, history_step(&h, 2000));
    while (snapshot_step(&w, SNAPSHOT_BATCH_MAX, &file))
        ;
    snapshot_end(&w);
    for (rest = bytes_slice(&file); batch_next(&rest, &v) == E_OK;) {
        struct codec_cache *codecs = codec_cache_new(h.heap);
        struct batch_content c;
        size_t used;

        CHECK_EQ(batch_codec(&v), v.attributes & BATCH_CONTROL ? CODEC_NONE : CODEC_ZSTD);
        if (batch_codec(&v) == CODEC_ZSTD && packed++ == 0) {
            CHECK_EQ(batches_read(slice_of(v.p, v.len), &h.a, &c, &used), E_MALFORMED);
            CHECK_OK(batches_read_packed(slice_of(v.p, v.len), codecs, &h.a, &c, &used));
            put_be32(v.p + 57, BATCHES_PACKED_MAX + 1); /* the count */
            put_be32(v.p + 17, crc32c(0, v.p + 21, v.len - 21));
            CHECK_EQ(batches_read_packed(slice_of(v.p, v.len), codecs, &h.a, &c, &used), E_MALFORMED);
        }
        codec_cache_drop(codecs);
    }
    CHECK(packed > 0);
    arena_reset(&h.a);
    bytes_drop(&file);
    history_end(&h);
}

/* Topics are walked by name, and names that differ only by '.' and '_' find each other. */
TEST(image, names_in_order_and_collisions)
{
    struct history h;
    struct image *i;
    struct image_topics w;
    struct slice before = SLICE_NULL;
    const struct image_topic *t;
    uint32_t n = 0;

    history_start(&h, 9);
    i = history_step(&h, 1000);
    for (w = image_topics_from(i, SLICE_NULL); (t = image_topics_next(&w)); n++) {
        struct slice other = image_name_collision(i, t->name);

        CHECK(!before.p || slice_cmp(before, t->name) < 0);
        before = t->name;
        CHECK(t->name.p[1] != '-' || !other.p);
        CHECK(!other.p ||
              (other.len == t->name.len && other.p[1] != t->name.p[1] && other.p[2] == t->name.p[2]));
        CHECK(image_topic_by_id(i, t->id) == t && image_topic_by_name(i, t->name) == t);
    }
    CHECK_EQ(n, i->topics.count);
    CHECK(n > 10);
    history_end(&h);
}

/* A record that can't happen to an image is an error where it comes from a file, and the image stays as it was. */
TEST(image, what_cannot_happen_is_said)
{
    struct heap *h = heap_new(false);
    struct grave g;
    struct arena a;
    struct image *i;
    struct meta_record r = {.type = RECORD_TOPIC};

    grave_init(&g, h);
    arena_init(&a, h, SIZE_MAX);
    i = image_new(&g);
    r.topic = (struct record_topic){.name = SLICE("../../etc"), .id = {{1}}};
    CHECK(image_refuses(i, &r, &a));
    r.topic.name = SLICE("t");
    CHECK(!image_refuses(i, &r, &a));
    image_replay(i, &g, &r);
    CHECK(image_refuses(i, &r, &a)); /* twice */
    r = (struct meta_record){.type = RECORD_PARTITION, .partition = {.topic = {{1}}, .index = 1}};
    CHECK(image_refuses(i, &r, &a)); /* the first is missing */
    r.partition.index = 0;
    r.partition.leader_epoch = INT32_MAX;
    CHECK(image_refuses(i, &r, &a)); /* the next one would be negative */
    r.partition.leader_epoch = 0;
    CHECK(!image_refuses(i, &r, &a));
    r = (struct meta_record){.type = RECORD_REMOVE_TOPIC, .remove_topic = {.id = {{2}}}};
    CHECK(image_refuses(i, &r, &a));
    r = (struct meta_record){.type = RECORD_UNREGISTER_BROKER, .unregister_broker = {.id = 1}};
    CHECK(image_refuses(i, &r, &a));
    image_seal(i);
    image_unref(i, &g);
    grave_empty(&g);
    arena_drop(&a);
    heap_drop(h);
}
