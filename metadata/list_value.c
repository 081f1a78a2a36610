#include "metadata/list_value.h"
#include "base/map.h"

/* The next element of a comma-separated text that is left; `rest` turns null behind the last. */
static struct slice next_of(struct slice *rest)
{
    uint8_t *end = rest->len ? memchr(rest->p, ',', rest->len) : NULL;
    struct slice one = slice_of(rest->p, end ? (size_t)(end - rest->p) : rest->len);

    *rest = end ? slice_of(end + 1, rest->len - one.len - 1) : SLICE_NULL;
    return one;
}

/* Without empty elements at the end. A text that is nothing but one of them is that one. */
static struct slice without_tail(struct slice s)
{
    size_t len = s.len;

    while (len > 0 && s.p[len - 1] == ',')
        len--;
    return len == 0 && s.len > 0 ? SLICE_NULL : slice_of(s.p, len);
}

static void put(struct slice *out, struct slice one)
{
    if (out->len)
        out->p[out->len++] = ',';
    if (one.len)
        memcpy(out->p + out->len, one.p, one.len);
    out->len += one.len;
}

struct slice list_value_change(struct arena *a, uint64_t seed, struct slice list, struct slice items,
                               bool add)
{
    struct slice out = {.p = arena_alloc(a, list.len + items.len + 2)};
    struct map known; /* in the list already; or to be taken out of it */

    items = without_tail(items);
    map_init(&known, a->heap, seed);
    for (struct slice rest = add ? SLICE_NULL : items; rest.p;)
        (void)map_put(&known, next_of(&rest), a);
    for (struct slice rest = list; rest.p;) {
        struct slice one = next_of(&rest);

        if (one.len == 0 || (!add && map_get(&known, one)))
            continue;
        put(&out, one);
        if (add)
            (void)map_put(&known, one, a);
    }
    for (struct slice rest = add ? items : SLICE_NULL; rest.p;) {
        struct slice one = next_of(&rest);

        if (!map_put(&known, one, a))
            put(&out, one);
    }
    map_drop(&known);
    return out;
}
