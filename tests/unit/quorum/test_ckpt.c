#include "quorum/ckpt.h"
#include "tests/unit/metadata/meta_world.h"
#include <stdlib.h>

struct file_world {
    struct heap *heap;
    struct grave grave;
    struct image *image;
    struct bytes bytes; /* as a checkpoint's file has them */
};

static void world_start(struct file_world *w)
{
    struct voters voters = {.n = 1, .kraft_version = 1, .v = {{.server_id = 4, .node = 3}}};
    struct test_random r;
    struct snapshot_writer s;
    struct batch_place at;
    struct arena a;
    bool more;

    *w = (struct file_world){.heap = heap_new(false)};
    test_random_init(&r, 7);
    grave_init(&w->grave, w->heap);
    arena_init(&a, w->heap, SIZE_MAX);
    bytes_init(&w->bytes, w->heap);
    w->image = image_new(&w->grave);
    for (int i = 0; i < 200; i++) {
        struct meta_record record;

        random_record(&r, w->image, &a, &record);
        image_replay(w->image, &w->grave, &record);
    }
    image_seal(w->image);
    snapshot_start(&s, w->heap, w->image);
    more = snapshot_step(&s, 20, &w->bytes);
    at = (struct batch_place){.base_offset = s.offset};
    voters_batch(&at, &voters, &a, &w->bytes);
    s.offset += voters_records(&voters);
    while (more)
        more = snapshot_step(&s, 20, &w->bytes);
    snapshot_end(&s);
    arena_drop(&a);
}

static void world_end(struct file_world *w)
{
    image_unref(w->image, &w->grave);
    bytes_drop(&w->bytes);
    grave_empty(&w->grave);
    CHECK_EQ(heap_used(w->heap), 0);
    heap_drop(w->heap);
}

/* `len` bytes of the file, in pieces of `cut`. */
static enum err stream(struct file_world *w, size_t len, size_t cut, struct image **image, struct voters *v)
{
    struct ckpt_stream s;
    enum err err = E_OK, end;

    ckpt_stream_start(&s, (struct ckpt_id){100, 5}, &w->grave);
    for (size_t at = 0; at < len && !err; at += cut) {
        uint8_t *piece = malloc(cut); /* its end is watched */
        size_t n = cut < len - at ? cut : len - at;

        memcpy(piece, w->bytes.p + at, n);
        err = ckpt_stream_take(&s, slice_of(piece, n));
        free(piece);
        CHECK(s.rest.len <= w->bytes.len);
    }
    end = ckpt_stream_end(&s, image, v);
    CHECK(!err || err == end);
    return end;
}

/* A checkpoint that comes in pieces, however they are cut, is the image and the configuration that were written. */
TEST(ckpt, comes_in_pieces)
{
    static const size_t cuts[] = {1, 7, 60, 61, 300, 4096, 1 << 20};
    struct file_world w;

    world_start(&w);
    for (size_t i = 0; i < sizeof(cuts) / sizeof(cuts[0]); i++) {
        struct image *image;
        struct voters v;

        CHECK_OK(stream(&w, w.bytes.len, cuts[i], &image, &v));
        CHECK(image_equal(image, w.image, w.heap) && image->offset == 99 && image->epoch == 5);
        CHECK(v.n == 1 && v.v[0].server_id == 4 && v.v[0].node == 3);
        image_unref(image, &w.grave);
    }
    world_end(&w);
}

/* One that was cut off, or whose bytes rotted, anywhere, is no image, and leaves nothing behind. */
TEST(ckpt, what_is_not_whole_is_no_image)
{
    struct file_world w;
    struct image *image;
    struct voters v;

    world_start(&w);
    for (size_t len = 0; len < w.bytes.len; len += 13) {
        CHECK_EQ(stream(&w, len, 97, &image, &v), E_TRUNCATED);
        CHECK(!image);
    }
    for (size_t at = 0; at < w.bytes.len; at += 5) {
        w.bytes.p[at] ^= 0x10;
        if (stream(&w, w.bytes.len, 97, &image, &v) ==
            E_OK) { /* a byte that no checksum covers: offset, epoch */
            CHECK(image_equal(image, w.image, w.heap));
            image_unref(image, &w.grave);
        } else {
            CHECK(!image);
        }
        w.bytes.p[at] ^= 0x10;
    }
    world_end(&w);
}
