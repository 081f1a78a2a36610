/* Fetch: each partition's DISK loop says which range of which file answers; the NET loop spends max.bytes over the ranges
 * in request order and sends them from the page cache. Nothing is copied.
 *
 * A fetch that finds less than min.bytes waits without polling: in the visit that found too little, its lanes watch
 * their partitions; the first that grows enough wakes the NET loop, which visits all again.
 *
 *   go(watch) ─► visit: read, watch if too little ─► done ─┬─ enough, or an error ──► leave
 *                     ▲                                     └─ wait ── woken ──► go(watch)
 *                     └───────── leave: go(no watch) if a lane still watches ◄── deadline, gone
 *
 * A wake that is on its way when a visit begins has the NET loop come again: that visit doesn't watch, for the wake can't
 * be posted twice. A wake is posted before the answer of any later visit of the same loop, so once a visit without watching has come
 * back, nothing is on its way and the request may end. */
#include "base/check.h"
#include "broker/api/fetch_session.h"
#include "broker/api/handlers.h"
#include "broker/replica/manager.h"
#include "proto_gen.h"

/* A range this near to its file's end, written since the partition was loaded, is taken to be in memory. */
enum { WARM_BYTES = 16 << 20 };

struct fetch_part {
    struct scatter_item item;
    struct fetch_wish *wish;
    struct fetch_wish own; /* of a request without a session */
    struct watch watch;
    struct slice topic; /* "" if unknown */
    struct uuid topic_id;
    int16_t error; /* told before any visit; the item's otherwise */
    int64_t hw;
    int64_t log_start;
    int32_t leader;
    int32_t leader_epoch;
    struct epoch_end diverging; /* epoch -1: none */
    struct log_range range;
    bool warm;  /* the range was written lately: it lies in memory */
    size_t len; /* what of the range goes out */
};

struct fetch_lane {
    struct watcher watcher;
    struct fetch *fetch;
    bool watching;              /* as of the last visit that came back */
    uint32_t heard, heard_then; /* wakes that came: so far, when the visit began */
    bool watches;               /* the DISK loop's own */
};

struct fetch {
    struct request *r;
    const struct FetchRequest *in;
    struct fetch_session *session;
    struct fetch_part *parts;
    int32_t n;
    struct scatter *scatter;
    struct timer deadline;
    int64_t max_bytes;
    bool may_watch; /* in the visit under way */
    bool woken;     /* during a visit */
    bool expired;   /* max.wait is over */
    bool leaving;
    bool out;          /* a visit is under way */
    _Atomic bool gone; /* the connection has closed: for the reader, who hears of it no other way */
    struct msg warm;   /* to the reader and back */
};

/* ---- on the DISK loop ---- */

static enum err part_diverges(struct partition *p, struct fetch_part *part)
{
    const struct fetch_wish *w = part->wish;
    struct epoch_end end;

    if (w->last_fetched_epoch < 0)
        return E_OK;
    end = partition_epoch_end(p, w->last_fetched_epoch);
    if (end.epoch < 0)
        return E_OFFSET_OUT_OF_RANGE;
    if (end.epoch < w->last_fetched_epoch || end.end < w->offset)
        part->diverging = end;
    return E_OK;
}

static bool isolation_known(const struct FetchRequest *in)
{
    return in->isolation_level == 0 || in->isolation_level == 1;
}

static enum err part_read(struct partitions *ps, const struct fetch *f, struct fetch_part *part)
{
    struct log_limits limits = {.max_bytes = (size_t)part->wish->max_bytes, .min_one = true};
    struct partition *p;
    enum err err = partition_find(ps, &part->item.topic_id, part->item.partition, &p);

