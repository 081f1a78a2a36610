/* The fetching client: client_node.h. */
#include "base/check.h"
#include "client_node_internal.h"
#include "proto/batch.h"

enum { FETCH_VERSION = 12, WAIT_MS_MAX = 3000, PART_BYTES = 60000, LATEST = -1, EARLIEST = -2, BY_TIME = 0 };
/* The version tells later what was asked for. */
enum { LATEST_VERSION = 5, BY_TIME_VERSION, EARLIEST_VERSION };
static const int64_t REST_NS = 100000000;

static void fetch_done(struct wire_ask *a);
static void offsets_done(struct wire_ask *a);

/* What is asked is remembered with what was known then. */
static void reader_notes(struct reader *r)
{
    for (int p = 0; p < r->n; p++) {
        r->durable[p] = r->books[p]->durable;
        r->era[p] = r->books[p]->era;
        r->promised[p] = r->books[p]->promised_end;
    }
}

static void fetch_ask(struct reader *r)
{
    struct FetchRequest *in = wire_in(&r->ask, API_Fetch);
    struct arena *a = &r->ask.arena;
    struct sim *s = r->link.c->s;
    int n = 0;

    in->max_wait_ms = (int32_t)sim_below(s, WAIT_MS_MAX);
    in->min_bytes = sim_below(s, 4) ? 1 : (int32_t)sim_below(s, 20000);
    in->max_bytes = 1 + (int32_t)sim_below(s, 200000);
    in->session_id = r->session;
    in->session_epoch = r->session_epoch;
    PROTO_ARRAY_NEW(a, FetchRequest_FetchTopic, in->topics, 1);
    in->topics.v[0].topic = SLICE(r->topic);
    PROTO_ARRAY_NEW(a, FetchRequest_FetchPartition, in->topics.v[0].partitions, r->n);
    for (int p = 0; p < r->n; p++) {
        struct FetchRequest_FetchPartition *fp = &in->topics.v[0].partitions.v[n];
        if (r->session && r->told[p] == r->position[p])
            continue;
        fp->partition = p;
        fp->fetch_offset = r->told[p] = r->position[p];
        fp->partition_max_bytes = PART_BYTES;
        n++;
    }
    in->topics.v[0].partitions.n = n;
    if (n == 0)
        in->topics.n = 0;
    reader_notes(r);
    r->ask.done = fetch_done;
    (void)wire_ask(&r->link.wire, &r->ask, FETCH_VERSION, in);
}

/* About the time of a record that was read, or of one that may come. */
static int64_t some_time(struct reader *r, int p)
{
    struct sim *s = r->link.c->s;
    const struct book *b = r->books[p];
    int64_t time = book_time(b, (int64_t)sim_below(s, (uint64_t)b->promised_end + 1));

    return (time < 0 ? io_wall_ms(r->link.c->io) : time) + (int64_t)sim_below(s, 5) - 2;
}

/* Where each partition begins, that it ends behind what was promised, or the first record as young as some time. */
static void offsets_ask(struct reader *r, int64_t what)
{
    struct ListOffsetsRequest *in = wire_in(&r->ask, API_ListOffsets);
    struct arena *a = &r->ask.arena;

    in->replica_id = -1;
    PROTO_ARRAY_NEW(a, ListOffsetsRequest_ListOffsetsTopic, in->topics, 1);
    in->topics.v[0].name = SLICE(r->topic);
    PROTO_ARRAY_NEW(a, ListOffsetsRequest_ListOffsetsPartition, in->topics.v[0].partitions, r->n);
    for (int p = 0; p < r->n; p++) {
        in->topics.v[0].partitions.v[p].partition_index = p;
        r->time[p] = what == BY_TIME ? some_time(r, p) : what;
        in->topics.v[0].partitions.v[p].timestamp = r->time[p];
    }
    reader_notes(r);
    r->ask.done = offsets_done;
    (void)wire_ask(&r->link.wire, &r->ask,
                   what == LATEST     ? LATEST_VERSION
                   : what == EARLIEST ? EARLIEST_VERSION
                                      : BY_TIME_VERSION,
                   in);
}

