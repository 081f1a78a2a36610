#!/usr/bin/python3
"""Where the time of a commit goes: CreateTopics one at a time at three voters in three processes (voters.py), with perf looking at
when each voter's log is being synced. Needs root and perf.

    hops.py [--seconds N]

way in     from the client's request to the leader's fdatasync
to others  from there to the first follower's
disk       a fdatasync of the first follower, and of the leader
majority   from the request until two of three have it on disk
way back   from there to the client's next request"""
import argparse
import os
import re
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time

sys.path[:0] = [os.path.dirname(os.path.abspath(__file__))]
import voters  # noqa: E402

EVENTS = [f"syscalls:sys_{e}" for e in ("enter_fdatasync", "exit_fdatasync", "enter_sendto")]
LINE = re.compile(r"\s*(?P<comm>\S.*?)\s+(?P<pid>\d+)/\d+\s+(?P<at>[\d.]+):\s+syscalls:sys_(?P<what>\w+):")


def commits(text, leader, client):
    """One request of the client to the next: the moments of its syncs."""
    now = None
    for found in map(LINE.match, text.splitlines()):
        if not found:
            continue
        at, pid, what = float(found["at"]), int(found["pid"]), found["what"]
        if pid == client and what == "enter_sendto":
            if now and all(now[k] for k in ("leader_in", "leader_out", "others_in", "others_out")):
                yield {**{k: v[0] for k, v in now.items() if isinstance(v, list)}, "asked": now["asked"], "next": at}
            now = {"asked": at, "leader_in": [], "leader_out": [], "others_in": [], "others_out": []}
        elif now and found["comm"] == "quorum" and what.endswith("fdatasync"):
            now[("leader_" if pid == leader else "others_") + ("in" if what.startswith("enter") else "out")].append(at)


def row(name, values):
    us = sorted(v * 1e6 for v in values)
    print(f"{name:<26}{statistics.median(us):7.0f} us   (a tenth below {us[len(us) // 10]:.0f}, above {us[len(us) * 9 // 10]:.0f})")


def traced(leader, seconds):
    """perf's lines, while topics are made."""
    with tempfile.TemporaryDirectory() as d, \
            socket.create_connection(("127.0.0.1", leader.controller), timeout=60) as sock:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        voters.commit_rate(sock, "warm")
        data = os.path.join(d, "perf.data")
        perf = subprocess.Popen(["perf", "record", "-q", "-a", "-m", "16384", "-o", data, "-e", ",".join(EVENTS), "sleep", str(seconds)])
        turn = 0
        while perf.poll() is None:
            voters.commit_rate(sock, turn)
            turn += 1
        return subprocess.run(["perf", "script", "-i", data, "-F", "comm,pid,tid,time,event,trace"], check=True,
                              capture_output=True, text=True).stdout


def main():
    parse = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parse.add_argument("--seconds", type=float, default=3)
    args = parse.parse_args()
    shutil.rmtree(voters.DATA, ignore_errors=True)
    os.makedirs(voters.DATA)
    with voters.quorum.Quorum(voters.DATA, settings={i: voters.SETTINGS for i in range(1, voters.VOTERS + 1)}) as q:
        for v in q.voters:
            voters.quorum.ready(v)
        time.sleep(1)
        leader = q.leader()
        pid = leader.process.pid
        text = traced(leader, args.seconds)
        q.stop()
    shutil.rmtree(voters.DATA, ignore_errors=True)
    all_of = list(commits(text, pid, os.getpid()))
    assert all_of, "perf saw no commit"
    durable = [max(c["leader_out"], c["others_out"]) for c in all_of]
    print(f"{len(all_of)} commits")
    row("way in", [c["leader_in"] - c["asked"] for c in all_of])
    row("to others", [c["others_in"] - c["leader_in"] for c in all_of])
    row("disk, first follower", [c["others_out"] - c["others_in"] for c in all_of])
    row("disk, leader", [c["leader_out"] - c["leader_in"] for c in all_of])
    row("majority", [d - c["asked"] for c, d in zip(all_of, durable)])
    row("way back", [c["next"] - d for c, d in zip(all_of, durable)])
    row("all", [c["next"] - c["asked"] for c in all_of])


if __name__ == "__main__":
    main()
