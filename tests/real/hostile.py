"""Clients that mean harm, or mean nothing. Whatever they send, the node lives, stays small and serves the others."""
import os
import random
import re
import resource
import struct
import subprocess
import threading
import time

import kill
import wire
from node import ROOT
from wire import Raw

# The first line of a schema: `api Produce key=0 versions=3-13 flexible=9+ …`.
SCHEMA = re.compile(r"^api (?P<api>\w+) key=(?P<key>\w+) versions=\S+ flexible=(?P<flex>\w+)", re.M)
KEYS = [*range(0, 93), 0x7000, 0x7001, 0x7fff, -1, -32768, 32767]


def seed():
    n = int(os.environ.get("SEED", time.time_ns() % 1000000))
    return n, random.Random(n)


def throw(node, data, seconds=0.02):
    """One connection that sends and looks for an answer only briefly."""
    try:
        with Raw(node) as c:
            c.send(data)
            c.drain(seconds)
    except OSError:
        pass


# ---- bytes ----

def frames(node):
    """Random, truncated and mislabelled frames, unknown APIs and versions."""
    number, r = seed()
    for length in (0, -1, 1, 4, 9, 10, 13, 2**31 - 1, -2**31, 104857600, 104857601):
        throw(node, struct.pack(">i", length))
        throw(node, struct.pack(">i", length) + r.randbytes(40))
    for _ in range(150):
        body = r.randbytes(r.choice((8, 10, 14, 30, 200, 5000)))
        throw(node, struct.pack(">i", len(body)) + body, 0.005)
        throw(node, r.randbytes(r.randrange(1, 300)), 0.005)
    for key in KEYS:
        for version in (-1, 0, 1, 99, 32767):
            throw(node, wire.request(key, version, r.randbytes(r.randrange(0, 60)), flexible=r.random() < 0.5), 0.002)
    for good in (wire.produce("t", wire.batch(wire.record(0, b"x"))), wire.fetch("t"),
                 wire.request(3, 1, struct.pack(">i", 0))):
        for cut in range(0, len(good), 3):
            throw(node, good[:cut], 0.001)
            throw(node, struct.pack(">i", max(cut - 4, 0)) + good[4:cut], 0.001)
    wire.well(node)
    return f"seed {number}"


def schemas():
    """A request's name -> key, first flexible version."""
    out, folder = {}, os.path.join(ROOT, "proto", "schema")
    for file in os.listdir(folder):
        with open(os.path.join(folder, file)) as f:
            head = f.read()
        for m in SCHEMA.finditer(head):
            out[m.group("api") + "Request"] = int(m.group("key"), 0), m.group("flex")
    return out


def made_requests(number, r):
    """Well-formed requests with random contents, of every API in every version, as they are and with a few bytes changed."""
    made = subprocess.run([os.path.join(ROOT, "build", "asan", "wire_gen"), "make", str(number), "2"],
                          stdout=subprocess.PIPE, text=True, check=True).stdout
    known = schemas()
    for line in made.splitlines():
        name, version, data, _ = line.split("\t", 3)
        if name not in known:
            continue
        key, flex = known[name]
        data, flexible = bytes.fromhex(data), flex.isdigit() and int(version) >= int(flex)
        both = bytearray(data)
        for _ in range(r.randrange(1, 4)):
            if both:
                both[r.randrange(len(both))] = r.choice((0, 1, 127, 128, 255, r.randrange(256)))
        yield (wire.request(key, int(version), data, flexible=flexible) +
               wire.request(key, int(version), bytes(both), 2, flexible))


def bodies(node):
    """Such requests, one connection for two."""
    number, r = seed()
    sent = 0
    for frames_of_two in made_requests(number, r):
        throw(node, frames_of_two, 0.004)
        sent += 2
    assert sent > 500, f"only {sent} requests were made"
    wire.well(node)
    return f"{sent} requests, seed {number}"


# ---- batches ----

def ask(node, data):
    try:
        with Raw(node, 60) as c:
            c.ask(data)
    except OSError:
        pass


def refused(node, topic, data, what):
    """Not stored, and answered or closed; the node says so with an error code."""
    try:
        with Raw(node, 30) as c:
            code, offset = wire.produce_error(c.ask(wire.produce(topic, data)))
            assert code != 0, f"{what}: was stored at {offset}"
    except ConnectionError:
        pass