static void reader_ticked(struct link *l)
{
    struct reader *r = container_of(l, struct reader, link);
    bool lost = false;

    if (r->ask.wire)
        return;
    if (!topics_ready(l->c)) {
        link_tick(l, REST_NS);
        return;
    }
    for (int p = 0; p < r->n; p++)
        lost |= r->lost_place[p];
    if (lost)
        offsets_ask(r, EARLIEST);
    else if (sim_below(l->c->s, 10) == 0)
        offsets_ask(r, LATEST);
    else if (sim_below(l->c->s, 8) == 0)
        offsets_ask(r, BY_TIME);
    else
        fetch_ask(r);
}

static void reader_fresh(struct link *l)
{
    struct reader *r = container_of(l, struct reader, link);

    r->session = r->session_epoch = 0;
    for (int p = 0; p < r->n; p++)
        r->hw[p] = r->start[p] = -1;
}

/* ---- what comes back ---- */

/* The first record of that time or a later one, wherever the clock was when the others came. What lies in front of a log
 * that is trimmed nobody knows. */
static void time_judge(struct reader *r, int p,
                       const struct ListOffsetsResponse_ListOffsetsPartitionResponse *out)
{
    struct book *b = r->books[p];
    bool found = out->offset >= 0;

    JUDGE(!found || out->timestamp >= r->time[p], "%s-%d: %lld is of %lld, asked was for %lld", r->topic, p,
          (long long)out->offset, (long long)out->timestamp, (long long)r->time[p]);
    if (r->era[p] != b->era)
        return;
    if (found && book_time(b, out->offset) >= 0)
        JUDGE(book_time(b, out->offset) == out->timestamp, "%s-%d: %lld is of %lld, not %lld", r->topic, p,
              (long long)out->offset, (long long)book_time(b, out->offset), (long long)out->timestamp);
    if (!b->trimmed)
        book_claim(b, r->time[p], found ? out->offset : r->promised[p]);
    r->link.c->tally.times += found;
}

static void offset_judge(struct reader *r, int p,
                         const struct ListOffsetsResponse_ListOffsetsPartitionResponse *out)
{
    struct book *b = r->books[p];

    if (out->error_code) {
        JUDGE(passing(r->link.c, out->error_code), "%s-%d: ListOffsets is answered with error %d", r->topic,
              p, out->error_code);
        return;
    }
    r->link.c->tally.offsets++;
    if (r->ask.version == BY_TIME_VERSION) {
        time_judge(r, p, out);
    } else if (r->ask.version == EARLIEST_VERSION) {
        /* the name of a first segment may be lost with the power, and that of the second kept */
        JUDGE(b->trimmed || out->offset == 0 || (b->era > 0 && !b->durable), "%s-%d begins at %lld", r->topic,
              p, (long long)out->offset);
        if (r->lost_place[p]) {
            r->position[p] = out->offset;
            r->from_start[p] = true;
        }
        r->lost_place[p] = false;
    } else if (r->era[p] == b->era) {
        JUDGE(out->offset >= r->promised[p], "%s-%d: ends at %lld, promised %lld", r->topic, p,
              (long long)out->offset, (long long)r->promised[p]);
    }
}

static void offsets_done(struct wire_ask *a)
{
    struct reader *r = a->arg;
    const struct ListOffsetsResponse *out = a->out;

    if (a->err)
        return;
    JUDGE(out->topics.n == 1 && out->topics.v[0].partitions.n == r->n, "shape");
    for (int p = 0; p < r->n; p++)
        offset_judge(r, p, &out->topics.v[0].partitions.v[p]);
    link_tick(&r->link, REST_NS);
}

/* One batch of an answer; what lies before the position was asked for with it. */
static void batch_read(struct reader *r, int p, const struct batch_view *v)
{
    struct book *b = r->books[p];
    struct record_iter it;
    struct record rec;

    JUDGE(batch_crc_ok(v), "%s-%d: a torn batch at %lld", r->topic, p, (long long)v->base_offset);
    record_iter_open(&it, io_heap(r->link.c->io), NULL, v, 1 << 20);
    while (record_next(&it, &rec) == E_OK) {
        uint32_t number = book_number_of(b, rec.value);
        r->link.c->tally.records++;
        if (r->era[p] == b->era) {
            book_met(b, rec.offset, number, promise_of(b, r->durable[p]));
            book_timed(b, rec.offset, rec.timestamp);
        }
    }
    record_iter_close(&it);
}

