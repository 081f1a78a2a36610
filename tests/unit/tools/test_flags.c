#include "tests/check.h"
#include "tools/flags.h"

static const struct flag rows[] = {
    {"topic", 't', FLAG_TEXT, "NAME", NULL, NULL, "a topic"},
    {"topic-id", 0, FLAG_TEXT, "ID", NULL, NULL, "its id"},
    {"partitions", 0, FLAG_NUMBER, "N", "3", NULL, "how many"},
    {"sync", 0, FLAG_BOOL, NULL, NULL, NULL, "wait"},
    {"codec", 0, FLAG_MAYBE, "CODEC", "gzip", NULL, "which"},
    {"config", 0, FLAG_LIST, "K=V", NULL, NULL, "settings"},
    {"group", 0, FLAG_TEXT, "NAME", NULL, "consumer groups", NULL},
    {0},
};

struct world {
    struct heap *heap;
    struct arena arena;
    struct bytes why;
    struct flags f;
};

static struct world world_new(void)
{
    struct world w = {.heap = heap_new(true)};

    arena_init(&w.arena, w.heap, SIZE_MAX);
    bytes_init(&w.why, w.heap);
    return w;
}

static bool parse(struct world *w, int rest_max, int argc, const char **argv)
{
    w->why.len = 0;
    bool ok = flags_parse(&w->f, rows, argc, (char **)argv, rest_max, &w->arena, &w->why);
    bytes_add(&w->why, "", 1);
    return ok;
}

#define PARSE(w, rest, ...)                                                                                  \
    parse(w, rest, (int)(sizeof((const char *[]){__VA_ARGS__}) / sizeof(char *)),                            \
          (const char *[]){__VA_ARGS__})

/* A value follows its flag, as a word of its own or behind '='; one that isn't given has its default. */
TEST(flags, values_come_both_ways)
{
    struct world w = world_new();

    CHECK(PARSE(&w, 0, "--topic", "a", "--partitions=7", "--sync"));
    CHECK_STR(flag_text(&w.f, "topic"), "a");
    CHECK_EQ(flag_number(&w.f, "partitions"), 7);
    CHECK(flag_given(&w.f, "sync"));
    CHECK(PARSE(&w, 0, "-t", "b"));
    CHECK_STR(flag_text(&w.f, "topic"), "b");
    CHECK_EQ(flag_number(&w.f, "partitions"), 3);
    CHECK(!flag_given(&w.f, "partitions") && !flag_given(&w.f, "sync") && !flag_text(&w.f, "topic-id"));
    heap_drop(w.heap);
}

/* A beginning that only one flag has stands for it; the whole name wins over longer ones. */
TEST(flags, a_unique_beginning_is_enough)
{
    struct world w = world_new();

    CHECK(PARSE(&w, 0, "--part", "9", "--topic", "x"));
    CHECK_EQ(flag_number(&w.f, "partitions"), 9);
    CHECK(!flag_given(&w.f, "topic-id"));
    CHECK(!PARSE(&w, 0, "--co", "9")); /* codec and config */
    heap_drop(w.heap);
}

/* A list takes several words and several turns; an optional value may be left out. */
TEST(flags, lists_and_optional_values)
{
    struct world w = world_new();

    CHECK(PARSE(&w, 0, "--config", "a=1", "b=2", "--codec", "--config=c=-3"));
    CHECK_EQ(flag_list(&w.f, "config")->n, 3);
    CHECK_STR(flag_list(&w.f, "config")->list[2], "c=-3");
    CHECK_STR(flag_text(&w.f, "codec"), "gzip");
    CHECK(PARSE(&w, 0, "--codec", "lz4"));
    CHECK_STR(flag_text(&w.f, "codec"), "lz4");
    CHECK(PARSE(&w, 0));
    CHECK(!flag_text(&w.f, "codec"));
    heap_drop(w.heap);
}

/* What is wrong is said in a sentence that helps. */
TEST(flags, refusals_say_what_to_do)
{
    struct world w = world_new();

    CHECK(!PARSE(&w, 0, "--partitoins", "3"));
    CHECK_STR((char *)w.why.p, "there is no flag --partitoins; did you mean --partitions?");
    CHECK(!PARSE(&w, 0, "--group", "g"));
    CHECK_STR((char *)w.why.p, "--group isn't there yet: it comes with consumer groups");
    CHECK(!PARSE(&w, 0, "--partitions", "many"));
    CHECK_STR((char *)w.why.p, "--partitions takes a whole number, not \"many\"");
    CHECK(!PARSE(&w, 0, "--topic"));
    CHECK_STR((char *)w.why.p, "--topic needs a value: --topic NAME");
    CHECK(!PARSE(&w, 0, "--topic", "--sync"));
    CHECK(!PARSE(&w, 0, "--sync=yes"));
    CHECK(!PARSE(&w, 0, "word"));
    CHECK_STR((char *)w.why.p, "\"word\" belongs to no flag");
    CHECK(PARSE(&w, 1, "word"));
    CHECK_STR(w.f.rest[0], "word");
    heap_drop(w.heap);
}

/* A negative number and a lone dash are values, not flags. */
TEST(flags, a_dash_may_begin_a_value)
{
    struct world w = world_new();

    CHECK(PARSE(&w, 0, "--partitions", "-1", "--topic", "-"));
    CHECK_EQ(flag_number(&w.f, "partitions"), -1);
    CHECK_STR(flag_text(&w.f, "topic"), "-");
    heap_drop(w.heap);
}

/* The nearest word is the one that takes the fewest changes, and none if all take many. */
TEST(flags, nearest_word)
{
    static const char *const words[] = {"topics", "configs", "consume", "produce"};

    CHECK_STR(nearest("topcs", words, 4), "topics");
    CHECK_STR(nearest("config", words, 4), "configs");
    CHECK_STR(nearest("prodcue", words, 4), "produce");
    CHECK(!nearest("xyzzy", words, 4));
}
