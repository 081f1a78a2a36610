"""Disks that fill and disks that fail, on filesystems of the kernel."""
import os
import signal
import time

from confluent_kafka import TopicPartition
from confluent_kafka.admin import AdminClient

import kill
import wire
from node import Node
from room import Image, Tmpfs
from wire import Raw

RETRIABLE = {5, 6, 7, 56}  # LEADER_NOT_AVAILABLE, NOT_LEADER_OR_FOLLOWER, REQUEST_TIMED_OUT, KAFKA_STORAGE_ERROR
STORAGE = 56


def fill(node, topic, limit, partition=0):
    """Produces until it is refused: the values that were acknowledged, and the error code."""
    acked = []
    with Raw(node, 20) as c:
        while len(acked) < limit:
            value = b"%d:" % len(acked) + os.urandom(60000)
            code, offset = wire.produce_error(c.ask(wire.produce(topic, wire.batch(wire.record(0, value)), partition=partition)))
            if code:
                return acked, code
            assert offset == len(acked), f"{topic}: offset {offset} for record {len(acked)}"
            acked.append(value)
    return acked, 0


def put(node, topic, value, partition=0):
    with Raw(node, 20) as c:
        return wire.produce_error(c.ask(wire.produce(topic, wire.batch(wire.record(0, value)), partition=partition)))


def values(node, topic, partition=0, seconds=20):
    consumer, out = kill.reader(node, "all"), []
    consumer.assign([TopicPartition(topic, partition, 0)])
    limit = time.monotonic() + seconds
    try:
        while time.monotonic() < limit:
            for m in consumer.consume(100, 0.2):
                if not m.error():
                    out.append(m.value())
                elif m.error().code() == -191:  # the end
                    return out
    finally:
        consumer.close()
    raise AssertionError(f"{topic}-{partition}: not read in {seconds} s, {len(out)} records came")


def full(directory):
    """A full disk refuses with a retriable error, serves readers, and resumes by itself; a restart on it loses nothing."""
    with Tmpfs(os.path.join(directory, "small"), 12) as small, Node(directory, settings=[
            f"log.dirs={small.path}/data", f"metadata.log.dir={directory}/data", "log.segment.bytes=1048576"]) as node:
        kill.create(node, {"full": {}})
        acked, code = fill(node, "full", 1000)
        assert code in RETRIABLE, f"after {len(acked)} records: error {code}"
        assert values(node, "full") == acked, "what was acknowledged isn't what consumers read on the full disk"
        slowest = max(wire.well(node) for _ in range(5))
        assert slowest < 1, f"an answer took {slowest:.1f} s"
        put(node, "full", b"again")
        small.grow(40)
        limit = time.monotonic() + 15
        while put(node, "full", b"room")[0] != 0:
            assert time.monotonic() < limit, f"no produce 15 s after there was room: {node.said()[-1500:]}"
            time.sleep(0.2)
        waited = 15 - (limit - time.monotonic())
        assert values(node, "full")[:len(acked)] == acked
        more, code = fill_more(node, "full")
        assert code in RETRIABLE, f"error {code}"
        before = values(node, "full")
        node.kill()
        node.start()
        assert values(node, "full") == before, "kill -9 on a full disk: not the same records"
        wire.well(node)
        node.stop()
        small.grow(80)
        node.start()
        assert values(node, "full") == before, "a stop on a full disk: not the same records"
        assert put(node, "full", b"room")[0] == 0
        return f"full after {len(acked)} and {more} records, resumed after {waited:.1f} s"


def fill_more(node, topic):
    n = 0
    while n < 1000:
        code, _ = put(node, topic, os.urandom(60000))
        if code:
            return n, code
        n += 1
    return n, 0


