#!/usr/bin/env python3
"""The longest callback of each loop, request by request, on one node with many partitions.

    tests/bench/stalls.py [--topics 1000] [--partitions 100] [--tries 3]

The loops tell each callback of more than 2 ms themselves (trace row loop_stalled). A request is made so many times and the
least of its longest callbacks counts: what the machine's other work held up shows in some of the tries only. DISK loops
other than the control loop may wait for a disk, so they are left out."""
import argparse
import os
import re
import shutil
import struct
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "real"))
from node import ROOT, Node  # noqa: E402
from wire import METADATA, Raw, request, text, well  # noqa: E402

CREATE, DELETE, DESCRIBE, LOG_DIRS, GROW, ALTER, LIST, PAGES = 19, 20, 32, 35, 37, 44, 74, 75
STALL = re.compile(r"loop (\S+): one callback took (\d+) us \(0x([0-9a-f]+)\)")


def array(items):
    return struct.pack(">i", len(items)) + b"".join(items)


def compact(items):
    n, out = len(items) + 1, b""
    while n > 127:
        out += bytes([n & 127 | 128])
        n >>= 7
    return out + bytes([n]) + b"".join(items)


def create(names, partitions, configs=()):
    settings = array([text(k) + text(v) for k, v in configs])
    topics = [text(n) + struct.pack(">ih", partitions, 1) + array([]) + settings for n in names]
    return request(CREATE, 4, array(topics) + struct.pack(">ib", 60000, 0))


def create_told(names, partitions):
    """Version 7, whose answer tells every setting."""
    short = [bytes([len(n) + 1]) + n.encode() for n in names]
    topics = [n + struct.pack(">ih", partitions, 1) + b"\1\1\0" for n in short]
    return request(CREATE, 7, compact(topics) + struct.pack(">ib", 60000, 0) + b"\0", flexible=True)


def delete(names):
    return request(DELETE, 3, array([text(n) for n in names]) + struct.pack(">i", 60000))


def grow(name, count):
    return request(GROW, 1, array([text(name) + struct.pack(">ii", count, -1)]) + struct.pack(">ib", 60000, 0))


def metadata(names=None):
    topics = struct.pack(">i", -1) if names is None else array([text(n) for n in names])
    return request(METADATA, 8, topics + b"\0\0\0")


def describe(names):
    return request(DESCRIBE, 3, array([b"\2" + text(n) + struct.pack(">i", -1) for n in names]) + b"\1\1")


def pages(limit):
    return request(PAGES, 0, b"\1" + struct.pack(">i", limit) + b"\xff\0", flexible=True)


def log_dirs():
    return request(LOG_DIRS, 1, struct.pack(">i", -1))


def listing():
    return request(LIST, 1, b"\1\0", flexible=True)


def alter(kind, name, key, value):
    return request(ALTER, 0, array([bytes([kind]) + text(name) + array([text(key) + b"\0" + text(value)])]) + b"\0")


class Stalls:
    def __init__(self, node):
        self.node, self.at, self.names = node, 0, {}
        out = subprocess.run(["nm", node.binary], capture_output=True, text=True, check=True).stdout
        symbols = [line.split() for line in out.splitlines()]
        base = next(int(s[0], 16) for s in symbols if s[-1] == "__executable_start")
        self.names = {int(s[0], 16) - base: s[-1] for s in symbols if len(s) == 3 and s[1] in "tT"}

    def new(self):
        """Those since the last call: loop to (microseconds, what)."""
        time.sleep(0.3)
        said, longest = self.node.said(), {}
        for loop, us, what in STALL.findall(said[self.at:]):
            loop = "net" if loop.startswith("net") else loop
            us, name = int(us), self.names.get(int(what, 16), what)
            if loop in ("net", "control") and us > longest.get(loop, (0, ""))[0]:
                longest[loop] = (us, name)
        self.at = len(said)
        return longest


def show(name, tries, answer):
    cells = []
    for loop in ("net", "control"):
        worst = min((t.get(loop, (0, "")) for t in tries), key=lambda c: c[0])
        cells.append(f"{worst[0] / 1000:9.1f} ms {worst[1]:<18}" if worst[0] else f"{'≤ 2':>9} ms {'':<18}")
    print(f"{name:<44} {cells[0]} {cells[1]} {answer / 1e6:8.2f} MB", flush=True)


def measure(stalls, name, asks, tries):
    """asks: what makes the request for try number i; it runs on a connection of its own."""
    longest, size = [], 0
    stalls.new()
    for i in range(tries):
        with Raw(stalls.node, 60) as c:
            size = sum(len(c.ask(a)) for a in asks(i))
        longest.append(stalls.new())
    show(name, longest, size)


def begin(node):
    with Raw(node, 60) as c:
        assert c.ask(alter(8, "1", "server", "DEBUG"))[8:14] == b"\0\0\0\1\0\0"


def rows(stalls, o):
    names = [f"topic-{i}" for i in range(o.topics)]
    each = max(1, 10000 // o.partitions)
    every = [names[i:i + each] for i in range(0, len(names), each)]
    measure(stalls, f"create {o.topics * o.partitions} partitions", lambda i: [create(n, o.partitions) for n in every], 1)
    measure(stalls, "Metadata, all topics", lambda i: [metadata()], o.tries)
    measure(stalls, "Metadata, all topics by name", lambda i: [metadata(names)], o.tries)
    measure(stalls, "DescribeTopicPartitions, 2,000", lambda i: [pages(2000)], o.tries)
    measure(stalls, "ListConfigResources", lambda i: [listing()], o.tries)
    measure(stalls, "DescribeConfigs of 1,000 topics", lambda i: [describe(names[:1000])], o.tries)
    measure(stalls, "DescribeLogDirs, nothing touched", lambda i: [log_dirs()], o.tries)
    measure(stalls, "create one topic of 10,000", lambda i: [create([f"big-{i}"], 10000)], o.tries)
    measure(stalls, "create 1,000 topics, settings told",
            lambda i: [create_told([f"told-{i}-{j}" for j in range(1000)], 1)], o.tries)
    measure(stalls, "grow a topic by 9,000",
            lambda i: [create([f"grown-{i}"], 1), grow(f"grown-{i}", 9001)], o.tries)
    measure(stalls, "delete 1,000 topics", lambda i: [delete([f"told-{i}-{j}" for j in range(1000)])], o.tries)
    measure(stalls, "delete a topic of 10,000", lambda i: [delete([f"big-{i}"])], o.tries)
    measure(stalls, "a setting of one topic", lambda i: [alter(2, names[0], "retention.ms", str(i + 1))], o.tries)


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--topics", type=int, default=1000)
    p.add_argument("--partitions", type=int, default=100)
    p.add_argument("--tries", type=int, default=3)
    o = p.parse_args()
    directory = tempfile.mkdtemp(prefix="weir-stalls-")
    try:
        with Node(directory, settings=["auto.create.topics.enable=false"]) as node:
            begin(node)
            print(f"{'longest callback':<44} {'NET loops':>31} {'control loop':>31} {'answer':>11}")
            rows(Stalls(node), o)
            node.kill()
            node.start()
            well(node)
    finally:
        shutil.rmtree(directory, ignore_errors=True)


if __name__ == "__main__":
    main()
