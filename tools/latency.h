/* Latencies as kafka-producer-perf-test tells them: a running window, and percentiles of a sample.
 * Loop: any one thread. Memory: at most LATENCY_SAMPLES numbers. */
#pragma once
#include "base/mem.h"

enum { LATENCY_SAMPLES = 500000 };

struct latency_window {
    int64_t n, bytes, sum_us, max_us, start_us;
};
struct latency {
    struct heap *heap;
    int32_t *samples_us;
    int64_t n_samples, every; /* each every-th is kept */
    struct latency_window all, window;
};
void latency_init(struct latency *l, struct heap *h, int64_t expected, int64_t now_us);
void latency_drop(struct latency *l);
void latency_add(struct latency *l, int64_t us, int64_t bytes);
/* "%d records sent, … records/sec (… MB/sec), … ms avg latency, … ms max latency." and begins the next window. */
void latency_window_print(struct latency *l, int64_t now_us, struct bytes *out);
int64_t latency_percentile_us(struct latency *l, double part); /* after the last latency_add() */
