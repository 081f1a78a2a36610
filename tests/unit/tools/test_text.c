/* Tables, JSON, properties, lines of the console clients, features, latencies. */
#include "tests/check.h"
#include "tools/features.h"
#include "tools/latency.h"
#include "tools/lines.h"
#include "tools/properties.h"
#include "tools/table.h"

/* Columns line up, and no line ends in blanks. */
TEST(table, columns_line_up)
{
    struct heap *h = heap_new(true);
    struct table t;
    struct bytes out;

    bytes_init(&out, h);
    table_init(&t, h, 2);
    table_cell(&t, "a");
    table_cell(&t, "%d", 1);
    table_cell(&t, "longer");
    table_cell(&t, "x");
    table_print(&t, &out);
    bytes_add(&out, "", 1);
    CHECK_STR((char *)out.p, "a       1\nlonger  x\n");
    table_drop(&t);
    heap_drop(h);
}

/* JSON has its commas where they belong, and quotes what needs it. */
TEST(table, json_is_json)
{
    struct heap *h = heap_new(true);
    struct bytes out;
    struct json j = {.out = &out};

    bytes_init(&out, h);
    json_open(&j, NULL, '{');
    json_str(&j, "a\"b", "x\ny\\\x01");
    json_open(&j, "list", '[');
    json_int(&j, NULL, -1);
    json_bool(&j, NULL, true);
    json_open(&j, NULL, '{');
    json_close(&j, '}');
    json_close(&j, ']');
    json_text(&j, "none", SLICE_NULL);
    json_number(&j, "n", 1.25, 1);
    json_close(&j, '}');
    bytes_add(&out, "", 1);
    CHECK_STR((char *)out.p,
              "{\"a\\\"b\":\"x\\ny\\\\\\u0001\",\"list\":[-1,true,{}],\"none\":null,\"n\":1.2}");
    heap_drop(h);
}

struct props {
    struct heap *heap;
    struct arena arena;
    struct properties p;
    struct bytes why;
};

static struct props props_new(void)
{
    struct props w = {.heap = heap_new(true)};

    arena_init(&w.arena, w.heap, SIZE_MAX);
    bytes_init(&w.why, w.heap);
    return w;
}

/* Commas separate settings, but not inside brackets, which are taken off. */
TEST(properties, brackets_hold_lists_together)
{
    struct props w = props_new();

    CHECK(properties_inline(&w.arena, "a=1, cleanup.policy=[compact,delete],c=x=y,d=", &w.p, &w.why));
    CHECK_EQ(w.p.n, 4);
    CHECK_STR(w.p.v[1].name, "cleanup.policy");
    CHECK_STR(w.p.v[1].value, "compact,delete");
    CHECK_STR(w.p.v[2].value, "x=y");
    CHECK_STR(w.p.v[3].value, "");
    CHECK(!properties_inline(&w.arena, "a=1,b", &w.p, &w.why));
    CHECK(memmem(w.why.p, w.why.len, "\"b\"", 3));
    properties_names(&w.arena, " a, b ,,c", &w.p);
    CHECK_EQ(w.p.n, 3);
    CHECK_STR(w.p.v[1].name, "b");
    heap_drop(w.heap);
}

/* A properties file: comments, blanks around names, lines that go on, Java's escapes, CRLF. */
TEST(properties, files_as_java_reads_them)
{
    static const char text[] = "# no\n! no\n\n  a = 1 \r\nb:two\nc three\nd=x\\\n   y\ne=t\\tt\\\\\nf";
    struct props w = props_new();

    properties_file(&w.arena, SLICE(text), &w.p);
    CHECK_EQ(w.p.n, 6);
    CHECK_STR(w.p.v[0].name, "a");
    CHECK_STR(w.p.v[0].value, "1 "); /* as Java: what follows a value belongs to it */
    CHECK_STR(w.p.v[1].value, "two");
    CHECK_STR(w.p.v[2].value, "three");
    CHECK_STR(w.p.v[3].value, "xy");
    CHECK_STR(w.p.v[4].value, "t\tt\\");
    CHECK_STR(w.p.v[5].name, "f");
    CHECK_STR(w.p.v[5].value, "");
    heap_drop(w.heap);
}

