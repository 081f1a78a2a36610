#include "metadata/requests.h"
#include "base/check.h"
#include "metadata/decide.h"
#include "proto_gen.h"

/* ---- asking ---- */

static enum err answer_read(const struct ctl_request *r, struct slice answer)
{
    return proto_decode(r->api->response, r->version, answer, r->arena, r->out);
}

/* All pieces of it; null: some are gone. */
static struct slice answer_whole(const struct image *tip, const struct image_request *first, struct arena *a)
{
    const struct image_request *q = first;
    size_t len = 0;
    uint8_t *p;

    for (int i = 0; i <= first->done.last_piece; i++) {
        q = image_request(tip, first->done.id, i);
        if (!q || !q->done.answer.p)
            return SLICE_NULL;
        len += q->done.answer.len;
    }
    p = arena_alloc(a, len + 1);
    len = 0;
    for (int i = 0; i <= first->done.last_piece; i++) {
        q = image_request(tip, first->done.id, i);
        memcpy(p + len, q->done.answer.p, q->done.answer.len);
        len += q->done.answer.len;
    }
    return slice_of(p, len);
}

enum err request_done_before(const struct image *tip, struct ctl_request *r)
{
    const struct image_request *kept = r->api ? image_request(tip, r->id, 0) : NULL;
    size_t limit = r->arena->max;
    struct slice answer;
    enum err err;

    if (!kept || kept->done.api_key != r->api->key || kept->done.version != r->version)
        return r->api && tip->requests.count >= REQUESTS_MAX ? E_REQUEST_TIMED_OUT : E_NOENT;
    r->arena->max = SIZE_MAX; /* as for the decision */
    answer = answer_whole(tip, kept, r->arena);
    err = answer.p ? answer_read(r, answer) : E_REQUEST_TIMED_OUT;
    r->arena->max = limit > r->arena->used ? limit : r->arena->used;
    return err ? E_REQUEST_TIMED_OUT : E_OK;
}

ctl_decide_fn request_retell(const struct ctl_request *r)
{
    return r->api->key == API_CreateTopics ? create_topics_retell : NULL;
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

/* What doesn't count as a whole, and so must be in one batch, has small answers. */
static int pieces_of(const struct ctl_out *o, size_t len)
{
    size_t n = len ? (len + REQUEST_PIECE_BYTES - 1) / REQUEST_PIECE_BYTES : 1;

    return len > REQUEST_ANSWER_MAX || (n > 1 && !o->together) ? 0 : (int)n;
}

static void answer_emit(const struct ctl_request *r, int64_t clock_ms, struct slice answer, struct ctl_out *o)
{
    int n = pieces_of(o, answer.len);

    for (int i = 0; i < (n ? n : 1); i++) {
        struct record_request_done *done = &ctl_emit(o, RECORD_REQUEST_DONE, o->n > 0)->request_done;
        size_t at = (size_t)i * REQUEST_PIECE_BYTES, left = answer.len - at;

        *done = (struct record_request_done){
            .id = r->id,
            .at_ms = clock_ms,
            .keep_ms = r->keep_ms < REQUEST_KEEP_MAX_MS ? r->keep_ms : REQUEST_KEEP_MAX_MS,
            .api_key = r->api->key,
            .version = r->version,
            .piece = i,
            .last_piece = n ? n - 1 : 0};
        if (n)
            done->answer = arena_copy(
                o->work, slice_of(answer.p + at, left < REQUEST_PIECE_BYTES ? left : REQUEST_PIECE_BYTES));
    }
}

void request_keep(const struct ctl_request *r, int64_t clock_ms, struct ctl_out *o)
{
    const void *out = r->api->key == API_CreateTopics ? create_topics_slim(r->out, o->work) : r->out;
    struct bytes b;

    bytes_init(&b, o->work->heap);
    if (!proto_encode(r->api->response, r->version, out, &b, NULL)) /* else it can't be answered either */
        answer_emit(r, clock_ms, bytes_slice(&b), o);
    bytes_drop(&b);
}

/* ---- dropping ---- */

static bool due(const struct image *tip, int64_t clock_ms, struct record_requests_forget *out)
{
    struct image_requests w = image_requests_all(tip);
    const struct image_request *q;
    int n = 0;

    for (; n < REQUESTS_FORGET_MAX && (q = image_requests_next(&w)); n++) {
        if (request_due_ms(&q->done) > clock_ms)
            break;
        *out = (struct record_requests_forget){.due_ms = request_due_ms(&q->done), .last = q->done.id};
    }
    return n > 0;
}

static bool too_large(const struct image *tip, struct record_requests_forget *out)
{
    struct image_requests w = image_requests_answers(tip);
    const struct image_request *q;
    uint64_t bytes = tip->request_bytes;
    int n = 0;

    for (; n < REQUESTS_FORGET_MAX && bytes > REQUESTS_BYTES_MAX && (q = image_requests_next(&w)); n++) {
        *out = (struct record_requests_forget){
            .due_ms = request_due_ms(&q->done), .last = q->done.id, .answers_only = true};
        bytes -= q->done.answer.len;
    }
    return n > 0;
}

bool requests_due(const struct image *tip, int64_t clock_ms, struct meta_record *out)
{
    *out = (struct meta_record){.type = RECORD_REQUESTS_FORGET};
    return due(tip, clock_ms, &out->requests_forget) || too_large(tip, &out->requests_forget);
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
