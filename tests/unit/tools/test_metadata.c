/* weir metadata without files: places in time, words, blame, the tree and its shell. */
#include "tests/unit/metadata/meta_world.h"
#include "tools/meta_blame.h"
#include "tools/meta_point.h"
#include "tools/meta_shell.h"
#include "tools/meta_words.h"

static const struct {
    const char *text;
    int kind; /* -1: none */
    int64_t value;
} POINTS[] = {{"0", META_OFFSET, 0},
              {"123", META_OFFSET, 123},
              {"end", META_OFFSET, INT64_MAX},
              {"1795272593869ms", META_TIME, 1795272593869},
              {"2026-11-21", META_TIME, 1795219200000},
              {"2026-11-21T14:49:53.869Z", META_TIME, 1795272593869},
              {"2026-11-21 14:49", META_TIME, 1795272540000},
              {"2026-11-21T14:49:53.8", META_TIME, 1795272593800},
              {"-15m", META_TIME, 1000000000 - 900000},
              {"-1d", META_TIME, 1000000000 - 86400000},
              {"-1", -1, 0},
              {"2026-13-21", -1, 0},
              {"2026-11-21T", -1, 0},
              {"soon", -1, 0},
              {"", -1, 0},
              {"-99999999999d", -1, 0}};

/* Offsets and times are told apart by their looks; what is neither is refused. */
TEST_EACH(metadata, points_are_what_they_look_like, POINTS)
{
    struct meta_point p;
    char text[META_TIME_LEN + 1];

    CHECK_EQ(meta_point_parse(row->text, 1000000000, &p), row->kind >= 0);
    if (row->kind < 0)
        return;
    CHECK_EQ(p.kind, row->kind);
    CHECK_EQ(p.value, row->value);
    CHECK_STR(meta_time(1795272593869, text), "2026-11-21T14:49:53.869Z");
    CHECK_STR(meta_time(-1, text), "-");
    CHECK_STR(meta_time(INT64_MAX, text), "-");
}

/* Two images: before and after a few changes. */
struct pair {
    struct heap *heap;
    struct grave g;
    struct image *before, *after;
    struct bytes told;
};

static const int32_t ONE_TWO[] = {1, 2}, TWO[] = {2};
static const struct uuid DIRS[2] = {{{9}}, {{9}}};
static const struct endpoint AT = {
    .name = {(uint8_t *)"PLAINTEXT", 9}, .host = {(uint8_t *)"h", 1}, .port = 9092};

static void pair_start(struct pair *p)
{
    const struct meta_record first[] = {
        {.type = RECORD_CLUSTER, .cluster = {.id = SLICE("c")}},
        {.type = RECORD_FEATURE, .feature = {.name = SLICE("weir.version"), .level = 1}},
        {.type = RECORD_REGISTER_BROKER,
         .register_broker = {.id = 1, .epoch = 5, .endpoints = &AT, .n_endpoints = 1}},
        {.type = RECORD_REGISTER_BROKER, .register_broker = {.id = 2, .epoch = 6}},
        {.type = RECORD_TOPIC, .topic = {.name = SLICE("a"), .id = {{1}}}},
        {.type = RECORD_PARTITION,
         .partition =
             {.topic = {{1}}, .leader = 1, .replicas = {ONE_TWO, 2}, .isr = {ONE_TWO, 2}, .dirs = {DIRS, 2}}},
        {.type = RECORD_CONFIG, .config = {CONFIG_TOPIC, SLICE("a"), SLICE("retention.ms"), SLICE("9")}},
        {.type = RECORD_CONFIG, .config = {CONFIG_GROUP, SLICE("g/1"), SLICE("x"), SLICE("y")}},
    };

    *p = (struct pair){.heap = heap_new(false)};
    grave_init(&p->g, p->heap);
    bytes_init(&p->told, p->heap);
    p->before = image_new(&p->g);
    for (size_t i = 0; i < sizeof(first) / sizeof(first[0]); i++)
        image_replay(p->before, &p->g, &first[i]);
    image_seal(p->before);
    p->after = image_draft(p->before, &p->g);
}

