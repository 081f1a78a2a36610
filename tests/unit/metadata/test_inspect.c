/* What tools lean on that read metadata of others: Kafka's records, refusals, faults, states. */
#include "metadata/image_check.h"
#include "metadata/kafka_records.h"
#include "metadata/states.h"
#include "proto/varint.h"
#include "proto_gen.h"
#include "tests/unit/metadata/meta_world.h"
#include "tests/wire/random.h"

struct world {
    struct heap *heap;
    struct grave g;
    struct arena a;
    struct image *draft;
    struct test_random r;
};

static void world_start(struct world *w, uint64_t seed)
{
    *w = (struct world){.heap = heap_new(false)};
    grave_init(&w->g, w->heap);
    arena_init(&w->a, w->heap, SIZE_MAX);
    test_random_init(&w->r, seed);
    w->draft = image_new(&w->g);
}

static void world_end(struct world *w)
{
    image_unref(w->draft, &w->g);
    grave_empty(&w->g);
    arena_drop(&w->a);
    CHECK_EQ(heap_used(w->heap), 0);
    heap_drop(w->heap);
}

static const char *apply(struct world *w, const struct meta_record *r)
{
    const char *why = image_refuses(w->draft, r, &w->a);

    if (!why)
        image_replay(w->draft, &w->g, r);
    return why;
}

static struct meta_record broker(int32_t id, int64_t epoch, bool fenced)
{
    return (struct meta_record){.type = RECORD_REGISTER_BROKER,
                                .register_broker = {.id = id, .epoch = epoch, .fenced = fenced}};
}

static struct meta_record topic(const char *name, uint8_t id)
{
    return (struct meta_record){.type = RECORD_TOPIC, .topic = {.name = SLICE(name), .id = {{id}}}};
}

static const int32_t BROKERS[] = {1, 2, 3};
static const struct uuid DIRS[] = {{{9}}, {{9}}, {{[15] = 2}}}; /* the third: lost */

static struct meta_record partition(uint8_t id, int32_t index, int32_t leader, int isr)
{
    return (struct meta_record){.type = RECORD_PARTITION,
                                .partition = {.topic = {{id}},
                                              .index = index,
                                              .leader = leader,
                                              .replicas = {BROKERS, 3},
                                              .isr = {BROKERS, isr},
                                              .dirs = {DIRS, 3}}};
}

/* ---- Kafka's records ---- */

static struct slice kafka_value(struct world *w, const struct proto_type *t, int16_t key, int version,
                                const void *msg)
{
    uint8_t head[3] = {RECORD_FRAME, (uint8_t)key, (uint8_t)version};
    struct bytes out;
    struct slice s;

    bytes_init(&out, w->heap);
    bytes_add(&out, head, sizeof(head));
    CHECK_OK(proto_encode(t, version, msg, &out, NULL));
    s = arena_copy(&w->a, bytes_slice(&out));
    bytes_drop(&out);
    return s;
}

/* Each of Kafka's records, in each version, is known as Kafka's and comes back as it was written; ours never are. */
TEST(kafka_records, each_is_read_and_told_from_ours)
{
    struct world w;

    world_start(&w, 1);
    for (int i = 0; i < proto_metadata_n; i++) {
        const struct proto_type *t = proto_metadata[i].type;

        for (int v = t->versions.first; v <= t->versions.last; v++) {
            void *msg = proto_new(t, &w.a, 1);
            struct kafka_record k;
            struct slice s;

            wire_random(t, v, &w.r, &w.a, msg);
            s = kafka_value(&w, t, proto_metadata[i].key, v, msg);
            CHECK(kafka_record_is(s));
            CHECK_OK(kafka_record_decode(s, &w.a, &k));
            CHECK(k.type == t && k.version == v && proto_equal(t, k.msg, msg));
        }
    }
    for (int i = 0; i < 2000; i++) {
        struct meta_record r;
        struct bytes b;

        bytes_init(&b, w.heap);
        random_record(&w.r, w.draft, &w.a, &r);
        record_encode(&r, &b);
        CHECK(!kafka_record_is(bytes_slice(&b)));
        image_replay(w.draft, &w.g, &r);
        bytes_drop(&b);
    }
    world_end(&w);
}

static uint8_t few(struct world *w)
{
    return (uint8_t)test_random_below(&w->r, 4);
}

