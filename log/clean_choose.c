#include "log/clean_choose.h"
#include "base/check.h"

/* The first dirty offset. A checkpoint outside of the log says nothing: all of it may be dirty. */
static int64_t dirty_from(const struct clean_view *v)
{
    return v->checkpoint < v->log_start || v->checkpoint > v->log_end ? v->log_start : v->checkpoint;
}

static int64_t segment_end(const struct clean_view *v, uint32_t i)
{
    return i + 1 < v->n ? v->segments[i + 1].base : v->log_end;
}

/* The base of the first segment that must not be cleaned. */
static int64_t uncleanable(const struct clean_view *v, const struct log_config *c, int64_t from,
                           int64_t now_ms)
{
    for (uint32_t i = 0; i + 1 < v->n; i++) {
        const struct clean_segment *s = &v->segments[i];
        bool unstable = segment_end(v, i) > v->stable_end;
        bool young = c->min_compaction_lag_ms > 0 && segment_end(v, i) > from &&
                     s->largest_timestamp > now_ms - c->min_compaction_lag_ms;
        if (unstable || young)
            return s->base;
    }
    return v->segments[v->n - 1].base;
}

struct clean_range clean_range_of(const struct clean_view *v, const struct log_config *c, int64_t now_ms)
{
    ASSERT(v->n > 0);
    struct clean_range r = {.from = dirty_from(v)};
    bool overdue = false;

    r.upto = uncleanable(v, c, r.from, now_ms);
    if (r.upto < r.from)
        r.upto = r.from;
    for (uint32_t i = 0; i + 1 < v->n; i++) {
        const struct clean_segment *s = &v->segments[i];
        if (segment_end(v, i) <= r.from) {
            r.clean_bytes += s->bytes;
            continue;
        }
        if (s->base < r.upto)
            r.dirty_bytes += s->bytes;
        overdue |= s->first_timestamp > 0 && c->max_compaction_lag_ms < now_ms &&
                   s->first_timestamp < now_ms - c->max_compaction_lag_ms;
    }
    if (r.dirty_bytes > 0)
        r.ratio = (double)r.dirty_bytes / (double)(r.clean_bytes + r.dirty_bytes);
    r.due = r.dirty_bytes > 0 && (overdue || r.ratio > c->min_cleanable_dirty_ratio);
    return r;
}

int clean_choose(const struct clean_range *v, int n)
{
    int best = -1;

    for (int i = 0; i < n; i++)
        if (v[i].due && (best < 0 || v[i].ratio > v[best].ratio))
            best = i;
    return best;
}

uint32_t clean_group(const struct clean_view *v, const struct log_config *c, uint32_t first, int64_t upto)
{
    int64_t bytes = v->segments[first].bytes, index_bytes = v->segments[first].index_bytes;
    uint32_t n = 1;

    ASSERT(first < v->n && v->segments[first].base < upto);
    for (uint32_t i = first + 1; i < v->n && v->segments[i].base < upto; i++, n++) {
        bytes += v->segments[i].bytes;
        index_bytes += v->segments[i].index_bytes;
        if (bytes > c->segment_bytes || index_bytes > c->segment_index_bytes ||
            segment_end(v, i) - 1 - v->segments[first].base > INT32_MAX)
            break;
    }
    return n;
}
