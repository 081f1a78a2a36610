#include "log/clean_map.h"
#include "tests/check.h"

static const uint64_t KEY[2] = {0x0706050403020100u, 0x0f0e0d0c0b0a0908u};

/* The hash is SipHash-2-4 with 128 bits of output: the published vectors for 0, 1 and 15 bytes 00 01 02 … */
TEST(clean_map, hash_has_the_published_values)
{
    uint8_t in[15];
    uint64_t out[2];

    for (uint8_t i = 0; i < sizeof(in); i++)
        in[i] = i;
    siphash_128(KEY, slice_of(in, 0), out);
    CHECK(out[0] == 0xe6a825ba047f81a3u && out[1] == 0x930255c71472f66du);
    siphash_128(KEY, slice_of(in, 1), out);
    CHECK(out[0] == 0x44af996bd8c187dau && out[1] == 0x45fc229b11597634u);
    siphash_128(KEY, slice_of(in, 15), out);
    CHECK(out[0] == 0x11a8b03399e99354u && out[1] == 0xd9c3cf970fec087eu);
}

/* The last offset of each key is kept, until the memory set aside is full: then known keys still go on. */
TEST(clean_map, keeps_last_offsets_within_its_memory)
{
    struct heap *h = heap_new(true);
    struct clean_map m;
    int put = 0;

    clean_map_open(&m, h, 1 << 20, 24 * 100, KEY);
    CHECK(heap_used(h) <= 24 * 100);
    for (int key = 0; key < 200; key++)
        put += clean_map_put(&m, slice_of(&key, sizeof(key)), key);
    CHECK_EQ(put, 90);
    for (int key = 0; key < 200; key++) {
        CHECK_EQ(clean_map_get(&m, slice_of(&key, sizeof(key))), key < 90 ? key : -1);
        CHECK_EQ(clean_map_put(&m, slice_of(&key, sizeof(key)), 1000 + key), key < 90);
    }
    int first = 0;
    CHECK_EQ(clean_map_get(&m, slice_of(&first, sizeof(first))), 1000);
    clean_map_drop(&m);
    CHECK_EQ(heap_used(h), 0);
    heap_drop(h);
}

/* Asked for few keys it takes little memory, and has room for all of them. */
TEST(clean_map, takes_no_more_than_the_keys_need)
{
    struct heap *h = heap_new(true);
    struct clean_map m;

    for (uint64_t keys = 0; keys < 300; keys++) {
        clean_map_open(&m, h, keys, 128 << 20, KEY);
        CHECK(heap_used(h) <= 24 * (keys + keys / 9 + 2));
        for (uint64_t key = 0; key < keys; key++)
            CHECK(clean_map_put(&m, slice_of(&key, sizeof(key)), 1));
        clean_map_drop(&m);
    }
    heap_drop(h);
}