def batches(node):
    """Produce requests that lie about what they carry, in each codec."""
    number, r = seed()
    kill.create(node, {"lies": {}, "bent": {}})
    one = wire.record(0, b"value")
    two = one + wire.record(1, b"another")
    lies = {
        "a wrong CRC": wire.batch(one, crc=1), "too many counted": wire.batch(one, count=2),
        "too few counted": wire.batch(two, count=1), "2^31-1 counted": wire.batch(one, count=2**31 - 1),
        "-1 counted": wire.batch(one, count=-1), "none": wire.batch(b"", count=0, last=-1),
        "a last offset of its own": wire.batch(one, last=7), "magic 3": wire.batch(one, magic=3),
        "too long": wire.batch(one, length=2**31 - 1), "too short": wire.batch(one, length=10),
        "length -1": wire.batch(one, length=-1), "nothing": b"", "half a head": wire.batch(one)[:30],
        "half a record": wire.batch(one[:-3]), "a record of 2^31": wire.batch(wire.varint(2**31 - 1) + one[1:]),
        "two batches": wire.batch(one) + wire.batch(one), "codec 5": wire.batch(one, codec=5),
        "codec 7": wire.batch(one, codec=7), "a control batch": wire.batch(one, codec=0x20),
        "something behind": wire.batch(one + b"xyz"),
    }
    for what, data in lies.items():
        refused(node, "lies", data, what)
    for codec in (1, 2, 3, 4):
        small = wire.squeeze(codec, two)
        with Raw(node) as c:
            assert wire.produce_error(c.ask(wire.produce("lies", wire.batch(small, codec, 2))))[0] == 0, f"codec {codec}"
        refused(node, "lies", wire.batch(r.randbytes(200), codec), f"codec {codec}: garbage")
        refused(node, "lies", wire.batch(small[:-4], codec, 2), f"codec {codec}: cut")
        refused(node, "lies", wire.batch(small, codec, 3), f"codec {codec}: miscounted")
        refused(node, "lies", wire.batch(b"", codec), f"codec {codec}: empty")
        for _ in range(30):
            bent = bytearray(small)
            bent[r.randrange(len(bent))] ^= 1 << r.randrange(8)
            throw(node, wire.produce("bent", wire.batch(bytes(bent), codec, 2)), 0.004)
    whole = wire.produce("lies", wire.batch(two, count=2))
    read = wire.fetch("lies")
    for _ in range(300):
        bent = bytearray(r.choice((whole, read)))
        for _ in range(r.randrange(1, 4)):
            bent[r.randrange(4, len(bent))] = r.choice((0, 1, 127, 128, 255))
        throw(node, bytes(bent), 0.003)
    wire.well(node)
    readable(node, "lies")
    return f"{len(lies)} lies, seed {number}"


