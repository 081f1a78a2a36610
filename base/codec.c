/* Streams are read in stretches: zstd and gzip give chunks of CHUNK_BYTES, lz4 and snappy whole blocks.
 *
 * What hostile input can make us hold, at the most:
 *   gzip    the inflater's state and a chunk.
 *   zstd    a window of 128 MiB, which is what Kafka's reader allows. It is taken in one piece but touched only
 *           as far as data is really decoded, and given back at the end of the stream when it is large.
 *   lz4     a block of 4 MiB, as its header may say.
 *   snappy  what a block decodes to, in one piece: snappy can't be cut. A batch of Java's has blocks of 32 KiB;
 *           other clients write the whole batch as one. A block can't decode to more than SNAPPY_EXPANDS times
 *           its length, so one that says more is refused before anything is allocated, and one over
 *           SNAPPY_MAX_BYTES always. */
#include "codec.h"
#include "check.h"
#include <isa-l/crc.h>
#include <isa-l/igzip_lib.h>
#include <limits.h>
#include <lz4.h>
#include <lz4hc.h>
#include <snappy-c.h>
#include <zlib.h>
#define ZSTD_STATIC_LINKING_ONLY
#include <zstd.h>

enum { CHUNK_BYTES = 32 * 1024, KEEP_BYTES = 1024 * 1024, ZSTD_KEEP_BYTES = 4 * 1024 * 1024 };
enum { ZSTD_WINDOW_LOG_MAX = 27, SNAPPY_EXPANDS = 22, SNAPPY_MAX_BYTES = 128 * 1024 * 1024 };
enum { SNAPPY_BLOCK_BYTES = 32 * 1024, SNAPPY_HEAD_BYTES = 16, LZ4_BLOCK_BYTES = 64 * 1024 };

/* Kafka's ranges; `other` is allowed besides. Codecs without levels have min > max. */
static const struct codec_row {
    const char *name;
    int min, max, other, standard;
} codecs[] = {
    [CODEC_NONE] = {.name = "none", .min = 1, .other = INT_MIN},
    [CODEC_GZIP] = {.name = "gzip", .min = 1, .max = 9, .other = -1, .standard = Z_DEFAULT_COMPRESSION},
    [CODEC_SNAPPY] = {.name = "snappy", .min = 1, .other = INT_MIN},
    [CODEC_LZ4] = {.name = "lz4", .min = 1, .max = 17, .other = 9, .standard = 9},
    [CODEC_ZSTD] = {.name = "zstd", .min = -131072, .max = 22, .other = 3, .standard = 3},
};
enum { CODECS = sizeof(codecs) / sizeof(codecs[0]) };

struct codec_stream {
    enum codec codec;
    struct slice in;   /* what is still to be decoded */
    struct slice rest; /* decoded and not yet read, by codec_read() */
    bool begun, ended, broken;
    bool xerial;                  /* snappy */
    bool block_sums, content_sum; /* lz4 */
    size_t block_max;             /* lz4 */
};

struct codec_cache {
    struct heap *heap;
    bool in_use; /* by the stream */
    struct codec_stream stream;
    uint8_t *chunk;
    uint8_t *block;
    size_t block_room;
    struct inflate_state *inflate;
    z_stream deflate;
    bool deflate_made;
    int deflate_level;
    void *lz4_state, *lz4hc_state;
    ZSTD_CCtx *zstd_out;
    ZSTD_DCtx *zstd_in;
};

/* isa-l folds by carry-less multiplication where the processor can and has a table where it can't. Its
 * function neither begins nor ends with the inversion that CRC-32C prescribes. */
uint32_t crc32c(uint32_t crc, const void *p, size_t len)
{
    crc = ~crc;
    for (; len > INT_MAX; p = (const uint8_t *)p + INT_MAX, len -= INT_MAX)
        crc = crc32_iscsi((unsigned char *)p, INT_MAX, crc);
    return ~crc32_iscsi((unsigned char *)p, (int)len, crc);
}