    if (err)
        return err;
    if (part->wish->max_bytes < 0 || f->max_bytes < 0 || !isolation_known(f->in))
        return E_UNKNOWN_SERVER_ERROR; /* Kafka's code for them */
    part->hw = p->hw;
    part->log_start = log_start(p->log);
    part->leader_epoch = p->leader_epoch;
    err = partition_epoch_check(p, part->wish->leader_epoch);
    if (!err)
        err = part_diverges(p, part);
    if (err || part->diverging.epoch >= 0)
        return err;
    if (part->wish->offset > p->hw && part->wish->offset <= log_end(p->log))
        return E_OK; /* not committed yet: nothing there, as far as clients go */
    limits.up_to = p->hw;
    err = log_read(p->log, part->wish->offset, &limits, &part->range);
    part->warm = !err && part->range.file && part->range.base_offset >= p->warm_from &&
                 file_size(part->range.file) - part->range.at <= WARM_BYTES;
    return err;
}

static void lane_watch(struct partitions *ps, struct lane *lane, struct fetch_lane *fl, int64_t need)
{
    fl->watcher.need = need;
    for (struct scatter_item *it = lane->first; it; it = it->next) {
        struct fetch_part *part = container_of(it, struct fetch_part, item);
        struct partition *p = partition_loaded(ps, &it->topic_id, it->partition);
        if (p && !it->err)
            watcher_add(&fl->watcher, &part->watch, p);
    }
    fl->watches = true;
}

static void fetch_visit(struct lane *lane)
{
    struct partitions *ps = lane->disk->partitions;
    struct fetch *f = lane->scatter->state;
    struct fetch_lane *fl = lane->state;
    int64_t found = 0;
    bool error = false, wake_comes = fl->watcher.told != fl->heard_then;

    if (fl->watches)
        watcher_clear(&fl->watcher);
    fl->watches = false;
    for (struct scatter_item *it = lane->first; it && !f->leaving; it = it->next) {
        struct fetch_part *part = container_of(it, struct fetch_part, item);
        it->err = part_read(ps, f, part);
        found += (int64_t)part->range.len;
        error |= it->err != E_OK || part->diverging.epoch >= 0;
    }
    if (f->may_watch && !wake_comes && lane->first && !error && found < f->in->min_bytes)
        lane_watch(ps, lane, fl, f->in->min_bytes - found);
    lane_answer(lane);
}

/* ---- on the NET loop ---- */

static void fetch_woken(struct msg *msg);

static void ranges_drop(struct fetch *f)
{
    for (int32_t i = 0; i < f->n; i++)
        if (f->parts[i].range.file)
            log_range_drop(&f->parts[i].range);
}

static struct fetch_lane *lane_of(const struct fetch *f, int i)
{
    return f->scatter->lanes[i].state;
}

/* Each lane of the scatter that hasn't one gets a watcher, which stays where it is while lanes come. */
static void lanes_equip(struct fetch *f)
{
    for (int i = 0; i < f->scatter->n_lanes; i++) {
        struct fetch_lane *fl;
        if (f->scatter->lanes[i].state)
            continue;
        fl = arena_alloc(&f->r->arena, sizeof(*fl));
        fl->fetch = f;
        watcher_init(&fl->watcher, f->r->net->loop, fetch_woken);
        f->scatter->lanes[i].state = fl;
    }
}

/* Partitions moved to other loops while this fetch waited: it looks for them there, and takes back its watchers where they
 * were. */
static void fetch_rehome(struct fetch *f)
{
    if (!scatter_renew(f->scatter))
        return;
    lanes_equip(f);
    for (int i = 0; i < f->scatter->n_lanes; i++)
        f->scatter->lanes[i].owing = lane_of(f, i)->watching;
    for (int32_t i = 0; i < f->n; i++)
        if (f->parts[i].error == 0)
            scatter_add(f->scatter, &f->parts[i].item);
}

static void fetch_go(struct fetch *f, bool watch)
{
    ASSERT(!f->out);
    fetch_rehome(f);
    for (int32_t i = 0; i < f->n; i++)
        f->parts[i].diverging.epoch = -1;
    if (!f->leaving)
        ranges_drop(f);
    for (int i = 0; i < f->scatter->n_lanes; i++)
        lane_of(f, i)->heard_then = lane_of(f, i)->heard;
    f->may_watch = watch;
    f->woken = false;
    f->out = true;
    scatter_go(f->scatter);
}