/* Names and numbers that meet: of random ones, none would. */
static void make_meet(struct world *w, struct meta_record *r)
{
    switch (r->type) {
    case RECORD_REGISTER_BROKER:
        r->register_broker.id = few(w);
        r->register_broker.epoch = few(w);
        break;
    case RECORD_UNREGISTER_BROKER:
        r->unregister_broker.id = few(w);
        break;
    case RECORD_BROKER_CHANGE:
        r->broker_change.id = few(w);
        r->broker_change.epoch = few(w);
        break;
    case RECORD_TOPIC:
        *r = topic(few(w) ? "a.b" : "a_b", few(w));
        break;
    case RECORD_REMOVE_TOPIC:
        r->remove_topic.id = (struct uuid){{few(w)}};
        break;
    case RECORD_PARTITION:
        r->partition.topic = (struct uuid){{few(w)}};
        r->partition.index = few(w);
        r->partition.dirs.n = few(w) ? r->partition.replicas.n : r->partition.dirs.n;
        if (r->partition.dirs.n && !r->partition.dirs.v)
            r->partition.dirs.v = arena_alloc(&w->a, (size_t)r->partition.dirs.n * sizeof(struct uuid));
        break;
    case RECORD_PARTITION_CHANGE:
        r->partition_change.topic = (struct uuid){{few(w)}};
        r->partition_change.index = few(w);
        break;
    default:
        break;
    }
}

static void count_fault(void *arg, const char *sentence, bool note)
{
    CHECK(strlen(sentence) > 0);
    *(int *)arg += !note;
}

/* Whatever records say, in whatever order, an image takes them or a sentence says why not; nothing asserts. */
TEST(kafka_records, no_record_asserts)
{
    struct world w;
    int taken = 0, refused = 0, faults = 0;

    world_start(&w, 7);
    for (int i = 0; i < 20000; i++) {
        const struct proto_metadata *kind =
            &proto_metadata[test_random_below(&w.r, (uint64_t)proto_metadata_n)];
        int v = (int)test_random_below(&w.r, (uint64_t)kind->type->versions.last + 1);
        void *msg = proto_new(kind->type, &w.a, 1);
        struct meta_record r;
        struct kafka_record k;
        struct slice s;

        wire_random(kind->type, v, &w.r, &w.a, msg);
        s = kafka_value(&w, kind->type, kind->key, v, msg);
        if (few(&w) == 0)
            s.p[test_random_below(&w.r, s.len)] ^= (uint8_t)(1u << test_random_below(&w.r, 8));
        if (!kafka_record_decode(s, &w.a, &k) && kafka_record_ours(&k, &w.a, &r) == KAFKA_CHANGES) {
            make_meet(&w, &r);
            if (apply(&w, &r))
                refused++;
            else
                taken++;
        }
        if (i % 100 == 0)
            image_faults(w.draft, w.heap, count_fault, &faults);
        arena_reset(&w.a);
    }
    CHECK(taken > 1000 && refused > 1000 && faults > 0);
    world_end(&w);
}

/* ---- refusals ---- */

/* A record that contradicts what is there is refused with a sentence that names both, and changes nothing. */
TEST(image_check, contradictions_are_refused_in_words)
{
    struct world w;
    struct meta_record r[] = {broker(1, 5, false), topic("a", 1), partition(1, 0, 1, 2)};
    struct meta_record ids = {.type = RECORD_PRODUCER_IDS, .producer_ids = {.next = 1000}};

    world_start(&w, 1);
    for (int i = 0; i < 3; i++)
        CHECK(!apply(&w, &r[i]));
    CHECK(!apply(&w, &ids));
    CHECK_STR(apply(&w, &r[1]), "topic id AQAAAAAAAAAAAAAAAAAAAA is given to a, but it is in use");
    r[1].topic.id.b[0] = 2;
    CHECK_STR(apply(&w, &r[1]), "topic a is created, but it exists");
    r[2].partition.index = 2;
    CHECK_STR(apply(&w, &r[2]), "partition 2 of a comes where 1 is the next");
    r[2].partition.index = 1;
    r[2].partition.dirs.n = 1;
    CHECK_STR(apply(&w, &r[2]), "a-1 has 3 replicas and 1 directories");
    r[2].partition.topic.b[0] = 7;
    CHECK_STR(apply(&w, &r[2]),
              "partition 1 belongs to topic id BwAAAAAAAAAAAAAAAAAAAA, which doesn't exist");
    ids.producer_ids.next = 999;
    CHECK_STR(apply(&w, &ids), "the next producer id goes back from 1000 to 999");
    r[0].register_broker.epoch = 4;
    CHECK(!image_refuses(w.draft, &r[0], &w.a));
    CHECK_STR(image_backwards(w.draft, &r[0], &w.a), "the epoch of broker 1 goes back from 5 to 4");
    CHECK_EQ(w.draft->n_partitions, 1);
    world_end(&w);
}

