#include "tools/latency.h"
#include <stdlib.h>

void latency_init(struct latency *l, struct heap *h, int64_t expected, int64_t now_us)
{
    int64_t room = expected < LATENCY_SAMPLES ? expected : LATENCY_SAMPLES;

    *l = (struct latency){.heap = h, .every = room > 0 ? (expected + room - 1) / room : 1};
    l->samples_us = heap_alloc(h, ((size_t)(room > 0 ? room : 0) + 1) * sizeof(*l->samples_us));
    l->all.start_us = l->window.start_us = now_us;
}

void latency_drop(struct latency *l)
{
    heap_free(l->heap, l->samples_us);
}

static void window_add(struct latency_window *w, int64_t us, int64_t bytes)
{
    w->n++;
    w->bytes += bytes;
    w->sum_us += us;
    if (us > w->max_us)
        w->max_us = us;
}

void latency_add(struct latency *l, int64_t us, int64_t bytes)
{
    if (l->all.n % l->every == 0 && l->n_samples < LATENCY_SAMPLES)
        l->samples_us[l->n_samples++] = us > INT32_MAX ? INT32_MAX : (int32_t)us;
    window_add(&l->all, us, bytes);
    window_add(&l->window, us, bytes);
}

void latency_window_print(struct latency *l, int64_t now_us, struct bytes *out)
{
    const struct latency_window *w = &l->window;
    double seconds = (double)(now_us - w->start_us) / 1e6;

    bytes_printf(
        out, "%lld records sent, %.1f records/sec (%.2f MB/sec), %.1f ms avg latency, %.1f ms max latency.\n",
        (long long)w->n, (double)w->n / seconds, (double)w->bytes / seconds / (1 << 20),
        w->n ? (double)w->sum_us / (double)w->n / 1000 : 0.0, (double)w->max_us / 1000);
    l->window = (struct latency_window){.start_us = now_us};
}

static int order(const void *a, const void *b)
{
    int32_t x = *(const int32_t *)a, y = *(const int32_t *)b;

    return (x > y) - (x < y);
}

int64_t latency_percentile_us(struct latency *l, double part)
{
    if (l->n_samples == 0)
        return 0;
    qsort(l->samples_us, (size_t)l->n_samples, sizeof(*l->samples_us), order);
    int64_t at = (int64_t)(part * (double)l->n_samples);
    return l->samples_us[at < l->n_samples ? at : l->n_samples - 1];
}