static int16_t part_error(const struct fetch_part *p)
{
    return p->error ? p->error : err_wire(p->item.err);
}

/* How much of a partition's range goes out, where `left` bytes may. The first records of an answer go whole, so that no
 * client is stuck before a batch larger than its limits; later ones only if at least a batch fits. */
static size_t part_spend(const struct fetch_part *p, int64_t left, bool first)
{
    size_t whole = p->range.first_len;

    if (p->range.len == 0)
        return 0;
    if (!first && (left < (int64_t)whole || p->wish->max_bytes < (int64_t)whole))
        return 0;
    if ((int64_t)p->range.len <= left)
        return p->range.len;
    return left > (int64_t)whole ? (size_t)left : whole;
}

static void part_fill(struct fetch *f, struct fetch_part *p, struct FetchResponse_PartitionData *out)
{
    struct request *r = f->r;

    out->partition_index = p->item.partition;
    out->error_code = part_error(p);
    /* None where it didn't come to reading, as in Kafka. */
    out->aborted_transactions.n = p->error || !isolation_known(f->in) ? 0 : -1;
    out->high_watermark = -1;
    out->records = SLICE(""); /* empty, not null: clients of before 2.0 know no null */
    if (out->error_code == 0 || out->error_code == err_wire(E_OFFSET_OUT_OF_RANGE)) {
        out->high_watermark = out->last_stable_offset = p->hw;
        out->log_start_offset = p->log_start;
    }
    if (out->error_code == err_wire(E_OFFSET_OUT_OF_RANGE))
        out->high_watermark = out->last_stable_offset = out->log_start_offset = -1;
    if (r->version >= 12 && (out->error_code == err_wire(E_NOT_LEADER_OR_FOLLOWER) ||
                             out->error_code == err_wire(E_FENCED_LEADER_EPOCH))) {
        out->current_leader.leader_id = p->leader;
        out->current_leader.leader_epoch = p->leader_epoch;
    }
    if (p->diverging.epoch >= 0) {
        out->diverging_epoch.epoch = p->diverging.epoch;
        out->diverging_epoch.end_offset = p->diverging.end;
    }
    if (f->in->isolation_level == 1 && out->error_code == 0)
        out->aborted_transactions.n = 0;
    if (p->len > 0) {
        struct part range = {.file = p->range.file, .at = p->range.at, .len = p->len};
        out->records = request_range(r, &range);
        p->range.file = NULL; /* the request has the reference now */
    }
}

static bool same_topic(const struct FetchResponse_FetchableTopicResponse *t, const struct fetch_part *p)
{
    return slice_eq(t->topic, p->wish->topic) && uuid_eq(t->topic_id, p->wish->topic_id);
}

/* Partitions of one topic that follow each other are one topic of the answer. */
static void answer_build(struct fetch *f)
{
    struct FetchResponse *out = f->r->out;
    struct FetchResponse_FetchableTopicResponse *topic = NULL;
    struct FetchResponse_PartitionData *slots =
        proto_new(&FetchResponse_PartitionData_type, &f->r->arena, f->n);

    out->responses.v = proto_new(&FetchResponse_FetchableTopicResponse_type, &f->r->arena, f->n);
    out->responses.n = 0;
    out->session_id = f->session ? f->session->id : 0;
    for (int32_t i = 0; i < f->n; i++) {
        struct fetch_part *p = &f->parts[i];
        if (part_error(p))
            p->len = 0;
        if (!fetch_wish_tell(f->session, p->wish, part_error(p), p->hw, p->log_start, p->len > 0,
                             p->diverging.epoch >= 0))
            continue;
        if (!topic || !same_topic(topic, p)) {
            topic = &out->responses.v[out->responses.n++];
            topic->topic = p->wish->topic;
            topic->topic_id = p->wish->topic_id;
            topic->partitions.v = slots;
            topic->partitions.n = 0;
        }
        part_fill(f, p, slots++);
        topic->partitions.n++;
    }
}

