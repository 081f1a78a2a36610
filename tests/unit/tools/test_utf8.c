#include "tests/check.h"
#include "tools/table.h"
#include "tools/utf8.h"

static const struct utf8_row {
    const char *bytes;
    const char *text; /* NULL: the same */
} utf8_rows[] = {
    {"", NULL},
    {"plain \n\t", NULL},
    {"\xc3\xa9 \xe2\x82\xac \xf0\x9f\x98\x80", NULL},
    {"a\xff"
     "b\x80",
     "a\xef\xbf\xbd"
     "b\xef\xbf\xbd"},
    {"\xc3", "\xef\xbf\xbd"},
    {"\xc0\xaf", "\xef\xbf\xbd\xef\xbf\xbd"},                 /* longer than it need be */
    {"\xe2\x82x", "\xef\xbf\xbdx"},                           /* cut off: one for what there is */
    {"\xe0\x80\x80", "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd"}, /* longer than it need be */
    {"\xed\xa0\x80", "\xef\xbf\xbd"},                         /* a surrogate */
    {"\xf4\x90\x80", "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd"}, /* above Unicode */
    {"\xf0\x9f\x98", "\xef\xbf\xbd"},
};

/* What is no UTF-8 is replaced as Java does it, and the rest kept. */
TEST_EACH(utf8, bad_bytes_are_replaced_as_in_java, utf8_rows)
{
    struct heap *h = heap_new(true);
    struct bytes out;

    bytes_init(&out, h);
    utf8_add(&out, SLICE(row->bytes));
    CHECK(slice_eq(bytes_slice(&out), SLICE(row->text ? row->text : row->bytes)));
    CHECK_EQ(utf8_ok(SLICE(row->bytes)), !row->text);
    bytes_drop(&out);
    heap_drop(h);
}

/* Base64 is padded to fours. */
TEST(utf8, base64_pads)
{
    static const char *const rows[][2] = {
        {"", ""}, {"f", "Zg=="}, {"fo", "Zm8="}, {"foo", "Zm9v"}, {"\xff\xfe\xfd", "//79"}};
    struct heap *h = heap_new(true);

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct bytes out;
        bytes_init(&out, h);
        base64_add(&out, SLICE(rows[i][0]));
        CHECK(slice_eq(bytes_slice(&out), SLICE(rows[i][1])));
        bytes_drop(&out);
    }
    heap_drop(h);
}

/* In JSON, bytes that are no text come a second time, without loss. */
TEST(utf8, json_keeps_bytes_that_are_no_text)
{
    struct heap *h = heap_new(true);
    struct bytes out;
    struct json j = {.out = &out};

    bytes_init(&out, h);
    json_open(&j, NULL, '{');
    json_bytes(&j, "key", SLICE_NULL);
    json_bytes(&j, "value", SLICE("\xff"));
    json_bytes(&j, "more", slice_of("x\0y", 3));
    json_close(&j, '}');
    CHECK(slice_eq(
        bytes_slice(&out),
        SLICE("{\"key\":null,\"value\":\"\xef\xbf\xbd\",\"valueBase64\":\"/w==\",\"more\":\"x\\u0000y\"}")));
    bytes_drop(&out);
    heap_drop(h);
}