static void pair_end(struct pair *p)
{
    image_unref(p->before, &p->g);
    image_unref(p->after, &p->g);
    grave_empty(&p->g);
    bytes_drop(&p->told);
    CHECK_EQ(heap_used(p->heap), 0);
    heap_drop(p->heap);
}

static void tell(void *arg, const struct meta_change *c)
{
    struct pair *p = arg;

    bytes_printf(&p->told, "%s\n", c->words);
}

static const char *told(struct pair *p)
{
    bytes_add(&p->told, "", 1);
    return (char *)p->told.p;
}

/* Each thing that changed is a line, with what was and what is. */
TEST(metadata, changes_in_words)
{
    struct meta_record gone = {.type = RECORD_PARTITION_CHANGE,
                               .partition_change = partition_unchanged((struct uuid){{1}}, 0)};
    const struct meta_record later[] = {
        {.type = RECORD_BROKER_CHANGE,
         .broker_change = {.id = 1, .epoch = 5, .fenced = 1, .dirs = UUIDS_SAME, .cordoned = UUIDS_SAME}},
        gone,
        {.type = RECORD_CONFIG, .config = {CONFIG_TOPIC, SLICE("a"), SLICE("retention.ms"), SLICE_NULL}},
        {.type = RECORD_CONFIG, .config = {CONFIG_BROKER, SLICE(""), SLICE("x"), SLICE("1")}},
        {.type = RECORD_TOPIC, .topic = {.name = SLICE("b"), .id = {{2}}}},
        {.type = RECORD_FEATURE, .feature = {.name = SLICE("weir.version"), .level = 2}},
    };
    struct pair p;

    pair_start(&p);
    for (size_t i = 0; i < sizeof(later) / sizeof(later[0]); i++) {
        struct meta_record r = later[i];

        if (r.type == RECORD_PARTITION_CHANGE) {
            r.partition_change.leader = 2;
            r.partition_change.isr = (struct ids){TWO, 1};
        }
        image_replay(p.after, &p.g, &r);
    }
    meta_changes(p.before, p.after, p.heap, tell, &p);
    CHECK_STR(told(&p), "feature weir.version: level 1 -> 2\n"
                        "broker 1: fenced\n"
                        "partition a-0: leader 1 -> 2 (leader epoch 0 -> 1)\n"
                        "partition a-0: ISR 1,2 -> 2\n"
                        "topic b: created, id AgAAAAAAAAAAAAAAAAAAAA\n"
                        "config of topic a: retention.ms back to its default (was 9)\n"
                        "config of all brokers: x = 1 (was not set)\n");
    pair_end(&p);
}

/* Two images that share nothing but are equal differ in no word; from nothing, everything is new. */
TEST(metadata, equal_images_have_no_words_between_them)
{
    struct pair p, q;

    pair_start(&p);
    pair_start(&q);
    meta_changes(p.before, q.before, p.heap, tell, &p);
    CHECK_EQ(p.told.len, 0);
    meta_changes(NULL, p.before, p.heap, tell, &p);
    CHECK(strstr(told(&p), "partition a-0: created Online: leader 1, replicas 1,2, ISR 1,2\n"));
    pair_end(&q);
    pair_end(&p);
}

/* A word means all that it may mean: topic, partition, broker, setting. */
TEST(metadata, blame_finds_what_a_word_may_mean)
{
    struct meta_target a = meta_target("a"), a0 = meta_target("a-0"), a1 = meta_target("a-1"),
                       one = meta_target("1"), setting = meta_target("retention.ms");
    struct meta_record change = {.type = RECORD_PARTITION_CHANGE,
                                 .partition_change = {.topic = {{1}}, .index = 0}};
    struct meta_record fence = {.type = RECORD_BROKER_CHANGE, .broker_change = {.id = 1}};
    struct meta_record config = {.type = RECORD_CONFIG,
                                 .config = {CONFIG_TOPIC, SLICE("a"), SLICE("retention.ms"), SLICE("1")}};
    struct meta_record removal = {.type = RECORD_REMOVE_TOPIC, .remove_topic = {{{1}}}};
    struct pair p;

    pair_start(&p);
    CHECK(meta_concerns(&a, p.before, &change) && meta_concerns(&a0, p.before, &change));
    CHECK(!meta_concerns(&a1, p.before, &change) && !meta_concerns(&one, p.before, &change));
    CHECK(meta_concerns(&one, p.before, &fence) && !meta_concerns(&a, p.before, &fence));
    CHECK(meta_concerns(&setting, p.before, &config) && meta_concerns(&a, p.before, &config));
    CHECK(!meta_concerns(&one, p.before, &config));
    CHECK(meta_concerns(&setting, p.before, &removal)); /* the topic's setting goes with it */
    CHECK(meta_names_partition(&a, "a-0") && meta_names_partition(&a0, "a-0") &&
          !meta_names_partition(&a1, "a-0"));
    pair_end(&p);
}