def readable(node, topic):
    """Whatever was stored can be read with its CRCs checked."""
    done = subprocess.run(["kcat", "-b", node.bootstrap, "-C", "-t", topic, "-o", "beginning", "-e", "-q",
                           "-X", "check.crcs=true"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=30)
    assert done.returncode == 0, f"{topic} can't be read: {done.stderr.decode()[-500:]}"


def bombs(node):
    """A small batch that unfolds into a large one costs no memory, and little time of the others."""
    kill.create(node, {"bombs": {}, "refold": {"compression.type": "lz4"}})
    out = []
    for codec, name, size in ((1, "gzip", 300 << 20), (2, "snappy", 15 << 20), (3, "lz4", 200 << 20), (4, "zstd", 300 << 20)):
        data = wire.batch(wire.squeeze(codec, wire.record(0, bytes(size))), codec)
        assert len(data) < 1 << 20, f"{name}: {len(data)} bytes is no bomb"
        before, slowest, most = node.rss(), 0, 0
        for topic in ("bombs", "refold"):
            sent = [threading.Thread(target=ask, args=(node, wire.produce(topic, data))) for _ in range(3)]
            for t in sent:
                t.start()
            while any(t.is_alive() for t in sent):
                slowest = max(slowest, wire.well(node, 20))
                time.sleep(0.05)
                most = max(most, node.rss() - before)
        assert most < 500 << 20, f"{name}: {most >> 20} MB more"
        assert slowest < 10, f"{name}: another client waited {slowest:.1f} s"
        out.append(f"{name} {len(data) >> 10} KB: +{most >> 20} MB, others waited {slowest * 1000:.0f} ms")
    return "; ".join(out)


# ---- connections ----

def slow(node):
    """Half-open connections and a slowloris hold up nobody."""
    held = []
    try:
        for _ in range(200):
            c = Raw(node)
            c.send(b"\0\0\0"[:random.randrange(4)])
            held.append(c)
        slowest = 0
        for _ in range(12):
            c = Raw(node)
            c.send(struct.pack(">ihh", 100 << 20, 0, 7))
            held.append(c)
        for _ in range(20):
            for c in held[-12:]:
                try:
                    c.send(b"x")
                except OSError:
                    pass
            slowest = max(slowest, wire.well(node, 30))
            time.sleep(0.1)
        began = time.monotonic()
        with Raw(node, 60) as c:
            c.ask(wire.produce("nowhere", bytes(200000)))
        large = time.monotonic() - began
        assert slowest < 1, f"an answer took {slowest:.1f} s"
        return f"slowest answer {slowest * 1000:.0f} ms, a large request's {large:.1f} s, {node.rss() >> 20} MB"
    finally:
        for c in held:
            c.close()


def deaf(node):
    """Clients that ask for a lot and never read hold neither memory nor descriptors, nor the others."""
    kill.create(node, {"deaf": {}})
    with Raw(node) as c:
        for _ in range(40):
            data = wire.batch(wire.record(0, os.urandom(500000)))
            assert wire.produce_error(c.ask(wire.produce("deaf", data)))[0] == 0
    before, held = node.rss(), []
    try:
        for _ in range(60):
            c = Raw(node)
            c.sock.setblocking(False)
            try:
                for _ in range(200):
                    c.sock.send(wire.fetch("deaf", 0, 50 << 20))
            except OSError:
                pass
            held.append(c)
        slowest = max(wire.well(node) for _ in range(10))
        grown = node.rss() - before
    finally:
        for c in held:
            c.close()
    assert grown < 100 << 20, f"{grown >> 20} MB for 60 clients that don't read"
    wire.well(node)
    return f"+{grown >> 20} MB, slowest answer {slowest * 1000:.0f} ms"


def idle(node, n=10000):
    """Ten thousand connections at rest cost little, and others don't notice them."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    n = min(n, hard - 500)
    before, held = node.rss(), []
    try:
        for _ in range(n):
            held.append(Raw(node))
        slowest = max(wire.well(node) for _ in range(20))
        each = (node.rss() - before) // n
        assert node.fds() >= n, f"only {node.fds()} descriptors"
        assert each < 4096, f"{each} bytes a connection"
        assert slowest < 0.5, f"an answer took {slowest * 1000:.0f} ms"
    finally:
        for c in held:
            c.close()
    limit = time.monotonic() + 10
    while node.fds() > 300 and time.monotonic() < limit:
        time.sleep(0.05)
    assert node.fds() <= 300, f"{node.fds()} descriptors are left"
    return f"{n} connections, {each} bytes each, slowest answer {slowest * 1000:.0f} ms"


def huge(node):
    """Many clients that send frames of the largest size at once share one budget, and each is answered."""
    before, most, ended = node.rss(), 0, []
    body = struct.pack(">hhi", -1, 1, 5000) + struct.pack(">i", 1) + wire.text("nowhere") + struct.pack(">iii", 1, 0, 60 << 20)
    frame = wire.request(wire.PRODUCE, 7, body + bytes(60 << 20))

    def send():
        with Raw(node, 60) as c:
            ended.append(wire.produce_error(c.ask(frame))[0])

    clients = [threading.Thread(target=send) for _ in range(24)]
    for t in clients:
        t.start()
    while any(t.is_alive() for t in clients):
        most = max(most, node.rss() - before)
        time.sleep(0.02)
    assert len(ended) == 24, f"only {len(ended)} of 24 were answered"
    assert most < 600 << 20, f"{most >> 20} MB for frames, the budget is 32 MB and one frame a loop"
    limit = time.monotonic() + 5
    while node.rss() - before > 100 << 20 and time.monotonic() < limit:
        time.sleep(0.1)
    return f"+{most >> 20} MB at most, +{(node.rss() - before) >> 20} MB afterwards"
