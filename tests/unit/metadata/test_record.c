#include "metadata/record.h"
#include "tests/check.h"

static const int32_t THREE[] = {1, 2, 3};
static const struct uuid DIRS[] = {{{1}}, {{2}}, {{3}}};

/* Record, and its bytes as they have been since the first version: a change here changes the format. */
struct golden {
    struct meta_record r;
    const char *hex;
};
static const struct golden GOLDEN[] = {
    {{.type = RECORD_CLEAR_ELR, .clear_elr = {.topic = {(uint8_t *)"t", 1}}}, "011c0a0174"},
    {{.type = RECORD_CLEAR_ELR, .clear_elr = {.leaderless_stay = true}}, "011c1001"},
    {{.type = RECORD_REGISTER_CONTROLLER,
      .register_controller =
          {.id = 3,
           .incarnation = {{9}},
           .endpoints = &(const struct endpoint){.name = {(uint8_t *)"C", 1},
                                                 .host = {(uint8_t *)"h", 1},
                                                 .port = 9093},
           .n_endpoints = 1,
           .features = &(const struct feature_range){.name = {(uint8_t *)"f", 1}, .min = 1, .max = 2},
           .n_features = 1}},
     "011b08061210"
     "09000000000000000000000000000000"
     "1a09"
     "0a0143"
     "120168"
     "188547"
     "2207"
     "0a0166"
     "1002"
     "1804"},
    {{.type = RECORD_TOPIC, .topic = {.name = {(uint8_t *)"abc", 3}, .id = {{9}}}},
     "01020a036162631210"
     "09000000000000000000000000000000"},
    {{.type = RECORD_REMOVE_TOPIC, .remove_topic = {.id = {{9}}}},
     "01090a10"
     "09000000000000000000000000000000"},
    {{.type = RECORD_FEATURE, .feature = {.name = {(uint8_t *)"f", 1}, .level = 30}}, "010c0a0166103c"},
    {{.type = RECORD_PRODUCER_IDS, .producer_ids = {.broker_id = 1, .broker_epoch = 5, .next = 1000}},
     "010f0802100a18d00f"},
    {{.type = RECORD_CONFIG,
      .config = {.resource_type = 2,
                 .resource = {(uint8_t *)"t", 1},
                 .name = {(uint8_t *)"n", 1},
                 .value = {(uint8_t *)"v", 1}}},
     "01040804120174"
     "1a016e220176"},
    {{.type = RECORD_CONFIG,
      .config = {.resource_type = 2, .resource = {(uint8_t *)"t", 1}, .name = {(uint8_t *)"n", 1}}},
     "01040804120174"
     "1a016e2801"},
    {{.type = RECORD_PARTITION,
      .partition = {.topic = {{9}},
                    .index = 4,
                    .leader = 1,
                    .leader_epoch = 2,
                    .partition_epoch = 3,
                    .replicas = {THREE, 3},
                    .isr = {THREE, 2},
                    .dirs = {DIRS, 3}}},
     "01030a10"
     "09000000000000000000000000000000"
     "1008180220042806"
     "3a03020406"
     "42020204"
     "6a30"
     "01000000000000000000000000000000"
     "02000000000000000000000000000000"
     "03000000000000000000000000000000"},
    {{.type = RECORD_PARTITION_CHANGE,
      .partition_change = {.topic = {{9}},
                           .index = 4,
                           .leader = LEADER_SAME,
                           .recovering = -1,
                           .replicas = {.n = -1},
                           .isr = {THREE, 1},
                           .removing = {.n = -1},
                           .adding = {.n = -1},
                           .elr = {.n = 0},
                           .last_elr = {.n = -1},
                           .dirs = {.n = -1}}},
     "01050a10"
     "09000000000000000000000000000000"
     "100818032001"
     "32030a0102"
     "4a00"},
    {{.type = RECORD_BROKER_CHANGE,
      .broker_change = {.id = 1, .epoch = 7, .fenced = -1, .dirs = {.n = -1}, .cordoned = {.n = -1}}},
     "01110802100e1801"},
    {{.type = RECORD_UNREGISTER_BROKER, .unregister_broker = {.id = 1, .epoch = 7}}, "01010802100e"},
    {{.type = RECORD_NO_OP}, "0114"},
    {{.type = RECORD_BEGIN_TRANSACTION, .begin_transaction = {.name = {(uint8_t *)"n", 1}}}, "01170a016e"},
    {{.type = RECORD_END_TRANSACTION}, "0118"},
    {{.type = RECORD_ABORT_TRANSACTION, .abort_transaction = {.reason = {(uint8_t *)"r", 1}}}, "01190a0172"},
    {{.type = RECORD_REQUEST_DONE,
      .request_done = {.id = {{9}},
                       .at_ms = 7,
                       .keep_ms = 30,
                       .api_key = 20,
                       .version = 6,
                       .answer = {(uint8_t *)"a", 1}}},
     "01e907"
     "0a1009000000000000000000000000000000"
     "100e183c2028280c"
     "3201613801"},
    {{.type = RECORD_REQUEST_DONE,
      .request_done =
          {.id = {{9}}, .api_key = 20, .answer = {(uint8_t *)"a", 1}, .piece = 1, .last_piece = 3}},
     "01e907"
     "0a1009000000000000000000000000000000"
     "2028320161380140024806"},
    {{.type = RECORD_REQUESTS_FORGET, .requests_forget = {.due_ms = 37, .last = {{9}}}},
     "01ea07084a"
     "121009000000000000000000000000000000"},
    {{.type = RECORD_REQUESTS_FORGET, .requests_forget = {.due_ms = 37, .last = {{9}}, .answers_only = true}},
     "01ea07084a"
     "121009000000000000000000000000000000"
     "1801"},
    {{.type = RECORD_CLUSTER, .cluster = {.id = {(uint8_t *)"c", 1}}}, "01e8070a0163"},
};

