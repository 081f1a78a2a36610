/* Tests are promises: one sentence above, one promise inside, and it can fail.
 * TEST(group, name) { … } registers itself. Each test runs in a process of its own: a crash, a leak or a hang (60 s)
 * fails that test and no other. CHECK() says what it saw and ends the test.
 * TEST_EACH(group, name, rows) runs the body once a row of a static array; `row` points to it. */
#pragma once
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

struct test_row {
    const char *group;
    const char *name;
    void (*run)(int i);
    int n; /* how many rows */
};

#define TEST_PASTE_(a, b) a##b
#define TEST_REGISTER_(g, nm, fn, count)                                                                     \
    __attribute__((section("weir_tests"), used,                                                              \
                   aligned(sizeof(void *)))) static const struct test_row TEST_PASTE_(fn, _row) = {          \
        .group = #g, .name = #nm, .run = fn, .n = (count)};

#define TEST(g, nm)                                                                                          \
    static void test_##g##_##nm(int row_number);                                                             \
    TEST_REGISTER_(g, nm, test_##g##_##nm, 1)                                                                \
    static void test_##g##_##nm(int row_number __attribute__((unused)))

#define TEST_EACH(g, nm, rows)                                                                               \
    static void test_##g##_##nm##_body(const __typeof__((rows)[0]) *row);                                    \
    static void test_##g##_##nm(int row_number)                                                              \
    {                                                                                                        \
        test_##g##_##nm##_body(&(rows)[row_number]);                                                         \
    }                                                                                                        \
    TEST_REGISTER_(g, nm, test_##g##_##nm, (int)(sizeof(rows) / sizeof((rows)[0])))                          \
    static void test_##g##_##nm##_body(const __typeof__((rows)[0]) *row)

#define CHECK(cond) ((cond) ? (void)0 : test_fail(__FILE__, __LINE__, "%s", #cond))
#define CHECK_EQ(a, b)                                                                                       \
    do {                                                                                                     \
        int64_t a_ = (int64_t)(a), b_ = (int64_t)(b);                                                        \
        if (a_ != b_)                                                                                        \
            test_fail(__FILE__, __LINE__, "%s is %lld, not %s (%lld)", #a, (long long)a_, #b,                \
                      (long long)b_);                                                                        \
    } while (0)
#define CHECK_STR(a, b)                                                                                      \
    do {                                                                                                     \
        const char *a_ = (a), *b_ = (b);                                                                     \
        if (!a_ || strcmp(a_, b_) != 0)                                                                      \
            test_fail(__FILE__, __LINE__, "%s is \"%s\", not \"%s\"", #a, a_ ? a_ : "(null)", b_);           \
    } while (0)
#define CHECK_OK(e)                                                                                          \
    do {                                                                                                     \
        enum err e_ = (e);                                                                                   \
        if (e_)                                                                                              \
            test_fail(__FILE__, __LINE__, "%s is %s", #e, err_name(e_));                                     \
    } while (0)

_Noreturn void test_fail(const char *file, int line, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

/* A repeatable stream of numbers for tests; the seed is printed when the test fails. */
struct test_random {
    uint64_t state;
};
static inline void test_random_init(struct test_random *r, uint64_t seed)
{
    r->state = seed;
}

/* splitmix64 */
static inline uint64_t test_random_next(struct test_random *r)
{
    uint64_t z = (r->state += 0x9e3779b97f4a7c15u);

    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

/* 0 .. n-1 */
static inline uint64_t test_random_below(struct test_random *r, uint64_t n)
{
    return test_random_next(r) % n;
}

const char *test_dir(void); /* a directory on the real disk, empty at the start of each test; for unit_uv */
