#!/usr/bin/python3
"""Two builds of weir beside each other: both run, their rows take turns, and the medians of the brokers' CPU are
printed. It shows differences of a few percent where single runs, an hour apart, differ by half.

    compare.py ROW,… TURNS NAME=PROGRAM NAME=PROGRAM

Rows: produce_1k produce_16k produce_100 consume_1k request_5 request_1 durable_1 durable_300. Each turn is 0.3 GB, 20,000
requests or 4,000 records. `make build/opt/bench_load` first."""
import glob
import os
import shutil
import statistics
import sys

import bench
from measure import Span

BYTES = 300_000_000
SIZES = {"produce_1k": 1024, "produce_16k": 1024, "produce_100": 100}
REQUEST = {"partitions": 1, "size": 1024, "acks": "all", "linger_ms": 0, "enable_idempotence": "true",
           "batch_num_messages": 1}


def start(name, program):
    class Build(bench.Weir):
        def command(self):
            return [program] + super().command()[1:]
    bench.SYSTEMS[name] = Build
    out = bench.Bench(name, 1, {})
    out.start("compare")
    return out


def free_pages(node):
    """What the turn before wrote leaves memory now, so that this one's pages are there already."""
    for path in glob.glob(os.path.join(glob.escape(node.node.data), "**", "turn*", "*.log"), recursive=True):
        os.truncate(path, 0)


def produce(node, row, topic):
    node.create([topic], bench.PARTITIONS)
    free_pages(node)
    more = {"batch_size": 16384} if row == "produce_16k" else {}
    with Span(node.meter) as span:
        out = node.load("produce", topic, partitions=bench.PARTITIONS, records=BYTES // SIZES[row], size=SIZES[row],
                        acks=1, linger_ms=5, **more)
    return {"s/GB": span.cpu * bench.GB / out["bytes"], "kernel threads s/GB": span.kernel * bench.GB / out["bytes"]}


def consume(node, row, topic):
    if not hasattr(node, "filled"):
        node.create(["filled"], bench.PARTITIONS)
        node.filled = BYTES // 1024
        node.load("produce", "filled", partitions=bench.PARTITIONS, records=node.filled, size=1024)
    with Span(node.meter, sync=False) as span:
        out = node.load("consume", "filled", partitions=bench.PARTITIONS, records=node.filled)
    return {"s/GB": span.cpu * bench.GB / out["bytes"]}


def request(node, row, topic):
    node.create([topic], 1)
    with Span(node.meter) as span:
        out = node.load("produce", topic, records=20000, max_in_flight_requests_per_connection=int(row[-1]), **REQUEST)
    return {"µs": span.cpu / out["acked"] * 1e6}


def durable(node, row, topic):
    partitions = int(row.split("_")[1])
    node.create([topic], partitions, {"log.durable": "true"})
    out = node.load("latency", topic, partitions=partitions, rate=1000, records=4000, size=1024, acks="all", linger_ms=0)
    return {"p50 ms": out["p50_ms"], "p99 ms": out["p99_ms"]}


KINDS = {"produce": produce, "consume": consume, "request": request, "durable": durable}


def compare(rows, turns, programs):
    nodes, figures = {}, {}
    try:
        for name, program in programs:
            nodes[name] = start(name, os.path.abspath(program))
        for row in rows:
            for turn in range(turns + 1): # the first one isn't counted
                for name in list(nodes)[::1 if turn % 2 else -1]:
                    got = KINDS[row.split("_")[0]](nodes[name], row, f"turn-{row}-{turn}")
                    for unit, value in got.items() if turn else ():
                        figures.setdefault((row, unit), {}).setdefault(name, []).append(value)
    finally:
        for node in nodes.values():
            node.stop()
        shutil.rmtree(bench.DATA, ignore_errors=True)
    return figures


def main():
    if len(sys.argv) != 5:
        sys.exit(__doc__)
    figures = compare(sys.argv[1].split(","), int(sys.argv[2]), [a.split("=", 1) for a in sys.argv[3:]])
    for (row, unit), of in figures.items():
        print(f"{row} {unit}: " + ", ".join(f"{name} {statistics.median(v):.3g} ({min(v):.3g}–{max(v):.3g})"
                                            for name, v in of.items()))


if __name__ == "__main__":
    bench.DATA = os.path.join(bench.ROOT, "build", f"compare-{os.getpid()}")
    main()