const char *codec_name(enum codec codec)
{
    ASSERT((unsigned)codec < CODECS);
    return codecs[codec].name;
}

bool codec_find(struct slice name, enum codec *out)
{
    for (int i = 0; i < CODECS; i++) {
        if (slice_eq(name, SLICE(codecs[i].name))) {
            *out = (enum codec)i;
            return true;
        }
    }
    return false;
}

bool codec_level_ok(enum codec codec, int level)
{
    ASSERT((unsigned)codec < CODECS);
    return (level >= codecs[codec].min && level <= codecs[codec].max) || level == codecs[codec].other;
}

struct codec_cache *codec_cache_new(struct heap *h)
{
    struct codec_cache *c = heap_alloc(h, sizeof(*c));

    c->heap = h;
    return c;
}

void codec_cache_drop(struct codec_cache *c)
{
    ASSERT(!c->in_use);
    if (c->deflate_made)
        (void)deflateEnd(&c->deflate);
    (void)ZSTD_freeCCtx(c->zstd_out);
    (void)ZSTD_freeDCtx(c->zstd_in);
    heap_free(c->heap, c->chunk);
    heap_free(c->heap, c->block);
    heap_free(c->heap, c->inflate);
    heap_free(c->heap, c->lz4_state);
    heap_free(c->heap, c->lz4hc_state);
    heap_free(c->heap, c);
}

static void *zlib_alloc(void *heap, unsigned n, unsigned size)
{
    return heap_resize(heap, NULL, (size_t)n * size);
}

static void *zstd_alloc(void *heap, size_t size)
{
    return heap_resize(heap, NULL, size);
}

static void give_back(void *heap, void *p)
{
    heap_free(heap, p);
}

static ZSTD_customMem zstd_memory(struct heap *h)
{
    return (ZSTD_customMem){.customAlloc = zstd_alloc, .customFree = give_back, .opaque = h};
}

