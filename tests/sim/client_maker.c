/* The producing client: client_node.h. Batches leave in order; those whose end isn't known are sent again, in order, when
 * none is out any more. */
#include "base/check.h"
#include "client_node_internal.h"
#include "proto/batch.h"

enum { TRIES_MAX = 1000 };
static const int64_t TICK_NS = 100000000;

static void batch_done(struct wire_ask *a);

static struct batch *batch_new(struct maker *m)
{
    struct clients *c = m->link.c;
    struct batch *b = heap_alloc(io_heap(c->io), sizeof(*b));

    b->maker = m;
    b->n = 1 + (int)sim_below(c->s, RECORDS_MAX);
    b->number = book_number(m->book);
    for (int i = 1; i < b->n; i++)
        (void)book_number(m->book);
    b->sequence = m->sequence;
    m->sequence += b->n;
    wire_ask_init(&b->ask, c->io);
    b->ask.done = batch_done;
    b->ask.arg = b;
    if (m->last)
        m->last->next = b;
    else
        m->first = b;
    m->last = b;
    m->flight++;
    c->tally.produced++;
    return b;
}

static void batch_forget(struct batch *b)
{
    struct maker *m = b->maker;
    struct batch **at = &m->first, *before = NULL;

    while (*at != b) {
        before = *at;
        at = &(*at)->next;
    }
    *at = b->next;
    if (m->last == b)
        m->last = before;
    m->flight--;
    wire_ask_drop(&b->ask);
    heap_free(io_heap(m->link.c->io), b);
}

static struct slice batch_encode(struct batch *b, struct arena *a)
{
    struct maker *m = b->maker;
    struct batch_record v[RECORDS_MAX] = {0};
    struct batch_spec spec;
    struct bytes bytes;
    struct slice out;

    batch_spec_init(&spec);
    for (int i = 0; i < b->n; i++) {
        uint8_t *value = arena_alloc(a, BOOK_VALUE_MAX);
        v[i].timestamp = io_wall_ms(m->link.c->io);
        v[i].value = slice_of(value, book_value(m->book, b->number + (uint32_t)i, value, BOOK_VALUE_MAX));
    }
    spec.v = v;
    spec.n = b->n;
    spec.producer_id = m->id;
    spec.producer_epoch = m->idempotent ? m->epoch : -1;
    spec.base_sequence = m->idempotent ? b->sequence : -1;
    bytes_init(&bytes, io_heap(m->link.c->io));
    batch_build(NULL, &spec, &bytes);
    out = arena_copy(a, bytes_slice(&bytes));
    bytes_drop(&bytes);
    return out;
}

static void batch_send(struct batch *b)
{
    struct maker *m = b->maker;
    struct ProduceRequest *in = wire_in(&b->ask, API_Produce);
    struct arena *a = &b->ask.arena;

    in->acks = m->acks;
    in->timeout_ms = 5000;
    PROTO_ARRAY_NEW(a, ProduceRequest_TopicProduceData, in->topic_data, 1);
    in->topic_data.v[0].name = SLICE(m->book->topic);
    PROTO_ARRAY_NEW(a, ProduceRequest_PartitionProduceData, in->topic_data.v[0].partition_data, 1);
    in->topic_data.v[0].partition_data.v[0].index = m->book->partition;
    in->topic_data.v[0].partition_data.v[0].records = batch_encode(b, a);
    b->durable = m->book->durable;
    b->era = m->book->era;
    b->ask.silent = m->acks == 0;
    sim_note(m->link.c->s, "%s-%d: sends %u, %d records, id %lld sequence %d, try %d", m->book->topic,
             m->book->partition, b->number, b->n, (long long)m->id, b->sequence, b->tries);
    b->out = wire_ask(&m->link.wire, &b->ask, 9, in);
    if (b->tries == 0)
        b->opens = m->link.wire.opens;
    m->link.c->tally.retried += b->tries++ > 0;
    JUDGE(b->tries < TRIES_MAX || m->link.c->one_of_several, "a batch is refused for ever");
}

static void id_done(struct wire_ask *ask)
{
    struct maker *m = ask->arg;
    const struct InitProducerIdResponse *out = ask->out;

    m->asking_id = false;
    if (ask->err || out->error_code)
        return;
    m->id = out->producer_id;
    m->epoch = out->producer_epoch;
    m->id_era = m->book->era;
    m->overtaken = false;
    m->sequence = 0;
    for (struct batch *b = m->first; b; b = b->next) {
        b->sequence = m->sequence;
        m->sequence += b->n;
    }
    m->link.c->tally.new_ids++;
}

static void id_ask(struct maker *m)
{
    struct InitProducerIdRequest *in = wire_in(&m->ask_id, API_InitProducerId);

    in->transactional_id = SLICE_NULL;
    m->asking_id = wire_ask(&m->link.wire, &m->ask_id, 4, in);
}

static void maker_ticked(struct link *l)
{
    struct maker *m = container_of(l, struct maker, link);
    bool out = false, again = false;

    link_tick(l, TICK_NS);
    if (!topics_ready(l->c) || m->asking_id)
        return;
    for (struct batch *b = m->first; b; b = b->next) {
        out |= b->out;
        again |= !b->out;
    }
    while (m->gives_up && !out && m->first)
        batch_forget(m->first);
    m->gives_up &= m->first != NULL;
    if (m->idempotent && m->id < 0) {
        if (!out)
            id_ask(m);
        return;
    }
    if (again && out)
        return;
    for (struct batch *b = m->first; b && again; b = b->next)
        batch_send(b);
    for (uint64_t n = sim_below(l->c->s, l->c->to_goal && m->goal == 0 ? 1 : 3);
         n > 0 && m->flight < MAKER_FLIGHT; n--)
        batch_send(batch_new(m));
}