def full_all(directory):
    """The only disk is full, the metadata log is on it too: readers and metadata are served, and it resumes."""
    with Tmpfs(os.path.join(directory, "data"), 12) as small, Node(directory, settings=["log.segment.bytes=1048576"]) as node:
        kill.create(node, {"full": {}})
        acked, code = fill(node, "full", 1000)
        assert code in RETRIABLE, f"after {len(acked)} records: error {code}"
        time.sleep(3)
        wire.well(node)
        assert values(node, "full") == acked
        small.grow(40)
        limit = time.monotonic() + 20
        while put(node, "full", b"room")[0] != 0:
            assert time.monotonic() < limit, f"no produce 20 s after there was room: {node.said()[-1500:]}"
            time.sleep(0.2)
        kill.create(node, {"afterwards": {}})
        assert values(node, "full")[:len(acked)] == acked
        node.stop()
        node.start()
        assert values(node, "full")[:len(acked)] == acked
        return f"full after {len(acked)} records"


def fill_up(path):
    """Somebody else's file takes all that is left."""
    with open(path, "wb", buffering=0) as f:
        try:
            while True:
                f.write(bytes(4096))
        except OSError:
            pass


def full_start(directory):
    """Records and then somebody else fill the only disk to its last byte: a start works, deletion makes room, and it resumes."""
    with Tmpfs(os.path.join(directory, "data"), 16) as small, Node(directory, settings=["log.segment.bytes=1048576"]) as node:
        kill.create(node, {"big": {}, "small": {}})
        acked, code = fill(node, "big", 1000)
        assert code in RETRIABLE, f"after {len(acked)} records: error {code}"
        said = []
        for end in (node.kill, node.stop):
            end()
            if not said:
                fill_up(os.path.join(small.path, "others"))
            began = time.monotonic()
            node.start()
            said.append(f"{(time.monotonic() - began) * 1000:.0f} ms")
            assert ("reserve" in node.said()) == (len(said) == 1) and "has no room" in node.said(), node.said()
            assert values(node, "big") == acked
            wire.well(node)
            assert put(node, "small", b"x")[0] in RETRIABLE
        admin = AdminClient({"bootstrap.servers": node.bootstrap})
        admin.delete_topics(["big"], operation_timeout=5)["big"].result(10)
        began = time.monotonic()
        while put(node, "small", b"room")[0] != 0:
            assert time.monotonic() - began < 10, f"no produce 10 s after the deletion: {node.said()[-1500:]}"
            time.sleep(0.1)
        resumed = time.monotonic() - began
        kill.create(node, {"afterwards": {}})
        assert os.path.getsize(f"{small.path}/weir-reserve") == 1 << 20
        node.stop()
        return f"starts on no room: {', '.join(said)}; records again {resumed:.1f} s after the deletion"


def spread(node, dirs, topic, n):
    """A topic over the directories: partition -> the directory it went to."""
    kill.create(node, {topic: {}}, n)
    for p in range(n):
        assert put(node, topic, b"first of %d" % p, p)[0] == 0
    return {p: d for p in range(n) for d in dirs if os.path.exists(f"{d}/{topic}-{p}")}


def one_fails(directory, bad, fail, mend=None, settings=()):
    """Of two log directories one fails: its partitions answer KAFKA_STORAGE_ERROR, the others go on; a restart too."""
    dirs = [os.path.join(directory, "good"), bad]
    with Node(directory, settings=[f"log.dirs={','.join(dirs)}", f"metadata.log.dir={directory}/meta", *settings]) as node:
        where = spread(node, dirs, "spread", 8)
        good, lost = ([p for p in where if where[p] == d] for d in dirs)
        assert good and lost, f"all partitions went to one directory: {where}"
        fail()
        limit = time.monotonic() + 20
        for p in lost:
            while put(node, "spread", os.urandom(50000), p)[0] == 0:
                assert time.monotonic() < limit, "produce to a dead directory goes on"
            code = put(node, "spread", b"x", p)[0]
            assert code == STORAGE, f"partition {p} of the failed directory: error {code}"
        if mend:
            mend()
            for p in lost:
                assert put(node, "spread", b"well?", p)[0] == STORAGE, f"partition {p} is served again by itself"
        for p in good:
            code, _ = put(node, "spread", b"second", p)
            assert code == 0, f"partition {p} of the good directory: error {code}"
            assert values(node, "spread", p) == [b"first of %d" % p, b"second"]
        wire.well(node)
        said = [line for line in node.said().splitlines() if "offline" in line]
        assert said, f"the node says nothing of it: {node.said()[-1000:]}"
        assert len(said) == 1, f"the node says it {len(said)} times: {said[:4]}"
        node.stop()
        node.start()
        for p in good:
            assert put(node, "spread", b"third", p)[0] == 0, "after a restart the good directory isn't served"
        return f"{len(lost)} of {len(where)} partitions went; said: {said[0][25:]}"


