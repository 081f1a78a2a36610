/* Requests and responses with their headers; stored records with their types and versions. */
#include "proto/bigend.h"
#include "proto_gen.h"

static int request_header_version(const struct proto_api *api, int version)
{
    return version >= api->flexible_from ? 2 : 1;
}

/* ApiVersions is asked before anything is known, so its answer always has the oldest header. */
static int response_header_version(const struct proto_api *api, int version)
{
    return version >= api->flexible_from && api->key != API_ApiVersions ? 1 : 0;
}

enum err proto_request_header(struct slice frame, struct proto_request *out)
{
    struct RequestHeader h;
    size_t used;
    enum err err;

    *out = (struct proto_request){.key = -1};
    if (frame.len < 4)
        return E_TRUNCATED;
    out->key = (int16_t)get_be16(frame.p);
    out->version = (int16_t)get_be16(frame.p + 2);
    out->api = proto_api(out->key);
    if (!out->api)
        return E_INVALID_REQUEST;
    err = proto_decode_prefix(&RequestHeader_type, request_header_version(out->api, out->version), frame,
                              NULL, &h, &used);
    if (err)
        return err;
    out->correlation_id = h.correlation_id;
    out->client_id = h.client_id;
    out->body = slice_of(frame.p + used, frame.len - used);
    return proto_in(out->api->request->versions, out->version) ? E_OK : E_UNSUPPORTED_VERSION;
}

enum err proto_request_body(const struct proto_request *r, struct arena *a, void *msg)
{
    return proto_decode(r->api->request, r->version, r->body, a, msg);
}

/* The length, which counts what is cut out as well; on an error nothing was appended. */
static enum err frame_end(struct bytes *out, size_t begin, struct proto_cuts *cuts, size_t cut_before,
                          enum err err)
{
    size_t len = out->len - begin - 4 + (cuts ? cuts->len - cut_before : 0);

    if (!err && len > INT32_MAX)
        err = E_MESSAGE_TOO_LARGE;
    if (err) {
        out->len = begin;
        return err;
    }
    put_be32(out->p + begin, (uint32_t)len);
    return E_OK;
}

enum err proto_request_frame(const struct proto_api *api, int version, int32_t correlation_id,
                             struct slice client_id, const void *msg, struct bytes *out,
                             struct proto_cuts *cuts)
{
    struct RequestHeader h = {
        .request_api_key = api->key,
        .request_api_version = (int16_t)version,
        .correlation_id = correlation_id,
        .client_id = client_id,
    };
    size_t begin = out->len, cut_before = cuts ? cuts->len : 0;
    enum err err;

    (void)bytes_more(out, 4);
    err = proto_encode(&RequestHeader_type, request_header_version(api, version), &h, out, NULL);
    if (!err)
        err = proto_encode(api->request, version, msg, out, cuts);
    return frame_end(out, begin, cuts, cut_before, err);
}

enum err proto_response_frame(const struct proto_api *api, int version, int32_t correlation_id,
                              const void *msg, struct bytes *out, struct proto_cuts *cuts)
{
    struct ResponseHeader h = {.correlation_id = correlation_id};
    size_t begin = out->len, cut_before = cuts ? cuts->len : 0;
    enum err err;

    (void)bytes_more(out, 4);
    err = proto_encode(&ResponseHeader_type, response_header_version(api, version), &h, out, NULL);
    if (!err)
        err = proto_encode(api->response, version, msg, out, cuts);
    return frame_end(out, begin, cuts, cut_before, err);
}

enum err proto_response_header(struct slice frame, int32_t *correlation_id)
{
    if (frame.len < 4)
        return E_TRUNCATED;
    *correlation_id = (int32_t)get_be32(frame.p);
    return E_OK;
}

enum err proto_response_body(const struct proto_api *api, int version, struct slice frame, struct arena *a,
                             void *msg)
{
    struct ResponseHeader h;
    size_t used;
    enum err err = proto_decode_prefix(&ResponseHeader_type, response_header_version(api, version), frame,
                                       NULL, &h, &used);

    if (err)
        return err;
    return proto_decode(api->response, version, slice_of(frame.p + used, frame.len - used), a, msg);
}

static enum err write_with_prefix(const struct proto_type *t, int16_t prefix, int version, const void *msg,
                                  struct bytes *out)
{
    size_t begin = out->len;
    enum err err;

    put_be16(bytes_more(out, 2), (uint16_t)prefix);
    err = proto_encode(t, version, msg, out, NULL);
    if (err)
        out->len = begin;
    return err;
}

enum err proto_record_key_write(const struct proto_record *r, const void *key, struct bytes *out)
{
    return write_with_prefix(r->key, r->type, 0, key, out);
}

enum err proto_record_value_write(const struct proto_record *r, int version, const void *value,
                                  struct bytes *out)
{
    return write_with_prefix(r->value, (int16_t)version, version, value, out);
}

enum err proto_record_type(struct slice topic, struct slice key, const struct proto_record **out)
{
    *out = NULL;
    if (key.len < 2)
        return E_TRUNCATED;
    *out = proto_record_find(topic, (int16_t)get_be16(key.p));
    return *out ? E_OK : E_UNSUPPORTED_VERSION;
}

enum err proto_record_key_read(const struct proto_record *r, struct slice key, struct arena *a, void *out)
{
    if (key.len < 2)
        return E_TRUNCATED;
    return proto_decode(r->key, 0, slice_of(key.p + 2, key.len - 2), a, out);
}

enum err proto_record_value_read(const struct proto_record *r, struct slice value, struct arena *a, void *out)
{
    if (value.len < 2)
        return E_TRUNCATED;
    return proto_decode(r->value, (int16_t)get_be16(value.p), slice_of(value.p + 2, value.len - 2), a, out);
}
