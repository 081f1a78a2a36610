"""What is printed: a row's name, its unit, what it is, its target."""

# (figure, unit, what, target)
ROWS = [
    ("produce_1k_all", "s/GB", "produce 1 KB, acks=1, linger 5 ms: CPU", "≤ 1/4 of Kafka, ≤ 2 × floor"),
    ("produce_1k_kthreads", "s/GB", "  of that, kernel threads", ""),
    ("produce_1k_mb_s", "MB/s", "  rate", ""),
    ("produce_16k_all", "s/GB", "produce 1 KB, batches of 16 KiB: CPU", ""),
    ("produce_100_all", "s/GB", "produce 100 B: CPU", "≤ 1/5 of Kafka"),
    ("produce_100_kthreads", "s/GB", "  of that, kernel threads", ""),
    ("produce_lz4_all", "s/GB", "produce 1 KB, lz4: CPU", ""),
    ("produce_zstd_all", "s/GB", "produce 1 KB, zstd: CPU", ""),
    ("consume_1k_all", "s/GB", "consume 1 KB, cached: CPU", "≤ 1/2 of Kafka, ≤ 1.3 × floor"),
    ("consume_1k_kthreads", "s/GB", "  of that, kernel threads", ""),
    ("consume_1k_mb_s", "MB/s", "  rate", ""),
    ("consume_lz4_all", "s/GB", "consume lz4: CPU", ""),
    ("consume_zstd_all", "s/GB", "consume zstd: CPU", ""),
    ("request_5_us", "µs", "1 KB a request, idempotent, acks=all, 5 in flight: CPU", "≤ 20 µs"),
    ("request_5_all_us", "µs", "  with kernel threads", ""),
    ("request_1_us", "µs", "the same, one in flight: CPU", "≤ 35 µs"),
    ("request_1_all_us", "µs", "  with kernel threads", ""),
    ("latency_p50_ms", "ms", "produce to ack, 1,000/s, acks=all: p50", ""),
    ("latency_p99_ms", "ms", "  p99", ""),
    ("durable_1_p50_ms", "ms", "the same, fsync before ack, 1 partition: p50", "≤ 2 ms"),
    ("durable_1_p99_ms", "ms", "  p99", "≤ 10 ms"),
    ("durable_300_p50_ms", "ms", "the same, 300 partitions: p50", "≤ 2 ms"),
    ("durable_300_p99_ms", "ms", "  p99", "≤ 10 ms"),
    ("start_s", "s", "exec to first answered Metadata", "≤ 0.030 s"),
    ("start_first_s", "s", "  the very first time, directories formatted (not by Kafka)", ""),
    ("idle_mib", "MiB", "idle: resident memory", "≤ 10 MiB"),
    ("idle_cpu", "%", "idle: CPU", "≤ 0.2 %"),
    ("after_mib", "MiB", "memory after produce and consume", "≤ 64 MiB"),
    ("after_codecs_mib", "MiB", "memory after lz4 and zstd", ""),
    ("create_10k_s", "s", "create 10,000 partitions until led and quiet", "≤ 1 s"),
    ("create_10k_led_s", "s", "  until led", ""),
    ("memory_10k_mib", "MiB", "memory with 10,000 partitions", "≤ 40 MiB"),
    ("memory_10k_used_mib", "MiB", "  each with a record", ""),
    ("idle_10k_cpu", "%", "idle CPU with 10,000 partitions", "≤ 0.5 %"),
    ("idle_10k_used_cpu", "%", "  each with a record", ""),
    ("restart_10k_s", "s", "kill -9, restart to first acknowledged produce, 10,000", "≤ 1 s"),
    ("create_100k_s", "s", "create 100,000 partitions", "≤ 10 s"),
    ("memory_100k_mib", "MiB", "memory with 100,000 partitions", "≤ 400 MiB"),
    ("memory_100k_restarted_mib", "MiB", "  after a restart", ""),
    ("idle_100k_cpu", "%", "idle CPU with 100,000 partitions", ""),
    ("restart_100k_s", "s", "kill -9, restart to first acknowledged produce, 100,000", "≤ 5 s"),
    ("tool_ms", "ms", "`topics --list`: start to answer", "≤ 15 ms"),
    ("tool_cpu_ms", "ms", "  CPU", "≤ 5 ms"),
]


def number(value):
    return "–" if value is None else f"{value:.3g}" if value < 1000 else f"{value:,.0f}"


def ratio(value, beside):
    return "–" if not value or not beside else f"{value / beside:.2f}" if value / beside >= 0.01 else "< 0.01"


def table(figures, rows):
    """A table in Markdown of the rows that have figures."""
    out = ["| what | unit | Kafka | weir | floor | weir / Kafka | weir / floor | target |", "|---|---|---|---|---|---|---|---|"]
    for name, unit, what, target in rows:
        row = figures.get(name)
        if not row:
            continue
        kafka, weir, floor = (row.get(k) for k in ("kafka", "weir", "floor"))
        out.append(f"| {what} | {unit} | {number(kafka)} | {number(weir)} | {number(floor)} | {ratio(weir, kafka)} | "
                   f"{ratio(weir, floor)} | {target} |")
    return "\n".join(out)
