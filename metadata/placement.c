#include "base/check.h"
#include "metadata/change.h"
#include <stdlib.h>

/* Rack-aware placement in stripes. Racks stand in a ring, each with its brokers that are up and those that aren't. Partition
 * after partition begins one rack further, takes its leader from the first rack there that has a broker that is
 * up, and its other replicas from the racks behind it, one each, going round again when the racks are used up.
 * Within a rack the broker is taken that leads least, for the others the one that holds least, of what this
 * placer has given out. Thus a partition lies in as many racks as there are and never twice on a broker, and of
 * racks of one size each broker leads and holds as many partitions as the next, or one more. When as many
 * partitions as brokers have been placed, the order is shuffled, so that the same neighbours aren't put together
 * for ever. */

struct place {
    int32_t broker;
    int leads;
    int holds;
    int last; /* the partition that was last put there */
};

struct ring {
    struct place *places;
    int n;
};

struct rack {
    struct slice name;
    struct ring up;
    struct ring down;
};

struct placer {
    struct ctl_out *out;
    struct rack *racks;
    int n_racks;
    int n_up;
    int n_all;
    int replicas;
    int placed; /* partitions */
    int offset; /* the rack that the next one begins with */
};

/* < 0: a comes before b. A replica that leads goes to who leads least, another one to who holds least; among those who hold as
 * much, whoever leads less is kept for leading. */
static int place_order(const struct place *a, const struct place *b, bool leads)
{
    if (leads)
        return a->leads != b->leads ? a->leads - b->leads : a->holds - b->holds;
    return a->holds != b->holds ? a->holds - b->holds : b->leads - a->leads;
}

/* The first of them that isn't in this partition yet; -1: none. */
static int32_t ring_take(struct ring *r, int partition, bool leads)
{
    struct place *best = NULL;

    for (int i = 0; i < r->n; i++) {
        struct place *p = &r->places[i];

        if (p->last != partition && (!best || place_order(p, best, leads) < 0))
            best = p;
    }
    if (!best)
        return -1;
    best->leads += leads;
    best->holds++;
    best->last = partition;
    return best->broker;
}

static void shuffle(struct ctl_out *o, void *v, int n, size_t size)
{
    uint8_t *p = v, tmp[sizeof(struct rack)];

    for (int i = n - 1; i > 0; i--) {
        int j = (int)(ctl_random(o) % (uint64_t)(i + 1));

        memcpy(tmp, p + (size_t)i * size, size);
        memcpy(p + (size_t)i * size, p + (size_t)j * size, size);
        memcpy(p + (size_t)j * size, tmp, size);
    }
}

static void placer_shuffle(struct placer *p)
{
    for (int i = 0; i < p->n_racks; i++) {
        struct rack *r = &p->racks[i];

        shuffle(p->out, r->up.places, r->up.n, sizeof(*r->up.places));
        shuffle(p->out, r->down.places, r->down.n, sizeof(*r->down.places));
    }
    shuffle(p->out, p->racks, p->n_racks, sizeof(struct rack));
    p->offset = 0;
}

static struct rack *rack_of(struct placer *p, struct slice name, uint32_t room)
{
    struct rack *r;

    for (int i = 0; i < p->n_racks; i++)
        if (slice_eq(p->racks[i].name, name) && !p->racks[i].name.p == !name.p)
            return &p->racks[i];
    r = &p->racks[p->n_racks++];
    r->name = name;
    r->up.places = arena_alloc(p->out->work, room * sizeof(*r->up.places));
    r->down.places = arena_alloc(p->out->work, room * sizeof(*r->down.places));
    return r;
}

/* No new replica goes to directories that are cordoned. */
static bool all_cordoned(const struct image_broker *b)
{
    int n = 0;

    for (int i = 0; i < b->reg.dirs.n; i++)
        for (int j = 0; j < b->reg.cordoned.n; j++)
            n += uuid_eq(b->reg.dirs.v[i], b->reg.cordoned.v[j]);
    return n > 0 && n >= b->reg.dirs.n;
}

struct api_error placer_new(const struct image *tip, struct ctl_out *o, int replicas, struct placer **out)
{
    struct placer *p = *out = arena_alloc(o->work, sizeof(*p));
    struct image_brokers w = image_brokers_all(tip);
    const struct image_broker *b;

    p->out = o;
    p->replicas = replicas;
    p->racks = arena_alloc(o->work, (tip->brokers.count + 1) * sizeof(*p->racks));
    while ((b = image_brokers_next(&w))) {
        struct rack *r;
        struct ring *ring;

        if (b->reg.in_controlled_shutdown || all_cordoned(b))
            continue;
        r = rack_of(p, b->reg.rack, tip->brokers.count);
        ring = b->reg.fenced ? &r->down : &r->up;
        ring->places[ring->n++] = (struct place){.broker = b->reg.id, .last = -1};
        p->n_up += !b->reg.fenced;
        p->n_all++;
    }
    if (replicas <= 0)
        return api_error(o, E_INVALID_REPLICATION_FACTOR,
                         "Invalid replication factor %d: the replication factor must be positive.", replicas);
    if (p->n_up == 0)
        return api_error(o, E_INVALID_REPLICATION_FACTOR,
                         "All brokers are currently fenced, or have all their log directories cordoned.");
    if (p->n_all < replicas)
        return api_error(
            o, E_INVALID_REPLICATION_FACTOR,
            "The target replication factor of %d cannot be reached because only %d broker(s) are "
            "registered or some brokers have all their log directories cordoned.",
            replicas, p->n_all);
    placer_shuffle(p);
    return API_OK;
}