static void check_hex(struct slice got, const char *want)
{
    char text[512];

    CHECK(2 * got.len < sizeof(text));
    text[0] = 0;
    for (size_t i = 0; i < got.len; i++)
        (void)snprintf(text + 2 * i, 3, "%02x", got.p[i]);
    CHECK_STR(text, want);
}

/* Each record has the bytes that it has always had, and they say the same record again. */
TEST_EACH(record, golden_bytes, GOLDEN)
{
    struct heap *h = heap_new(true);
    struct meta_record back;
    struct bytes b, again;
    struct arena a;

    arena_init(&a, h, SIZE_MAX);
    bytes_init(&b, h);
    bytes_init(&again, h);
    record_encode(&row->r, &b);
    check_hex(bytes_slice(&b), row->hex);
    CHECK_OK(record_decode(bytes_slice(&b), &a, &back));
    CHECK_EQ(back.type, row->r.type);
    record_encode(&back, &again);
    check_hex(bytes_slice(&again), row->hex);
    heap_drop(h);
}

/* Fields of a newer version survive reading and writing. */
TEST(record, unknown_fields_survive)
{
    static const uint8_t newer[] = {1,   20,  0xa2, 1, 3, 'x',
                                    'y', 'z', 0x98, 6, 1}; /* NO_OP with fields 20 and 99 */
    struct heap *h = heap_new(true);
    struct meta_record r;
    struct bytes b;
    struct arena a;

    arena_init(&a, h, SIZE_MAX);
    bytes_init(&b, h);
    CHECK_OK(record_decode(slice_of(newer, sizeof(newer)), &a, &r));
    record_encode(&r, &b);
    CHECK(slice_eq(bytes_slice(&b), slice_of(newer, sizeof(newer))));
    heap_drop(h);
}

/* No bytes make decoding read outside of them or fail to end. */
TEST(record, random_bytes_are_refused_or_read)
{
    struct heap *h = heap_new(true);
    struct test_random r;
    struct arena a;

    arena_init(&a, h, 1 << 20);
    test_random_init(&r, 1);
    for (int i = 0; i < 20000; i++) {
        size_t len = test_random_below(&r, 60);
        uint8_t *p = heap_alloc(h, len + 1);
        struct meta_record out;

        for (size_t j = 0; j < len; j++)
            p[j] = (uint8_t)test_random_next(&r);
        if (len)
            p[0] = RECORD_FRAME;
        if (len > 1)
            p[1] = (uint8_t)test_random_below(&r, 29);
        if (record_decode(slice_of(p, len), &a, &out))
            CHECK(true);
        heap_free(h, p);
        arena_reset(&a);
    }
    heap_drop(h);
}