static void records_read(struct reader *r, int p, struct slice rest, int64_t hw)
{
    int64_t at = r->position[p];
    struct batch_view v;
    int n = 0;

    while (batch_next(&rest, &v) == E_OK) {
        JUDGE(n == 0 ? v.base_offset <= at && v.last_offset >= at : v.base_offset == at,
              "%s-%d: a batch of %lld..%lld where %lld was due", r->topic, p, (long long)v.base_offset,
              (long long)v.last_offset, (long long)at);
        JUDGE(v.last_offset < hw, "%s-%d: %lld is shown, the high watermark is %lld", r->topic, p,
              (long long)v.last_offset, (long long)hw);
        batch_read(r, p, &v);
        at = v.last_offset + 1;
        n++;
    }
    JUDGE(n > 0 || rest.len == 0, "%s-%d: %zu bytes and no batch", r->topic, p, rest.len);
    r->position[p] = at;
}

static void place_lost(struct reader *r, int p)
{
    struct book *b = r->books[p];

    r->link.c->tally.out_of_range++;
    JUDGE(b->trimmed || r->era[p] != b->era || (b->era > 0 && !b->durable) || r->position[p] > r->promised[p],
          "%s-%d: %lld is out of range, %lld was promised", r->topic, p, (long long)r->position[p],
          (long long)r->promised[p]);
    r->lost_place[p] = true;
}

static void part_judge(struct reader *r, const struct FetchResponse_PartitionData *out)
{
    int p = out->partition_index;
    struct book *b = r->books[p];

    JUDGE(p >= 0 && p < r->n, "partition %d", p);
    if (r->lost_place[p]) /* told to begin again meanwhile */
        return;
    if (out->error_code == err_wire(E_OFFSET_OUT_OF_RANGE)) {
        place_lost(r, p);
        return;
    }
    if (out->error_code) {
        JUDGE(passing(r->link.c, out->error_code), "%s-%d: fetch is answered with error %d", r->topic, p,
              out->error_code);
        return;
    }
    JUDGE(out->high_watermark >= r->hw[p] && out->log_start_offset >= r->start[p],
          "%s-%d: high watermark %lld after %lld, start %lld after %lld", r->topic, p,
          (long long)out->high_watermark, (long long)r->hw[p], (long long)out->log_start_offset,
          (long long)r->start[p]);
    r->hw[p] = out->high_watermark;
    r->start[p] = out->log_start_offset;
    records_read(r, p, out->records, out->high_watermark);
    if (r->from_start[p] && r->position[p] >= b->promised_end)
        r->done[p] = true;
}

/* At times it goes back, and reads what it knows. */
static void reader_wander(struct reader *r)
{
    struct sim *s = r->link.c->s;
    int p = (int)sim_below(s, (uint64_t)r->n);

    if (!r->link.c->to_goal && sim_below(s, 8) == 0 && r->position[p] > 0) {
        r->position[p] = (int64_t)sim_below(s, (uint64_t)r->position[p]);
        if (r->books[p]->trimmed)
            r->lost_place[p] = sim_below(s, 2);
    }
}

static void fetch_done(struct wire_ask *a)
{
    struct reader *r = a->arg;
    const struct FetchResponse *out = a->out;

    if (a->err)
        return;
    r->link.c->tally.fetched++;
    if (out->error_code) {
        JUDGE(out->error_code == err_wire(E_FETCH_SESSION_ID_NOT_FOUND), "fetch is answered with error %d",
              out->error_code);
        r->session = r->session_epoch = 0;
    } else if (out->session_id) {
        r->link.c->tally.sessions += !r->session;
        r->session = out->session_id;
        r->session_epoch++;
    }
    for (int32_t t = 0; t < out->responses.n; t++)
        for (int32_t p = 0; p < out->responses.v[t].partitions.n; p++)
            part_judge(r, &out->responses.v[t].partitions.v[p]);
    r->link.c->tally.waited += loop_now(r->link.c->loop) - a->asked > 100000000;
    reader_wander(r);
    link_tick(&r->link, REST_NS);
}

void reader_start(struct reader *r)
{
    r->link.ticked = reader_ticked;
    r->link.fresh = reader_fresh;
    wire_ask_init(&r->ask, r->link.c->io);
    r->ask.arg = r;
    link_dial(&r->link);
}