def unsynced(directory):
    """A disk that takes writes and fails their sync, because what is below it is full: its directory goes offline, and stays
    so when the disk is well again, because what was written may be gone. The next start serves what the disk has."""
    with Tmpfs(os.path.join(directory, "below"), 40) as below, \
            Image(os.path.join(below.path, "disk"), 64) as disk:
        bad = os.path.join(disk.path, "data")
        others = os.path.join(below.path, "others")
        return one_fails(directory, bad, lambda: fill_up(others), lambda: os.remove(others), ["log.durable=true"])


def dying(directory):
    with Image(os.path.join(directory, "dying"), 64) as disk:
        return one_fails(directory, os.path.join(disk.path, "data"), disk.die)


def swapped(directory):
    """The directory is gone from under the node: renamed, nothing in its place."""
    bad = os.path.join(directory, "bad")
    return one_fails(directory, bad, lambda: os.rename(bad, bad + ".moved"))


def other_boot(directory):
    """kill -9, and then another kernel: everything is scanned, nothing is lost, and the node says why."""
    with Node(directory) as node:
        kill.create(node, {"boot": {"log.durable": "true"}})
        acked, code = fill(node, "boot", 60)
        assert code == 0 and put(node, "boot", b"of one", 1)[0] == 0
        for clean in (False, True):
            node.stop() if clean else node.kill()
            with open(f"{node.data}/weir-boot-id", "w") as f:
                f.write("0" * 32)
            node.start()
            assert values(node, "boot") == acked and values(node, "boot", 1) == [b"of one"]
            limit = time.monotonic() + 10
            while not clean and "every partition has been scanned" not in node.said():
                assert time.monotonic() < limit, f"no end of the scan: {node.said()}"
                time.sleep(0.05)
            assert ("power cut" in node.said()) != clean, node.said()
            assert (scanned(node) == []) == clean, node.said()
        node.stop()


def scanned(node):
    """The partitions that this start looked through; the metadata log is read at every start."""
    return [line for line in node.said().splitlines() if "scanned" in line and "__cluster_metadata" not in line]


def signals(directory, build="opt", within=3):
    """SIGTERM and SIGINT under load: a stop within 3 s, the clean marker, a start that scans nothing."""
    took = []
    with Node(directory, build) as node:
        assert "power" not in node.said(), f"of a fresh directory: {node.said()}"
        kill.create(node, {"signal": {}, "durable": {"log.durable": "true"}})
        loads = [kill.Load(node, f"{t}-{i}", t, i == 0) for t in ("signal", "durable") for i in range(2)]
        for t in loads:
            t.start()
        for how in (signal.SIGTERM, signal.SIGINT, signal.SIGTERM):
            time.sleep(1.5)
            took.append(node.stop(how))
            assert os.path.exists(f"{node.data}/.kafka_cleanshutdown"), "no .kafka_cleanshutdown"
            assert "stopped" in node.said().splitlines()[-1], node.said()[-500:]
            node.start()
            assert scanned(node) == [], f"scanned after a clean stop: {scanned(node)}"
            assert not os.path.exists(f"{node.data}/.kafka_cleanshutdown"), ".kafka_cleanshutdown of a node that runs"
        for load in loads:
            load.ended.set()
        for load in loads:
            load.join(60)
            assert not load.failed and len(load.acked) == load.sent, f"{load.name_}: {load.failed[:2]}"
        for t in ("signal", "durable"):
            kill.judge([l for l in loads if l.topic == t], kill.read_all(node, t), True)
        assert scanned(node) == [], f"scanned after a clean stop: {scanned(node)}"
        assert max(took) < within, f"a stop took {max(took):.1f} s"
        node.stop()
        assert "Sanitizer" not in node.said_ever(), node.said_ever()[-4000:]
    return "stops took " + ", ".join(f"{t * 1000:.0f} ms" for t in took)