static void fetch_end(struct fetch *f)
{
    struct request *r = f->r;

    timer_stop(&f->deadline);
    if (r->conn)
        answer_build(f);
    ranges_drop(f);
    if (f->session)
        fetch_session_close(r->net->sessions, f->session);
    if (r->conn)
        request_reply(r);
    else
        request_skip(r);
}

/* ---- ranges that may lie on disk alone are read ahead by the reader, never by a NET loop ---- */

static void fetch_warmed(struct msg *msg)
{
    fetch_end(container_of(msg, struct fetch, warm));
}

static void fetch_warm(struct msg *msg)
{
    struct fetch *f = container_of(msg, struct fetch, warm);

    for (int32_t i = 0; i < f->n; i++) {
        struct fetch_part *p = &f->parts[i];
        if (p->len > 0 && !p->warm && !atomic_load(&f->gone) &&
            file_warm(p->range.file, p->range.at, p->len) != E_OK)
            p->item.err = E_KAFKA_STORAGE_ERROR;
    }
    f->warm.run = fetch_warmed;
    loop_post(f->r->net->loop, &f->warm);
}

/* Spends max.bytes in request order. true: what is to be sent lies in memory, all of it. */
static bool fetch_spend(struct fetch *f)
{
    int64_t left = f->max_bytes;
    bool first = true, warm = true;

    for (int32_t i = 0; i < f->n; i++) {
        struct fetch_part *p = &f->parts[i];
        p->len = part_error(p) ? 0 : part_spend(p, left, first);
        left -= (int64_t)p->len;
        first &= p->len == 0;
        warm &= p->len == 0 || p->warm;
    }
    return warm;
}

static void fetch_answer(struct fetch *f)
{
    if (fetch_spend(f) || !f->r->conn) {
        fetch_end(f);
        return;
    }
    f->warm.run = fetch_warm;
    loop_post(f->r->net->node->reader, &f->warm);
}

/* Ends the request, after one more visit if a lane still watches. */
static void fetch_leave(struct fetch *f)
{
    f->leaving = true;
    for (int i = 0; i < f->scatter->n_lanes; i++)
        if (lane_of(f, i)->watching) {
            fetch_go(f, false);
            return;
        }
    fetch_answer(f);
}

static bool fetch_enough(const struct fetch *f)
{
    int64_t bytes = 0;

    for (int32_t i = 0; i < f->n; i++) {
        if (part_error(&f->parts[i]) || f->parts[i].diverging.epoch >= 0)
            return true;
        bytes += (int64_t)f->parts[i].range.len;
    }
    return bytes >= f->in->min_bytes || f->n == 0;
}

static void fetch_done(struct scatter *sc)
{
    struct fetch *f = sc->state;

    f->out = false;
    for (int i = 0; i < sc->n_lanes; i++)
        lane_of(f, i)->watching = lane_of(f, i)->watches;
    if (f->leaving) {
        fetch_answer(f);
        return;
    }
    if (!f->r->conn || fetch_enough(f) || !f->may_watch || f->expired)
        fetch_leave(f);
    else if (f->woken)
        fetch_go(f, true);
}

static void fetch_woken(struct msg *msg)
{
    struct fetch_lane *fl = container_of(msg, struct fetch_lane, watcher.wake);
    struct fetch *f = fl->fetch;

    fl->heard++;
    if (f->leaving)
        return;
    if (f->out)
        f->woken = true;
    else
        fetch_go(f, true);
}

/* The time is up: a last look, which doesn't watch. */
static void fetch_deadline(struct timer *t)
{
    struct fetch *f = container_of(t, struct fetch, deadline);

    if (f->leaving)
        return;
    f->expired = true;
    if (!f->out)
        fetch_go(f, false);
}

static void fetch_gone(struct request *r)
{
    struct fetch *f = r->state;

    atomic_store(&f->gone, true);
    if (!f->out && !f->leaving)
        fetch_leave(f);
}

static enum err part_resolve(struct request *r, struct fetch_part *p)
{
    const struct image *image = r->net->image;
    const struct image_topic *topic = r->version >= 13 ? image_topic_by_id(image, p->wish->topic_id)
                                                       : image_topic_by_name(image, p->wish->topic);
    const struct image_partition *ip;

