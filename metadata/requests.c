#include "metadata/requests.h"
#include "base/check.h"
#include "proto/wire.h"

/* ---- asking ---- */

enum err request_done_before(const struct image *tip, struct ctl_request *r)
{
    const struct image_request *kept = r->api ? image_request(tip, r->id) : NULL;
    size_t limit = r->arena->max;
    struct slice answer;
    enum err err;

    if (!kept || kept->done.api_key != r->api->key || kept->done.version != r->version)
        return E_NOENT;
    if (!kept->done.answer.p)
        return E_REQUEST_TIMED_OUT;
    r->arena->max = SIZE_MAX; /* as for the decision */
    answer = arena_copy(r->arena, kept->done.answer);
    err = proto_decode(r->api->response, r->version, answer, r->arena, r->out);
    r->arena->max = limit > r->arena->used ? limit : r->arena->used;
    return err ? E_REQUEST_TIMED_OUT : E_OK;
}

/* ---- keeping ---- */

/* weir.version when the records have come to be. */
static int level_after(const struct image *tip, const struct ctl_out *o)
{
    int level = image_feature(tip, FEATURE_WEIR);

    for (int i = 0; i < o->n; i++)
        if (o->records[i].type == RECORD_FEATURE && slice_eq(o->records[i].feature.name, SLICE(FEATURE_WEIR)))
            level = o->records[i].feature.level;
    return level;
}

bool request_keeps(const struct image *tip, const struct ctl_request *r, const struct ctl_out *o)
{
    return r->api && level_after(tip, o) >= WEIR_VERSION_REQUESTS;
}

void request_keep(const struct ctl_request *r, int64_t clock_ms, struct ctl_out *o)
{
    int32_t keep = r->keep_ms < REQUEST_KEEP_MAX_MS ? r->keep_ms : REQUEST_KEEP_MAX_MS;
    struct record_request_done *done;
    struct bytes b;

    bytes_init(&b, o->work->heap);
    if (proto_encode(r->api->response, r->version, r->out, &b, NULL)) {
        bytes_drop(&b); /* so it can't be answered either */
        return;
    }
    if (r->again != CTL_AGAIN_TOLD || b.len <= REQUEST_RETOLD_MAX) {
        done = &ctl_emit(o, RECORD_REQUEST_DONE, o->n > 0)->request_done;
        *done = (struct record_request_done){
            .id = r->id, .at_ms = clock_ms, .keep_ms = keep, .api_key = r->api->key, .version = r->version};
        if (b.len <= REQUEST_ANSWER_MAX)
            done->answer = arena_copy(o->work, bytes_slice(&b));
    }
    bytes_drop(&b);
}

/* ---- dropping ---- */

bool requests_due(const struct image *tip, int64_t clock_ms, struct meta_record *out)
{
    struct image_requests w = image_requests_all(tip);
    const struct image_request *q;
    uint32_t left = tip->requests.count;
    uint64_t bytes = tip->request_bytes;

    *out = (struct meta_record){.type = RECORD_REQUESTS_FORGET};
    for (int n = 0; n < REQUESTS_FORGET_MAX && (q = image_requests_next(&w)); n++) {
        int64_t due = request_due_ms(&q->done);

        if (due > clock_ms && left <= REQUESTS_MAX && bytes <= REQUESTS_BYTES_MAX)
            break;
        out->requests_forget = (struct record_requests_forget){.due_ms = due, .last = q->done.id};
        left--;
        bytes -= request_size(q);
    }
    return left < tip->requests.count;
}

int64_t requests_clock(const struct image *tip)
{
    struct image_requests w = image_requests_all(tip);
    const struct image_request *q;
    int64_t newest = 0;

    while ((q = image_requests_next(&w)))
        if (q->done.at_ms > newest)
            newest = q->done.at_ms;
    return newest;
}
