/* Compression and checksums: the only place that knows the libraries.
 * Streams are for walking a batch's records without holding them all: memory is bounded by the codec's own window.
 * Memory: contexts come from the heap; nothing is kept between calls but a codec_cache, one a loop. */
#pragma once
#include "err.h"
#include "mem.h"

enum codec { CODEC_NONE = 0, CODEC_GZIP = 1, CODEC_SNAPPY = 2, CODEC_LZ4 = 3, CODEC_ZSTD = 4 };

uint32_t crc32c(uint32_t crc, const void *p, size_t len); /* hardware where there is some; start with 0 */

const char *codec_name(enum codec codec); /* Kafka's: none gzip snappy lz4 zstd */
bool codec_find(struct slice name, enum codec *out);
bool codec_level_ok(enum codec codec, int level); /* the ranges that Kafka's settings allow */

/* Reusable compression state: contexts are costly to make. One thread at a time. */
struct codec_cache;
struct codec_cache *codec_cache_new(struct heap *h);
void codec_cache_drop(struct codec_cache *c);

/* Appends the compressed bytes to `out`, in the framing that Java clients write and every client reads:
 * gzip member, snappy in Java's block framing (xerial), lz4 frame, zstd frame. level: INT_MIN is the codec's default. */
void codec_compress(struct codec_cache *c, enum codec codec, int level, struct slice in, struct bytes *out);

/* Decompression as a stream. One stream at a time on a cache. snappy: raw blocks as well as xerial framing. */
struct codec_stream;
struct codec_stream *codec_open(struct codec_cache *c, enum codec codec, struct slice in);
/* Up to len bytes; *got < len only at the end. E_CORRUPT_MESSAGE: the data is not what the codec says. */
enum err codec_read(struct codec_stream *s, void *to, size_t len, size_t *got);
/* The next stretch of decompressed bytes, lent until the next call; empty at the end. Cheaper than codec_read(). */
enum err codec_next(struct codec_stream *s, struct slice *out);
void codec_close(struct codec_stream *s);