static void nothing(void *arg)
{
    (void)arg;
}

static const struct {
    const char *line, *told;
    bool failed;
} LINES[] = {
    {"pwd", "/\n", false},
    {"ls", "image\nlocal\n", false},
    {"ls /image/topics/byName /image/cluster/brokers",
     "/image/topics/byName:\na\n/image/cluster/brokers:\n1\n2\n", false},
    {"cat image/../image/./topics/byName/a/id", "AQAAAAAAAAAAAAAAAAAAAA\n", false},
    {"cat /image/topics/byId/AQAAAAAAAAAAAAAAAAAAAA/name", "a\n", false},
    {"cat /image/cluster/id /image/features/*", "c\n1\n", false},
    {"ls /image/configs", "TOPIC:a\nGROUP:g%2F1\n", false},
    {"cat /image/configs/GROUP:g%2F1/x", "y\n", false},
    {"find /image/topics/byName",
     "/image/topics/byName\n/image/topics/byName/a\n/image/topics/byName/a/id\n"
     "/image/topics/byName/a/0\n",
     false},
    {"tree /image/producerIds", "/image/producerIds:\n  nextProducerId\n", false},
    {"cat /image", "cat: /image: is a directory\n", true},
    {"ls nix", "ls: nix: no such file or directory\n", true},
    {"cat /image/cluster/id/below", "cat: /image/cluster/id/below: no such file or directory\n", true},
    {"cat /image/topics/byName/a/99999999999",
     "cat: /image/topics/byName/a/99999999999: no such file or directory\n", true},
    {"cd /image/cluster/id", "cd: /image/cluster/id: not a directory\n", true},
    {"rm x", "rm: no such command: help lists them\n", true},
    {"# a comment", "", false},
    {"", "", false},
};

/* The shell answers like one of files: what is there, and in a sentence what isn't. */
TEST_EACH(metadata, shell, LINES)
{
    struct meta_shell s;
    struct pair p;

    pair_start(&p);
    meta_shell_init(&s, p.heap, p.before, &p.told, nothing, NULL);
    meta_shell_run(&s, row->line);
    CHECK_STR(told(&p), row->told);
    CHECK_EQ(s.failed, row->failed);
    meta_shell_drop(&s);
    pair_end(&p);
}

static void word(void *arg, const char *text)
{
    bytes_printf(arg, "%s ", text);
}

static const struct {
    const char *line, *words;
    size_t from;
} COMPLETIONS[] = {{"", "cat cd exit find help ls pwd quit tree ", 0},
                   {"c", "cat cd ", 0},
                   {"ls ", "image/ local/ ", 3},
                   {"ls i", "image/ ", 3},
                   {"cat /image/cl", "/image/cluster/ ", 4},
                   {"cat /image/topics/byName/a/", "/image/topics/byName/a/id /image/topics/byName/a/0 ", 4},
                   {"cat nix/", "", 4}};

/* Tab knows commands first, then paths, from where you are. */
TEST_EACH(metadata, completion, COMPLETIONS)
{
    struct meta_shell s;
    struct pair p;
    size_t from;

    pair_start(&p);
    meta_shell_init(&s, p.heap, p.before, &p.told, nothing, NULL);
    meta_shell_complete(&s, row->line, &from, word, &p.told);
    CHECK_STR(told(&p), row->words);
    CHECK_EQ(from, row->from);
    meta_shell_drop(&s);
    pair_end(&p);
}
