#include "tests/check.h"
#include "tools/voter_list.h"

#define A "JEXY6aqzQY-32P5TStzaFg"
#define B "MvDxzVmcRsaTz33bUuRU6A"

/* A list of voters is taken as Kafka's formatter takes it: spaces around one, addresses of IPv6 in brackets. */
TEST(voter_list, is_taken)
{
    struct formatted f;
    struct uuid a;
    char why[VOTER_LIST_WHY_MAX];

    CHECK(uuid_parse(SLICE(A), &a));
    CHECK(voter_list_parse("1@a.example:9093:" A " , 2@[::1]:1:" B, &f, why));
    CHECK(f.n == 2 && f.v[0].node == 1 && f.v[1].node == 2);
    CHECK_STR(f.v[0].host, "a.example");
    CHECK_STR(f.v[1].host, "::1");
    CHECK(f.v[0].port == 9093 && f.v[1].port == 1);
    CHECK(formatted_names(&f, 1, &a) && !formatted_names(&f, 2, &a));
}

static const struct bad {
    const char *text, *said;
} bad[] = {
    {"", "No voters given."},
    {"1", "No @ found"},
    {"x@h:1:" A, "parse node id"},
    {"@h:1:" A, "parse node id"},
    {"2147483647@h:1:" A, "parse node id"},
    {"1@h", "No colon following hostname"},
    {"1@[::1:1:" A, "no right bracket"},
    {"1@[::1]1:" A, "must start with a colon"},
    {"1@:1:" A, "needs a host"},
    {"1@h:1", "No colon following port"},
    {"1@h:x:" A, "parse port"},
    {"1@h:0:" A, "Invalid port 0"},
    {"1@h:70000:" A, "Invalid port 70000"},
    {"1@h:1:xx", "parse directory ID"},
    {"1@h:1:AAAAAAAAAAAAAAAAAAAAAA", "parse directory ID"},
    {"1@h:1:" A ",1@h:1:" B, "Node id 1 was specified more than once."},
    {"1@h:1:" A ",2@h:1:" A, "nodes 1 and 2 have the same directory id"},
};

/* What can't be one is refused, with what is wrong. */
TEST_EACH(voter_list, refuses, bad)
{
    struct formatted f;
    char why[VOTER_LIST_WHY_MAX];

    CHECK(!voter_list_parse(row->text, &f, why));
    if (!strstr(why, row->said))
        test_fail(__FILE__, __LINE__, "%s: %s", row->text, why);
}