void placer_next(struct placer *p, int32_t *replicas)
{
    int first, at;

    if (p->placed > 0 && p->placed % p->n_up == 0 && p->n_up > 1)
        placer_shuffle(p);
    at = first = p->offset = p->offset % p->n_racks;
    while ((replicas[0] = ring_take(&p->racks[first].up, p->placed, true)) < 0)
        first = (first + 1) % p->n_racks;
    for (int i = 1; i < p->replicas; i++) {
        int broker = -1;

        for (; broker < 0; at = (at + 1) % p->n_racks) {
            struct rack *r = &p->racks[at];

            if (at == first) { /* the leader's rack has given one in this round */
                first = -1;
                continue;
            }
            broker = ring_take(&r->up, p->placed, false);
            if (broker < 0)
                broker = ring_take(&r->down, p->placed, false);
        }
        replicas[i] = broker;
    }
    p->placed++;
    p->offset++;
}

static void ring_keep(struct ring *r, struct arena *a)
{
    struct place *to = arena_alloc(a, ((size_t)r->n + 1) * sizeof(*to));

    if (r->n)
        memcpy(to, r->places, (size_t)r->n * sizeof(*to));
    r->places = to;
}

struct placer *placer_keep(const struct placer *p, struct arena *a)
{
    struct placer *k = arena_alloc(a, sizeof(*k));

    *k = *p;
    k->racks = arena_alloc(a, (size_t)p->n_racks * sizeof(*k->racks));
    memcpy(k->racks, p->racks, (size_t)p->n_racks * sizeof(*k->racks));
    for (int i = 0; i < k->n_racks; i++) {
        k->racks[i].name = SLICE_NULL; /* lent by the first step's tip; nobody asks any more */
        ring_keep(&k->racks[i].up, a);
        ring_keep(&k->racks[i].down, a);
    }
    return k;
}

bool broker_active(const struct image *tip, int32_t id)
{
    const struct image_broker *b = image_broker(tip, id);

    return b && !b->reg.fenced && !b->reg.in_controlled_shutdown;
}

bool partition_emit(const struct image *tip, struct ctl_out *o, struct uuid topic, int32_t index,
                    struct ids replicas, bool glued)
{
    int32_t *isr = arena_alloc(o->work, (size_t)replicas.n * sizeof(*isr));
    struct uuid *dirs = arena_alloc(o->work, (size_t)replicas.n * sizeof(*dirs));
    struct meta_record *r;
    int n = 0;

    for (int i = 0; i < replicas.n; i++) {
        if (broker_active(tip, replicas.v[i]))
            isr[n++] = replicas.v[i];
        dirs[i] = directory_for(tip, replicas.v[i]);
    }
    if (n == 0)
        return false;
    r = ctl_emit(o, RECORD_PARTITION, glued);
    r->partition = (struct record_partition){.topic = topic,
                                             .index = index,
                                             .leader = isr[0],
                                             .replicas = replicas,
                                             .isr = {isr, n},
                                             .dirs = {dirs, replicas.n}};
    return true;
}

static int order_int(const void *a, const void *b)
{
    int32_t x, y;

    memcpy(&x, a, sizeof(x));
    memcpy(&y, b, sizeof(y));
    return (x > y) - (x < y);
}

struct api_error check_manual(const struct image *tip, struct ctl_out *o, struct ids replicas, int factor)
{
    int32_t *v;

    if (replicas.n <= 0)
        return api_error(o, E_INVALID_REPLICA_ASSIGNMENT,
                         "The manual partition assignment includes an empty replica list.");
    v = arena_alloc(o->work, (size_t)replicas.n * sizeof(*v));
    memcpy(v, replicas.v, (size_t)replicas.n * sizeof(*v));
    qsort(v, (size_t)replicas.n, sizeof(*v), order_int);
    for (int i = 0; i < replicas.n; i++) {
        if (!image_broker(tip, v[i]))
            return api_error(
                o, E_INVALID_REPLICA_ASSIGNMENT,
                "The manual partition assignment includes broker %d, but no such broker is registered.",
                v[i]);
        if (i > 0 && v[i] == v[i - 1])
            return api_error(o, E_INVALID_REPLICA_ASSIGNMENT,
                             "The manual partition assignment includes the broker %d more than once.", v[i]);
    }
    if (factor >= 0 && replicas.n != factor)
        return api_error(
            o, E_INVALID_REPLICA_ASSIGNMENT,
            "The manual partition assignment includes a partition with %d replica(s), but this is not "
            "consistent with previous partitions, which have %d replica(s).",
            replicas.n, factor);
    return API_OK;
}
