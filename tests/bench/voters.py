#!/usr/bin/python3
"""Three voters in three processes on one disk: what they hold, and how fast they commit.

    voters.py [--turns N] [--out FILE]

one        CreateTopics of one partition at the active controller, the next when the last was answered; in turns with `sync`, a
           quarter of a second each, because a disk that others use too is another one a moment later
sync       three processes append 512 bytes to a file of their own and wait for fdatasync, again and again: a commit needs that
           of two voters, at the same time
batched    CreateTopics of 1,000 partitions with three replicas each, eight under way: decided, agreed on, replayed by all three
idle       what the three processes hold in memory together"""
import argparse
import json
import multiprocessing
import os
import shutil
import socket
import statistics
import struct
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.join(HERE, "..", "real"), os.path.join(HERE, "..", "clients")]
import quorum  # noqa: E402  (tests/real)
import wire  # noqa: E402

DATA = os.path.join(HERE, "..", "..", "build", "bench", "quorum")
VOTERS, TURN_S, FLIGHT, TOPICS, PARTITIONS = 3, 0.25, 8, 100, 1000
SETTINGS = ("metadata.log.max.record.bytes.between.snapshots=2000000000",)


def sync_some(path, seconds, said):
    n, end = 0, time.monotonic() + seconds
    with open(path, "ab", buffering=0) as f:
        while time.monotonic() < end:
            f.write(b"\0" * 512)
            os.fdatasync(f.fileno())
            n += 1
    said.put(n / seconds)


def sync_rate():
    """Of each of three at once."""
    said = multiprocessing.Queue()
    all_of = [multiprocessing.Process(target=sync_some, args=(os.path.join(DATA, f"sync{i}"), TURN_S, said))
              for i in range(VOTERS)]
    for p in all_of:
        p.start()
    rates = [said.get() for _ in all_of]
    for p in all_of:
        p.join()
    return statistics.mean(rates)


def creation(topic, partitions, replicas):
    body = struct.pack(">i", 1) + wire.text(topic) + struct.pack(">ihiii?", partitions, replicas, 0, 0, 60000, False)
    return wire.request(quorum.CREATE_TOPICS, 4, body)


def answered(sock, topic):
    a = quorum.exactly(sock, struct.unpack(">i", quorum.exactly(sock, 4))[0])
    error = struct.unpack_from(">h", a, 4 + 8 + 2 + len(topic))[0]
    assert error == 0, f"{topic}: error {error}"


def commit_rate(sock, turn):
    n, began = 0, time.monotonic()
    while time.monotonic() < began + TURN_S:
        topic = f"one-{turn}-{n}"
        sock.sendall(creation(topic, 1, 1))
        answered(sock, topic)
        n += 1
    return n / (time.monotonic() - began)


def batched(leader, sock):
    """Records a second, from the first request to the last answer, as the log's end says."""
    first, began = quorum.describe(leader)[2], time.monotonic()
    for i in range(TOPICS + FLIGHT):
        if i >= FLIGHT:
            answered(sock, f"many-{i - FLIGHT}")
        if i < TOPICS:
            sock.sendall(creation(f"many-{i}", PARTITIONS, VOTERS))
    seconds = time.monotonic() - began
    return (quorum.describe(leader)[2] - first) / seconds


def resident_mib(voter):
    with open(f"/proc/{voter.process.pid}/status") as f:
        return next(int(line.split()[1]) / 1024 for line in f if line.startswith("VmRSS"))


def figures(turns):
    shutil.rmtree(DATA, ignore_errors=True)
    os.makedirs(DATA)
    with quorum.Quorum(DATA, settings={i: SETTINGS for i in range(1, VOTERS + 1)}) as q:
        for v in q.voters:
            quorum.ready(v)
        time.sleep(2)
        out = {"quorum_idle_mib": sum(resident_mib(v) for v in q.voters)}
        leader = q.leader()
        with socket.create_connection(("127.0.0.1", leader.controller), timeout=60) as sock:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            commit_rate(sock, "warm")
            pairs = [(sync_rate(), commit_rate(sock, n)) for n in range(turns)]
            out["quorum_sync_per_s"] = statistics.median(s for s, _ in pairs)
            out["quorum_commits_per_s"] = statistics.median(c for _, c in pairs)
            out["quorum_commit_share"] = statistics.median(c / s for s, c in pairs)
            out["quorum_records_per_s"] = batched(leader, sock)
        q.stop()
    shutil.rmtree(DATA, ignore_errors=True)
    return out


def main():
    parse = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parse.add_argument("--turns", type=int, default=12)
    parse.add_argument("--out", help="the figures as JSON")
    args = parse.parse_args()
    out = figures(args.turns)
    print(f"three nodes idle: {out['quorum_idle_mib']:.1f} MiB (target: at most 45)\n"
          f"one small batch at a time: {out['quorum_commits_per_s']:,.0f} a second, {100 * out['quorum_commit_share']:.0f} % of the "
          f"disk's {out['quorum_sync_per_s']:,.0f} (target: at least 70 %)\n"
          f"batched: {out['quorum_records_per_s']:,.0f} records a second (target: at least 300,000)")
    if args.out:
        with open(args.out, "w") as f:
            json.dump(out, f, indent=1)


if __name__ == "__main__":
    main()
