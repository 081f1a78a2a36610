/* What a broker does with its quorum, made small: an image, proposals, questions whether it still leads. */
#include "base/check.h"
#include "metadata/batches.h"
#include "quorum_moves.h"
#include "scenario.h"
#include <stdio.h>

enum { MS_NS = 1000000, FLIGHT_MAX = 12, RECORDS_MAX = 4, BIG_MAX = 90000, SETTINGS = 40 };

/* ---- the image ---- */

static void image_apply(struct qnode *n, const struct meta_record *records, int count, int64_t last,
                        int32_t epoch)
{
    struct image *draft = image_draft(n->committed, &n->grave);

    for (int i = 0; i < count; i++)
        image_replay(draft, &n->grave, &records[i]);
    JUDGE(last > draft->offset, "node %d: offset %lld behind %lld", n->node, (long long)last,
          (long long)draft->offset);
    draft->offset = last;
    draft->epoch = epoch;
    image_seal(draft);
    image_unref(n->committed, &n->grave);
    n->committed = draft;
    grave_empty(&n->grave);
}

void qwork_apply(struct qnode *n, struct slice batch)
{
    struct batch_content c;
    struct arena a;
    size_t used;
    enum err err;

    qbook_committed(n->book, n->node, batch);
    arena_init(&a, io_heap(n->io), SIZE_MAX);
    err = batches_read(batch, &a, &c, &used);
    JUDGE(!err, "node %d: a committed batch doesn't read", n->node);
    if (!c.is_control)
        image_apply(n, c.records, c.n, c.last_offset, c.epoch);
    arena_drop(&a);
}

/* ---- proposals ---- */

struct proposal {
    struct quorum_entry entry;
    struct qnode *n;
    struct bytes bytes;
};

static void proposal_done(struct quorum_entry *e, enum err err)
{
    struct proposal *p = container_of(e, struct proposal, entry);
    struct qnode *n = p->n;

    n->in_flight--;
    if (err) {
        n->cluster->tally.lost++;
        JUDGE(!n->leads || n->failed, "node %d: %s while it leads", n->node, err_text(err));
    } else {
        n->cluster->tally.committed++;
        qwork_apply(n, bytes_slice(&p->bytes));
    }
    bytes_drop(&p->bytes);
    heap_free(io_heap(n->io), p);
}

static void topic_add(struct qnode *n, struct bytes *out)
{
    struct meta_record r = {.type = RECORD_TOPIC};
    char name[24];
    int64_t number = n->cluster->number++;

    (void)snprintf(name, sizeof(name), "topic-%08lld", (long long)number);
    r.topic.name = SLICE(name);
    memcpy(r.topic.id.b, &number, sizeof(number));
    r.topic.id.b[15] = 1;
    record_encode(&r, out);
}

/* One of a few settings: what the newest batch said of it stays. */
static void setting_add(struct qnode *n, struct bytes *out)
{
    struct meta_record r = {.type = RECORD_CONFIG};
    char name[24], value[24];

    (void)snprintf(name, sizeof(name), "setting-%d", (int)sim_below(n->sim, SETTINGS));
    (void)snprintf(value, sizeof(value), "%lld", (long long)n->cluster->number++);
    r.config.resource_type = CONFIG_BROKER;
    r.config.resource = SLICE("1");
    r.config.name = SLICE(name);
    r.config.value = SLICE(value);
    record_encode(&r, out);
}

/* One value that is large, and takes the place of the one before. */
static void value_add(struct qnode *n, struct bytes *out)
{
    size_t len = 1 + (size_t)sim_below(n->sim, BIG_MAX);
    uint8_t *text = heap_alloc(io_heap(n->io), len);
    struct meta_record r = {.type = RECORD_CONFIG};

    memset(text, 'a' + (int)sim_below(n->sim, 26), len);
    r.config.resource_type = CONFIG_BROKER;
    r.config.resource = SLICE("1");
    r.config.name = SLICE("big");
    r.config.value = slice_of(text, len);
    record_encode(&r, out);
    heap_free(io_heap(n->io), text);
}

static void propose(struct qnode *n)
{
    struct batch_place at = {.base_offset = n->next, .epoch = n->epoch, .now_ms = io_wall_ms(n->io)};
    struct proposal *p = heap_alloc(io_heap(n->io), sizeof(*p));
    int count = 1 + (int)sim_below(n->sim, RECORDS_MAX);
    size_t ends[RECORDS_MAX + 1];
    struct bytes values;
    struct arena a;

    p->n = n;
    bytes_init(&values, io_heap(n->io));
    bytes_init(&p->bytes, io_heap(n->io));
    arena_init(&a, io_heap(n->io), SIZE_MAX);
    for (int i = 0; i < count; i++) {
        if (sim_below(n->sim, 8))
            setting_add(n, &values);
        else
            topic_add(n, &values);
        ends[i] = values.len;
    }
    if (n->cluster->big || sim_below(n->sim, 60) == 0) {
        value_add(n, &values);
        ends[count++] = values.len;
    }
    batches_data(&at, bytes_slice(&values), ends, count, &a, &p->bytes);
    arena_drop(&a);
    bytes_drop(&values);
    p->entry = (struct quorum_entry){.bytes = bytes_slice(&p->bytes),
                                     .base_offset = n->next,
                                     .last_offset = n->next + count - 1,
                                     .done = proposal_done};
    n->next += count;
    n->in_flight++;
    n->cluster->tally.proposed++;
    quorum_submit(n->quorum, &p->entry);
}

/* ---- confirmations ---- */

struct confirmation {
    struct quorum_confirm confirm;
    struct qnode *n;
    int64_t end; /* of what anybody was told of when it was asked */
};

static void confirmed(struct quorum_confirm *c, enum err err)
{
    struct confirmation *x = container_of(c, struct confirmation, confirm);
    struct qnode *n = x->n;
    int64_t known = qbook_known(n->book, n->node);

    n->confirming--;
    if (err) {
        n->cluster->tally.confirms_refused++;
    } else {
        n->cluster->tally.confirms++;
        JUDGE(n->leads || n->stopping, "node %d is confirmed as a leader and was told that it isn't",
              n->node);
        JUDGE(known >= x->end, "node %d is confirmed, knows %lld, and was asked when %lld had committed",
              n->node, (long long)known, (long long)x->end);
    }
    heap_free(io_heap(n->io), x);
}

static void confirm(struct qnode *n)
{
    struct confirmation *x = heap_alloc(io_heap(n->io), sizeof(*x));

    x->n = n;
    x->end = qbook_end(n->book);
    x->confirm.done = confirmed;
    n->confirming++;
    quorum_confirm(n->quorum, &x->confirm);
}

static void propose_fired(struct timer *timer)
{
    struct qnode *n = container_of(timer, struct qnode, propose);
    int count = n->leads && !n->cluster->quiet && (!n->tight || sim_below(n->sim, 4) == 0)
                    ? (int)sim_below(n->sim, 5)
                    : 0;

    for (int i = 0; i < count && n->in_flight < FLIGHT_MAX; i++)
        propose(n);
    if (n->leads && sim_below(n->sim, 4) == 0)
        confirm(n);
    qmoves_tick(n);
    timer_set(n->control, &n->propose, loop_now(n->control) + (int64_t)(5 + sim_below(n->sim, 200)) * MS_NS);
}

void qwork_start(struct qnode *n)
{
    n->propose.fire = propose_fired;
    timer_set(n->control, &n->propose, loop_now(n->control) + MS_NS);
}