static void one_fault(void *arg, const char *sentence, bool note)
{
    (void)snprintf(arg, 160, "%s%s", note ? "note: " : "", sentence);
}

static const struct {
    int32_t leader;
    int isr;
    bool fenced, leaves; /* broker 1 */
    const char *sentence;
} FAULTS[] = {{1, 2, false, false, ""},
              {3, 2, false, false, "a-0: its leader 3 isn't in the ISR"},
              {1, 2, true, false, "a-0: its leader 1 is fenced, but broker 2 could lead"},
              {1, 2, false, true,
               "note: 1 partitions are led by a broker that is about to shut down, but others could lead: "
               "that is so while it leaves"},
              {1, 1, true, false, ""},
              {1, 1, false, true, ""},
              {-1, 1, true, false, ""},
              {-1, 1, false, true, ""},
              {-1, 1, false, false,
               "note: 1 partitions have no leader, but one broker that could lead: that is so while it is "
               "fenced, leaves or comes back"},
              {-1, 2, false, false, "a-0: it has no leader, but broker 1 of the ISR could lead"},
              {-1, 2, true, false, "a-0: it has no leader, but broker 2 of the ISR could lead"}};

/* What can't be true of a cluster is told of its image as a fault, what may be in the midst of a decision as a note, and
 * nothing is told of one that is well. */
TEST_EACH(image_check, faults_are_told, FAULTS)
{
    struct world w;
    struct meta_record r[] = {broker(1, 5, row->fenced), broker(2, 6, false), broker(3, 7, false),
                              topic("a", 1), partition(1, 0, row->leader, row->isr)};
    char got[160] = "";

    r[0].register_broker.in_controlled_shutdown = row->leaves;
    world_start(&w, 1);
    for (int i = 0; i < 5; i++)
        CHECK(!apply(&w, &r[i]));
    image_faults(w.draft, w.heap, one_fault, got);
    CHECK_STR(got, row->sentence);
    world_end(&w);
}

/* ---- states ---- */

/* A partition is New until it has a leader, Online while that lives, Offline when it is gone, Nonexistent elsewhere. */
TEST(states, of_partitions_and_replicas)
{
    static const int32_t adding[] = {2};
    struct world w;
    struct meta_record r[] = {broker(1, 5, false),   broker(2, 6, false),   broker(3, 7, false),
                              topic("a", 1),         partition(1, 0, 1, 1), partition(1, 1, -1, 0),
                              partition(1, 2, -1, 0)};
    const struct image_topic *t;

    r[4].partition.adding = (struct ids){adding, 1};
    r[6].partition.leader_epoch = 3;
    world_start(&w, 1);
    for (int i = 0; i < 7; i++)
        CHECK(!apply(&w, &r[i]));
    t = image_topic_by_name(w.draft, SLICE("a"));
    CHECK_EQ(partition_state(w.draft, image_partition(t, 0)), PARTITION_ONLINE);
    CHECK_EQ(partition_state(w.draft, image_partition(t, 1)), PARTITION_NEW);
    CHECK_EQ(partition_state(w.draft, image_partition(t, 2)), PARTITION_OFFLINE);
    CHECK_EQ(partition_state(w.draft, image_partition(t, 3)), PARTITION_NONEXISTENT);
    CHECK_EQ(replica_state(w.draft, image_partition(t, 0), 1), REPLICA_ONLINE);
    CHECK_EQ(replica_state(w.draft, image_partition(t, 0), 2), REPLICA_NEW);     /* being added */
    CHECK_EQ(replica_state(w.draft, image_partition(t, 0), 3), REPLICA_OFFLINE); /* its directory is lost */
    CHECK_EQ(replica_state(w.draft, image_partition(t, 0), 4), REPLICA_NONEXISTENT);
    CHECK_EQ(replica_state(w.draft, image_partition(t, 1), 1), REPLICA_NEW);
    CHECK_EQ(replica_state(w.draft, NULL, 1), REPLICA_NONEXISTENT);
    r[0].register_broker.fenced = true;
    CHECK(!apply(&w, &r[0]));
    t = image_topic_by_name(w.draft, SLICE("a"));
    CHECK_EQ(partition_state(w.draft, image_partition(t, 0)), PARTITION_OFFLINE);
    CHECK_EQ(replica_state(w.draft, image_partition(t, 0), 1), REPLICA_OFFLINE);
    CHECK_STR(partition_state_name(PARTITION_NEW), "New");
    CHECK_STR(replica_state_name(REPLICA_NONEXISTENT), "Nonexistent");
    world_end(&w);
}