static const struct line_row {
    const char *set[4]; /* name, value, … */
    const char *line;
    const char *key, *value, *header; /* NULL: null, or no header */
    bool fails;
} line_rows[] = {
    {{0}, "a\tb", NULL, "a\tb", NULL, false},
    {{"parse.key", "true"}, "k\tv\tw", "k", "v\tw", NULL, false},
    {{"parse.key", "true", "key.separator", "::"}, "k::v", "k", "v", NULL, false},
    {{"parse.key", "true"}, "kv", NULL, NULL, NULL, true},
    {{"parse.key", "true", "ignore.error", "true"}, "kv", NULL, "kv", NULL, false},
    {{"parse.headers", "true"}, "h:x,i:y\tv", NULL, "v", "h=x", false},
    {{"parse.headers", "true"}, "h\tv", NULL, NULL, NULL, true},
    {{"parse.key", "true", "null.marker", "NIL"}, "k\tNIL", "k", NULL, NULL, false},
    {{"parse.key", "true", "null.marker", "NIL"}, "NIL\tv", NULL, "v", NULL, false},
    {{"parse.key", "true"}, "\tv", "", "v", NULL, false},
};

static void check_slice(struct slice got, const char *want)
{
    CHECK((got.p == NULL) == (want == NULL));
    CHECK(!want || slice_eq(got, SLICE(want)));
}

/* A line becomes headers, key and value by Kafka's rules. */
TEST_EACH(lines, split_as_kafka_does, line_rows)
{
    struct heap *h = heap_new(true);
    struct arena a;
    struct line_rules rules;
    struct line_parts parts;

    arena_init(&a, h, SIZE_MAX);
    line_rules_init(&rules);
    for (int i = 0; i < 4 && row->set[i]; i += 2)
        CHECK(!line_rules_set(&rules, row->set[i], row->set[i + 1]));
    CHECK(!line_rules_check(&rules));
    const char *why = line_split(&rules, SLICE(row->line), &a, &parts);
    CHECK((why != NULL) == row->fails);
    if (!why) {
        check_slice(parts.key, row->key);
        check_slice(parts.value, row->value);
        CHECK(!row->header || (parts.n_headers && parts.headers[0].key.p[0] == row->header[0] &&
                               parts.headers[0].value.p[0] == row->header[2]));
    }
    heap_drop(h);
}

/* Separators that could be taken for each other, and properties that nobody knows, are refused. */
TEST(lines, unclear_rules_are_refused)
{
    struct line_rules rules;

    line_rules_init(&rules);
    CHECK(line_rules_set(&rules, "parse.kye", "true"));
    CHECK(line_rules_set(&rules, "key.separator", ""));
    CHECK(!line_rules_set(&rules, "headers.separator", ":"));
    CHECK(line_rules_check(&rules));
}

/* A metadata version by its name or its release, and the features that came with it. */
TEST(features, levels_of_a_release)
{
    CHECK_EQ(features_find("3.3-IV3"), 7);
    CHECK_EQ(features_find("3.7"), 19);
    CHECK_EQ(features_find("4.3-IV0"), 30);
    CHECK_EQ(features_find("4.4-IV0"), -1);
    CHECK_EQ(features_find("3"), -1);
    CHECK_STR(features_version_name(25), "4.0-IV3");
    CHECK_STR(features_names[1], "transaction.version");
    CHECK_EQ(features_level(1, 23), 0);
    CHECK_EQ(features_level(1, 24), 2);
}

/* Percentiles are those of what was added, whatever the order, and the window begins anew. */
TEST(latency, percentiles_and_windows)
{
    struct heap *h = heap_new(true);
    struct latency l;
    struct bytes out;

    bytes_init(&out, h);
    latency_init(&l, h, 1000, 0);
    for (int i = 999; i >= 0; i--)
        latency_add(&l, i * 1000, 1 << 20);
    CHECK_EQ(latency_percentile_us(&l, 0.5), 500000);
    CHECK_EQ(latency_percentile_us(&l, 0.999), 999000);
    latency_window_print(&l, 2000000, &out);
    bytes_add(&out, "", 1);
    CHECK_STR((char *)out.p, "1000 records sent, 500.0 records/sec (500.00 MB/sec), 499.5 ms avg latency, "
                             "999.0 ms max latency.\n");
    CHECK_EQ(l.window.n, 0);
    CHECK_EQ(l.all.n, 1000);
    heap_drop(h);
}
