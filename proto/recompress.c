#include "proto/recompress.h"
#include "proto/bigend.h"

enum { LENGTH_AT = 8, CRC_AT = 17, ATTRIBUTES_AT = 21 };

static enum err decompress(struct codec_cache *cache, enum codec codec, struct slice in, size_t room,
                           struct bytes *out)
{
    struct codec_stream *s = codec_open(cache, codec, in);
    struct slice some;
    size_t had = out->len;
    enum err err;

    while (!(err = codec_next(s, &some)) && some.len > 0) {
        if (out->len - had + some.len > room) {
            err = E_MESSAGE_TOO_LARGE;
            break;
        }
        bytes_add(out, some.p, some.len);
    }
    codec_close(s);
    return err;
}

/* From any codec to any other; both may be none. */
static enum err convert(struct codec_cache *cache, const struct batch_view *v, enum codec codec, int level,
                        size_t room, struct bytes *out)
{
    struct slice in = slice_of(v->p + BATCH_HEAD, v->len - BATCH_HEAD);
    struct bytes plain;
    enum err err;

    if (codec == CODEC_NONE)
        return decompress(cache, batch_codec(v), in, room, out);
    if (batch_codec(v) == CODEC_NONE) {
        if (in.len > room)
            return E_MESSAGE_TOO_LARGE;
        codec_compress(cache, codec, level, in, out);
        return E_OK;
    }
    bytes_init(&plain, out->heap);
    err = decompress(cache, batch_codec(v), in, room, &plain);
    if (!err)
        codec_compress(cache, codec, level, bytes_slice(&plain), out);
    bytes_drop(&plain);
    return err;
}

enum err batch_recompress(struct codec_cache *cache, const struct batch_view *v, enum codec codec, int level,
                          size_t room, struct bytes *out)
{
    size_t had = out->len;

    if (batch_codec(v) == codec)
        return E_OK;
    bytes_add(out, v->p, BATCH_HEAD);
    enum err err = convert(cache, v, codec, level, room, out);
    if (err) {
        out->len = had;
        return err;
    }
    uint8_t *p = out->p + had;
    size_t len = out->len - had;
    put_be32(p + LENGTH_AT, (uint32_t)(len - BATCH_PREFIX));
    put_be16(p + ATTRIBUTES_AT, (uint16_t)((v->attributes & ~BATCH_CODEC) | codec));
    put_be32(p + CRC_AT, crc32c(0, p + BATCH_CRC_FROM, len - BATCH_CRC_FROM));
    return E_OK;
}