/* ---- what comes back ---- */

/* A server whose clock lies more than message.timestamp.after.max.ms behind refuses what comes from its future, and accepts
 * it as soon as it doesn't. Records that are stamped by the server have its time. */
static void clock_judge(struct batch *b, const struct ProduceResponse_PartitionProduceResponse *p)
{
    const struct clients *c = b->maker->link.c;
    bool changed = c->clock_changed >= b->ask.asked;
    int64_t now = sim_up(c->s, c->server) ? sim_wall_ms(c->s, c->server) : -1;
    int64_t asked = (sim_now(c->s) - b->ask.asked) / 1000000 + 1;

    if (p->error_code == err_wire(E_INVALID_TIMESTAMP))
        JUDGE(c->ahead_ms < -AFTER_MAX_MS / 2 || c->behind_until >= b->ask.asked,
              "the clock isn't behind: %lld ms", (long long)c->ahead_ms);
    if (p->error_code || changed || now < 0)
        return;
    if (!b->maker->book->stamped)
        JUDGE(c->ahead_ms > -2 * AFTER_MAX_MS, "stored, and the clock is %lld ms ahead",
              (long long)c->ahead_ms);
    else if (b->tries == 1)
        JUDGE(p->log_append_time_ms <= now && p->log_append_time_ms >= now - asked,
              "appended at %lld, it is %lld, asked %lld ms ago", (long long)p->log_append_time_ms,
              (long long)now, (long long)asked);
}

static void batch_stored(struct batch *b, int64_t base)
{
    struct maker *m = b->maker;

    if (m->goal > 0)
        m->goal--;
    m->overtaken |= b != m->first;
    m->link.c->tally.answered++;
    for (int i = 0; i < b->n && b->era == m->book->era; i++)
        book_met(m->book, base + i, b->number + (uint32_t)i, promise_of(m->book, b->durable));
    batch_forget(b);
}

/* The node doesn't know this producer's last batches: a crash of the power made it forget, or they are several and a new
 * process read Kafka's snapshot of producers, which has only the last one. Or it never knew the first: of a producer that it
 * hasn't met it takes any sequence, as Kafka does, so a first batch that failed with others behind it comes too late. */
static void maker_forgotten(struct batch *b, int16_t code)
{
    struct maker *m = b->maker;

    if (b != m->first || b->era != m->book->era)
        return; /* those before it failed, and all go again; or the answer is older than a crash */
    m->gives_up =
        (b->next && b->opens != m->link.wire.opens) || (b->sequence == 0 && (b->next || m->overtaken));
    JUDGE(m->gives_up || (m->book->era > m->id_era && !m->book->durable),
          "%s-%d: number %u, sequence %d: error %d", m->book->topic, m->book->partition, b->number,
          b->sequence, code);
    m->id = -1;
}

static void batch_refused(struct batch *b, int16_t code)
{
    struct maker *m = b->maker;

    m->link.c->tally.refused++;
    m->link.c->tally.too_early += code == err_wire(E_INVALID_TIMESTAMP);
    if (code == err_wire(E_OUT_OF_ORDER_SEQUENCE_NUMBER) || code == err_wire(E_UNKNOWN_PRODUCER_ID))
        maker_forgotten(b, code);
    else
        JUDGE(passing(m->link.c, code) || code == err_wire(E_UNKNOWN_TOPIC_OR_PARTITION) ||
                  code == err_wire(E_REQUEST_TIMED_OUT) ||
                  code == err_wire(E_INVALID_TIMESTAMP), /* clock_judge() */
              "%s-%d: produce is answered with error %d", m->book->topic, m->book->partition, code);
    b->out = false;
    if (!m->idempotent)
        batch_forget(b);
}

static void batch_done(struct wire_ask *a)
{
    struct batch *b = a->arg;
    struct maker *m = b->maker;
    const struct ProduceResponse *out = a->out;

    b->out = false;
    if (a->silent) {
        m->link.c->tally.silent++;
        if (m->goal > 0)
            m->goal -= a->err == E_OK;
        batch_forget(b);
    } else if (a->err) {
        if (!m->idempotent)
            batch_forget(b);
    } else {
        const struct ProduceResponse_PartitionProduceResponse *p;
        JUDGE(out->responses.n == 1 && out->responses.v[0].partition_responses.n == 1, "shape");
        p = &out->responses.v[0].partition_responses.v[0];
        JUDGE(p->index == m->book->partition, "partition");
        sim_note(m->link.c->s, "%s-%d: %u is at %lld, error %d", m->book->topic, m->book->partition,
                 b->number, (long long)p->base_offset, p->error_code);
        clock_judge(b, p);
        if (p->error_code)
            batch_refused(b, p->error_code);
        else
            batch_stored(b, p->base_offset);
    }
}

void maker_start(struct maker *m)
{
    m->link.ticked = maker_ticked;
    wire_ask_init(&m->ask_id, m->link.c->io);
    m->ask_id.done = id_done;
    m->ask_id.arg = m;
    link_dial(&m->link);
}