    if (!topic)
        return r->version >= 13 ? E_UNKNOWN_TOPIC_ID : E_UNKNOWN_TOPIC_OR_PARTITION;
    if (!authorize(r, OP_READ, RES_TOPIC, topic->name))
        return E_TOPIC_AUTHORIZATION_FAILED;
    ip = image_partition(topic, p->item.partition);
    if (!ip)
        return E_UNKNOWN_TOPIC_OR_PARTITION;
    scatter_aim(&p->item, topic);
    p->leader = ip->leader;
    p->leader_epoch = ip->leader_epoch;
    return partition_led(ip, r->net->node->id);
}

static void part_add(struct fetch *f, struct fetch_wish *wish)
{
    struct fetch_part *p = &f->parts[f->n++];
    enum err err;

    p->wish = wish;
    p->item.partition = wish->partition;
    p->diverging.epoch = -1;
    p->hw = p->log_start = -1;
    err = part_resolve(f->r, p);
    p->error = err_wire(err);
    if (!err)
        scatter_add(f->scatter, &p->item);
}

static void parts_of_session(struct fetch *f)
{
    f->parts = arena_alloc(&f->r->arena, f->session->wishes.count * sizeof(*f->parts));
    list_each (it, &f->session->order)
        part_add(f, container_of(it, struct fetch_wish, link));
}

static void parts_of_request(struct fetch *f)
{
    size_t n = 0;

    for (int32_t i = 0; i < f->in->topics.n; i++)
        n += (size_t)f->in->topics.v[i].partitions.n;
    f->parts = arena_alloc(&f->r->arena, n * sizeof(*f->parts));
    for (int32_t i = 0; i < f->in->topics.n; i++) {
        const struct FetchRequest_FetchTopic *t = &f->in->topics.v[i];
        for (int32_t j = 0; j < t->partitions.n; j++) {
            fetch_wish_of(t, &t->partitions.v[j], &f->parts[f->n].own);
            part_add(f, &f->parts[f->n].own);
        }
    }
}

static struct fetch *fetch_new(struct request *r)
{
    struct fetch *f = arena_alloc(&r->arena, sizeof(*f));
    int64_t limit = config_int(r->net->config, C_fetch_max_bytes);

    f->r = r;
    f->in = r->in;
    f->max_bytes = f->in->max_bytes < limit ? f->in->max_bytes : limit;
    f->scatter = scatter_new(r, fetch_visit, fetch_done);
    f->scatter->state = f;
    lanes_equip(f);
    list_init(&f->deadline.link);
    f->deadline.fire = fetch_deadline;
    r->state = f;
    r->gone = fetch_gone;
    return f;
}

void fetch(struct request *r)
{
    struct FetchResponse *out = r->out;
    struct fetch *f;
    struct node *node = r->net->node;
    int32_t new_id;
    bool wait;
    enum err err;

    if (r->listener && r->listener->controller) {
        fetch_metadata(r);
        return;
    }
    f = fetch_new(r);
    io_random(node->io, &new_id, sizeof(new_id));
    new_id = (new_id & INT32_MAX) | 1;
    err = fetch_session_open(r->net->sessions, f->in, r->version, new_id, loop_now(r->net->loop) / 1000000,
                             &f->session);
    if (!err && r->version >= 7 && !isolation_known(f->in)) {
        if (f->session)
            fetch_session_close(r->net->sessions, f->session);
        err = E_UNKNOWN_SERVER_ERROR;
    }
    if (err) {
        r->gone = NULL;
        out->error_code = err_wire(err);
        request_reply(r);
        return;
    }
    if (f->session)
        parts_of_session(f);
    else
        parts_of_request(f);
    wait = f->in->max_wait_ms > 0 && f->in->min_bytes > 0;
    for (int32_t i = 0; i < f->n; i++)
        wait &= f->parts[i].error == 0;
    if (wait)
        timer_set(r->net->loop, &f->deadline, loop_now(r->net->loop) + (int64_t)f->in->max_wait_ms * 1000000);
    fetch_go(f, wait);
}