/* For reading and writing formats. */
static uint32_t get_le32(const uint8_t *p)
{
    return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

static void put_le32(uint8_t *p, uint32_t v)
{
    for (int i = 0; i < 4; i++)
        p[i] = (uint8_t)(v >> (8 * i));
}

static uint32_t get_be32(const uint8_t *p)
{
    return __builtin_bswap32(get_le32(p));
}

static void put_be32(uint8_t *p, uint32_t v)
{
    put_le32(p, __builtin_bswap32(v));
}

static struct slice skip(struct slice s, size_t n)
{
    return slice_of(s.p + n, s.len - n);
}

/* The lz4 frame's checksum, XXH32 with seed 0. */
static const uint32_t XX[5] = {0x9e3779b1, 0x85ebca77, 0xc2b2ae3d, 0x27d4eb2f, 0x165667b1};

static uint32_t rotl32(uint32_t x, int by)
{
    return x << by | x >> (32 - by);
}

static uint32_t xxh32(struct slice s)
{
    uint32_t h = XX[4], v[4] = {XX[0] + XX[1], XX[1], 0, -XX[0]};
    const uint8_t *p = s.p;
    size_t left = s.len;

    if (left >= 16) {
        for (; left >= 16; p += 16, left -= 16)
            for (int i = 0; i < 4; i++)
                v[i] = rotl32(v[i] + get_le32(p + 4 * i) * XX[1], 13) * XX[0];
        h = rotl32(v[0], 1) + rotl32(v[1], 7) + rotl32(v[2], 12) + rotl32(v[3], 18);
    }
    h += (uint32_t)s.len;
    for (; left >= 4; p += 4, left -= 4)
        h = rotl32(h + get_le32(p) * XX[2], 17) * XX[3];
    for (; left > 0; p++, left--)
        h = rotl32(h + *p * XX[4], 11) * XX[0];
    h = (h ^ h >> 15) * XX[1];
    h = (h ^ h >> 13) * XX[2];
    return h ^ h >> 16;
}

static void gzip_compress(struct codec_cache *c, int level, struct slice in, struct bytes *out)
{
    z_stream *z = &c->deflate;
    enum { GZIP_WINDOW = 15 + 16, MEMORY = 8 };

    if (c->deflate_made && c->deflate_level != level) {
        (void)deflateEnd(z);
        c->deflate_made = false;
    }
    if (!c->deflate_made) {
        *z = (z_stream){.zalloc = zlib_alloc, .zfree = give_back, .opaque = c->heap};
        ASSERT(deflateInit2(z, level, Z_DEFLATED, GZIP_WINDOW, MEMORY, Z_DEFAULT_STRATEGY) == Z_OK);
        c->deflate_made = true;
        c->deflate_level = level;
    } else {
        ASSERT(deflateReset(z) == Z_OK);
    }
    size_t room = deflateBound(z, in.len), before = out->len;
    z->next_in = in.p;
    z->avail_in = (uInt)in.len;
    z->next_out = bytes_more(out, room);
    z->avail_out = (uInt)room;
    ASSERT(deflate(z, Z_FINISH) == Z_STREAM_END);
    out->len = before + room - z->avail_out;
}

static const uint8_t xerial_magic[8] = {0x82, 'S', 'N', 'A', 'P', 'P', 'Y', 0};

/* Java's block framing: the head (magic, version 1, oldest compatible version 1), then length and block, in
 * turn. */
static void snappy_frame(struct slice in, struct bytes *out)
{
    uint8_t *head = bytes_more(out, SNAPPY_HEAD_BYTES);

    memcpy(head, xerial_magic, sizeof(xerial_magic));
    put_be32(head + 8, 1);
    put_be32(head + 12, 1);
    while (in.len > 0) {
        size_t n = in.len < SNAPPY_BLOCK_BYTES ? in.len : SNAPPY_BLOCK_BYTES, before = out->len;
        size_t len = snappy_max_compressed_length(n);
        uint8_t *to = bytes_more(out, 4 + len);
        ASSERT(snappy_compress((const char *)in.p, n, (char *)to + 4, &len) == SNAPPY_OK);
        put_be32(to, (uint32_t)len);
        out->len = before + 4 + len;
        in = skip(in, n);
    }
}

static const uint8_t lz4_magic[4] = {0x04, 0x22, 0x4d, 0x18};
enum {
    LZ4_VERSION = 0x40,
    LZ4_INDEPENDENT = 0x20,
    LZ4_BLOCK_SUM = 0x10,
    LZ4_SIZE = 0x08,
    LZ4_SUM = 0x04,
    LZ4_DICT = 0x01
};
#define LZ4_STORED 0x80000000u

/* As Java does: its standard level is the fast compressor, any other the thorough one at that level. */
static int lz4_block(struct codec_cache *c, int level, const uint8_t *from, int n, uint8_t *to, int room)
{
    if (level == codecs[CODEC_LZ4].standard) {
        if (!c->lz4_state)
            c->lz4_state = heap_alloc(c->heap, (size_t)LZ4_sizeofState());
        return LZ4_compress_fast_extState(c->lz4_state, (const char *)from, (char *)to, n, room, 1);
    }
    if (!c->lz4hc_state)
        c->lz4hc_state = heap_alloc(c->heap, (size_t)LZ4_sizeofStateHC());
    return LZ4_compress_HC_extStateHC(c->lz4hc_state, (const char *)from, (char *)to, n, room, level);
}

/* Independent blocks of 64 KiB, no checksums but the head's. */
static void lz4_frame(struct codec_cache *c, int level, struct slice in, struct bytes *out)
{
    uint8_t *head = bytes_more(out, 7);

    memcpy(head, lz4_magic, 4);
    head[4] = LZ4_VERSION | LZ4_INDEPENDENT;
    head[5] = 4 << 4;
    head[6] = (uint8_t)(xxh32(slice_of(head + 4, 2)) >> 8);
    while (in.len > 0) {
        size_t n = in.len < LZ4_BLOCK_BYTES ? in.len : LZ4_BLOCK_BYTES, before = out->len;
        uint8_t *to = bytes_more(out, 4 + n);
        int len = lz4_block(c, level, in.p, (int)n, to + 4, (int)n - 1); /* 0: it doesn't get smaller */
        if (len <= 0)
            memcpy(to + 4, in.p, n);
        put_le32(to, len > 0 ? (uint32_t)len : (uint32_t)n | LZ4_STORED);
        out->len = before + 4 + (len > 0 ? (size_t)len : n);
        in = skip(in, n);
    }
    put_le32(bytes_more(out, 4), 0);
}

static void zstd_compress(struct codec_cache *c, int level, struct slice in, struct bytes *out)
{
    size_t room = ZSTD_compressBound(in.len), before = out->len;

    if (!c->zstd_out)
        c->zstd_out = ZSTD_createCCtx_advanced(zstd_memory(c->heap));
    ASSERT(c->zstd_out && !ZSTD_isError(ZSTD_CCtx_setParameter(c->zstd_out, ZSTD_c_compressionLevel, level)));
    size_t n = ZSTD_compress2(c->zstd_out, bytes_more(out, room), room, in.p, in.len);
    ASSERT(!ZSTD_isError(n));
    out->len = before + n;
}

void codec_compress(struct codec_cache *c, enum codec codec, int level, struct slice in, struct bytes *out)
{
    ASSERT((unsigned)codec < CODECS && in.len <= INT32_MAX);
    if (level == INT_MIN)
        level = codecs[codec].standard;
    switch (codec) {
    case CODEC_NONE:
        bytes_add(out, in.p, in.len);
        break;
    case CODEC_GZIP:
        gzip_compress(c, level, in, out);
        break;
    case CODEC_SNAPPY:
        snappy_frame(in, out);
        break;
    case CODEC_LZ4:
        lz4_frame(c, level, in, out);
        break;
    case CODEC_ZSTD:
        zstd_compress(c, level, in, out);
        break;
    }
}

struct codec_stream *codec_open(struct codec_cache *c, enum codec codec, struct slice in)
{
    ASSERT(!c->in_use && (unsigned)codec < CODECS && in.len <= INT32_MAX);
    c->in_use = true;
    c->stream = (struct codec_stream){.codec = codec, .in = in};
    return &c->stream;
}

void codec_close(struct codec_stream *s)
{
    struct codec_cache *c = (struct codec_cache *)((char *)s - offsetof(struct codec_cache, stream));

    ASSERT(c->in_use);
    c->in_use = false;
    if (c->block_room > KEEP_BYTES) {
        heap_free(c->heap, c->block);
        c->block = NULL;
        c->block_room = 0;
    }
    if (c->zstd_in && ZSTD_sizeof_DCtx(c->zstd_in) > ZSTD_KEEP_BYTES) {
        (void)ZSTD_freeDCtx(c->zstd_in);
        c->zstd_in = NULL;
    }
}

static uint8_t *block_of(struct codec_cache *c, size_t len)
{
    if (len > c->block_room) {
        heap_free(c->heap, c->block);
        c->block = heap_resize(c->heap, NULL, len);
        c->block_room = len;
    }
    return c->block;
}

static uint8_t *chunk_of(struct codec_cache *c)
{
    if (!c->chunk)
        c->chunk = heap_resize(c->heap, NULL, CHUNK_BYTES);
    return c->chunk;
}

/* Members may follow one another; what follows and is none is left alone, as Java does. */
static enum err gzip_next(struct codec_cache *c, struct codec_stream *s, struct slice *out)
{
    struct inflate_state *z = c->inflate;

    if (!z)
        z = c->inflate = heap_alloc(c->heap, sizeof(*z));
    if (!s->begun) {
        isal_inflate_init(z);
        z->crc_flag = ISAL_GZIP;
        s->begun = true;
    }
    z->next_in = s->in.p;
    z->avail_in = (uint32_t)s->in.len;
    z->next_out = chunk_of(c);
    z->avail_out = CHUNK_BYTES;
    if (isal_inflate(z) != ISAL_DECOMP_OK)
        return E_CORRUPT_MESSAGE;
    *out = slice_of(c->chunk, CHUNK_BYTES - z->avail_out);
    bool moved = z->avail_in < s->in.len || out->len > 0;
    s->in = slice_of(z->next_in, z->avail_in);
    if (z->block_state == ISAL_BLOCK_FINISH) {
        s->ended = s->in.len < 2 || s->in.p[0] != 0x1f || s->in.p[1] != 0x8b;
        s->begun = false;
        return E_OK;
    }
    return moved ? E_OK : E_CORRUPT_MESSAGE; /* it wants more and there is none */
}

/* One block of snappy's own format. */
static enum err snappy_block(struct codec_cache *c, struct slice in, struct slice *out)
{
    size_t len;

    if (snappy_uncompressed_length((const char *)in.p, in.len, &len) != SNAPPY_OK || len > SNAPPY_MAX_BYTES ||
        len / SNAPPY_EXPANDS > in.len)
        return E_CORRUPT_MESSAGE;
    uint8_t *to = block_of(c, len ? len : 1);
    if (snappy_uncompress((const char *)in.p, in.len, (char *)to, &len) != SNAPPY_OK)
        return E_CORRUPT_MESSAGE;
    *out = slice_of(to, len);
    return E_OK;
}

static bool is_xerial_head(struct slice s)
{
    return s.len >= SNAPPY_HEAD_BYTES && memcmp(s.p, xerial_magic, sizeof(xerial_magic)) == 0;
}

static enum err snappy_next(struct codec_cache *c, struct codec_stream *s, struct slice *out)
{
    if (!s->begun)
        s->xerial = is_xerial_head(s->in);
    s->begun = true;
    if (!s->xerial) {
        s->ended = true;
        return snappy_block(c, s->in, out);
    }
    while (is_xerial_head(s->in)) /* streams may follow one another */
        s->in = skip(s->in, SNAPPY_HEAD_BYTES);
    s->ended = s->in.len == 0;
    if (s->ended)
        return E_OK;
    if (s->in.len < 4 || get_be32(s->in.p) > s->in.len - 4)
        return E_CORRUPT_MESSAGE;
    struct slice block = slice_of(s->in.p + 4, get_be32(s->in.p));
    s->in = skip(s->in, 4 + block.len);
    return snappy_block(c, block, out);
}

/* Blocks that depend on earlier ones, and dictionaries, are refused: Java's readers can't read them. */
static enum err lz4_head(struct codec_stream *s)
{
    if (s->in.len < 7 || memcmp(s->in.p, lz4_magic, 4) != 0)
        return E_CORRUPT_MESSAGE;
    int flags = s->in.p[4], size_class = s->in.p[5] >> 4 & 7;
    size_t head = 2 + (flags & LZ4_SIZE ? 8 : 0);
    if ((flags & 0xc0) != LZ4_VERSION || !(flags & LZ4_INDEPENDENT) || flags & (LZ4_DICT | 0x02) ||
        s->in.p[5] & 0x8f || size_class < 4 || s->in.len < 4 + head + 1 ||
        s->in.p[4 + head] != (uint8_t)(xxh32(slice_of(s->in.p + 4, head)) >> 8))
        return E_CORRUPT_MESSAGE;
    s->block_sums = flags & LZ4_BLOCK_SUM;
    s->content_sum = flags & LZ4_SUM;
    s->block_max = (size_t)LZ4_BLOCK_BYTES << (2 * (size_class - 4));
    s->in = skip(s->in, 4 + head + 1);
    return E_OK;
}

/* The content's checksum is read past, as Java does: the batch has a better one. */
static enum err lz4_next(struct codec_cache *c, struct codec_stream *s, struct slice *out)
{
    if (!s->begun && lz4_head(s))
        return E_CORRUPT_MESSAGE;
    s->begun = true;
    if (s->in.len < 4)
        return E_CORRUPT_MESSAGE;
    uint32_t word = get_le32(s->in.p), len = word & ~LZ4_STORED, sum = s->block_sums ? 4 : 0;
    s->in = skip(s->in, 4);
    if (word == 0) {
        s->ended = true;
        return s->content_sum && s->in.len < 4 ? E_CORRUPT_MESSAGE : E_OK;
    }
    if (len > s->block_max || len > s->in.len || sum > s->in.len - len)
        return E_CORRUPT_MESSAGE;
    struct slice block = slice_of(s->in.p, len);
    if (sum && get_le32(block.p + len) != xxh32(block))
        return E_CORRUPT_MESSAGE;
    s->in = skip(s->in, len + sum);
    *out = block;
    if (word & LZ4_STORED)
        return E_OK;
    uint8_t *to = block_of(c, s->block_max);
    int n = LZ4_decompress_safe((const char *)block.p, (char *)to, (int)len, (int)s->block_max);
    *out = slice_of(to, n > 0 ? (size_t)n : 0);
    return n >= 0 ? E_OK : E_CORRUPT_MESSAGE;
}

static enum err zstd_next(struct codec_cache *c, struct codec_stream *s, struct slice *out)
{
    if (!c->zstd_in) {
        c->zstd_in = ZSTD_createDCtx_advanced(zstd_memory(c->heap));
        ASSERT(c->zstd_in != NULL);
        ASSERT(!ZSTD_isError(ZSTD_DCtx_setParameter(c->zstd_in, ZSTD_d_windowLogMax, ZSTD_WINDOW_LOG_MAX)));
    }
    if (!s->begun)
        (void)ZSTD_DCtx_reset(c->zstd_in, ZSTD_reset_session_only);
    s->begun = true;
    ZSTD_inBuffer from = {.src = s->in.p, .size = s->in.len};
    ZSTD_outBuffer to = {.dst = chunk_of(c), .size = CHUNK_BYTES};
    size_t more = ZSTD_decompressStream(c->zstd_in, &to, &from);
    if (ZSTD_isError(more))
        return E_CORRUPT_MESSAGE;
    *out = slice_of(c->chunk, to.pos);
    s->in = skip(s->in, from.pos);
    s->ended = more == 0 && s->in.len == 0; /* frames may follow one another */
    return from.pos > 0 || to.pos > 0 || s->ended ? E_OK : E_CORRUPT_MESSAGE;
}

static enum err stretch(struct codec_cache *c, struct codec_stream *s, struct slice *out)
{
    switch (s->codec) {
    case CODEC_NONE:
        *out = s->in;
        s->ended = true;
        return E_OK;
    case CODEC_GZIP:
        return gzip_next(c, s, out);
    case CODEC_SNAPPY:
        return snappy_next(c, s, out);
    case CODEC_LZ4:
        return lz4_next(c, s, out);
    case CODEC_ZSTD:
        return zstd_next(c, s, out);
    }
    ASSERT(false);
    return E_CORRUPT_MESSAGE;
}

enum err codec_next(struct codec_stream *s, struct slice *out)
{
    struct codec_cache *c = (struct codec_cache *)((char *)s - offsetof(struct codec_cache, stream));

    ASSERT(c->in_use);
    *out = s->rest;
    s->rest = SLICE_NULL;
    while (out->len == 0 && !s->ended && !s->broken)
        s->broken = stretch(c, s, out) != E_OK;
    if (!s->broken)
        return E_OK;
    *out = SLICE_NULL;
    return E_CORRUPT_MESSAGE;
}

enum err codec_read(struct codec_stream *s, void *to, size_t len, size_t *got)
{
    for (*got = 0; *got < len;) {
        struct slice next;
        enum err err = codec_next(s, &next);
        if (err || next.len == 0)
            return err;
        size_t n = next.len < len - *got ? next.len : len - *got;
        memcpy((uint8_t *)to + *got, next.p, n);
        *got += n;
        s->rest = skip(next, n);
    }
    return E_OK;
}
