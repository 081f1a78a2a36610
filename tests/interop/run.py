#!/usr/bin/env python3
"""Clients and tools of the world against weir, and against Apache Kafka 4.3.1: both must show the same.

    run.py [--only NAME,…] [--self]

Parts: each client of toolchain.py by its name; `tools`, `twins` (Kafka's console clients and tools beside our commands), `errors` (wrong requests of every API and version), `disk` (our segments under Kafka's tools and under a Kafka node,
and the reverse), `wire` (the codec beside Kafka's classes), `format` (`storage format` beside Kafka's), `cluster` (three nodes of each, and controllers apart from brokers, under Kafka's tools), `voters` (controllers that come and go), `metadata` (Kafka's metadata log under `weir metadata`). --self compares Kafka with Kafka, which tests the tests."""
import argparse
import os
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "clients"))
import cluster  # noqa: E402
import disk  # noqa: E402
import metadata  # noqa: E402
import errors  # noqa: E402
import formats  # noqa: E402
import records  # noqa: E402
import segment  # noqa: E402
import toolchain  # noqa: E402
import tools  # noqa: E402
import twins  # noqa: E402
import voters  # noqa: E402
from kafka import BUILD, Kafka  # noqa: E402
from nodes import ROOT, Weir, fresh  # noqa: E402
from tally import Tally, checks, compare, run_client  # noqa: E402


def prepare(names, tally):
    """name -> (command, reads) of the clients that can run here."""
    out = {}
    for name, make, reads in toolchain.TABLE:
        try:
            if name in names:
                out[name] = make(), reads
        except (toolchain.Missing, subprocess.CalledProcessError, OSError) as e:
            tally.skip(name, str(e))
    return out


def run_all(node, clients, path):
    """Every client against one node: name -> (facts, how it ended)."""
    out = {}
    for name, (command, _) in clients.items():
        err = os.path.join(node.dir, f"{name}.err")
        out[name] = run_client(command, node.bootstrap, name, toolchain.ALL, path, err)
    return out


def dump_written(node, clients, java):
    """What the clients that don't read have written, as the newest Java client sees it; added to their facts."""
    out = {}
    for name in (n for n, (_, reads) in clients.items() if not reads):
        facts = disk.dump(java, node, [f"{name}-{idem}{c}" for c in toolchain.ALL for idem in ("", "idem-")])
        out.update({(name, topic): lines for topic, lines in facts.items()})
    return out


def judge_stored(tally, ours, name):
    for c in toolchain.ALL:
        for topic, idempotent in ((f"{name}-{c}", False), (f"{name}-idem-{c}", True)):
            try:
                bad = segment.problem(ours.partition(f"{topic}-0"), records.CODECS[c], 40, idempotent)
            except RuntimeError as e:
                bad = str(e)
            tally.test(f"{name}/stored{topic[len(name):]}", bad)


def compare_clients(tally, ours, theirs, clients, java):
    """Runs every client against both nodes, which run, and compares what it tells."""
    path = os.path.join(BUILD, "records")
    records.write(path)
    expected, got = run_all(theirs, clients, path), run_all(ours, clients, path)
    written = (dump_written(theirs, clients, java), dump_written(ours, clients, java)) if java else ({}, {})
    for name, (_, reads) in clients.items():
        before = tally.failed
        for check in checks(toolchain.ALL, reads):
            a, b = expected[name][0].get(check), got[name][0].get(check)
            bad = f"Kafka gave {a[0]}" if a and a[0].startswith("ERROR") else compare(a, b, got[name][1])
            tally.test(f"{name}/{check}", bad)
        for _, topic in (k for k in written[0] if k[0] == name):
            tally.test(f"{name}/read{topic[len(name):]}",
                       compare(written[0][name, topic], written[1].get((name, topic))))
        judge_stored(tally, ours, name)
        print(f"  {name}: {'as with Kafka' if tally.failed == before else f'{tally.failed - before} failures'}", flush=True)


def wire(tally):
    done = subprocess.run([os.path.join(ROOT, "tests", "interop", "wire", "run.sh"), "1"], stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    tally.test("wire", done.stdout[-2000:] if done.returncode else None)


def node_of(args, directory, name):
    return Kafka(fresh(directory), name) if args.self else Weir(fresh(directory), name=name)


def main():
    ask = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ask.add_argument("--only", default="", help="only these clients and parts")
    ask.add_argument("--self", action="store_true", help="Kafka against itself")
    args = ask.parse_args()
    parts = [n for n, _, _ in toolchain.TABLE] + ["tools", "twins", "errors", "disk", "wire", "format", "cluster", "voters"]
    parts = args.only.split(",") if args.only else parts
    tally, began = Tally(), time.monotonic()

    def lap(what):
        nonlocal began
        print(f"{what}: {time.monotonic() - began:.0f} s", flush=True)
        began = time.monotonic()

    try:
        toolchain.need("java", "mvn")
        java = toolchain.java_client("4.3.1")
    except toolchain.Missing as e:
        tally.skip("everything, for Kafka itself can't run", str(e))
        return tally.end()
    clients = prepare(parts, tally)
    lap("clients made")
    if "wire" in parts:
        wire(tally)
        lap("wire")
    if "metadata" in parts:
        metadata.main(tally)
        lap("metadata")
    ours = node_of(args, os.path.join(BUILD, "ours"), "ours")
    theirs = Kafka(fresh(os.path.join(BUILD, "theirs")), "theirs")
    with theirs, ours:
        compare_clients(tally, ours, theirs, clients, java)
        lap("clients")
        if "tools" in parts:
            tools.compare(tally, ours, theirs)
            lap("tools")
        if "errors" in parts:
            errors.compare(tally, ours, theirs)
            lap("errors")
        if "twins" in parts:  # last: it changes ours alone
            twins.compare(tally, ours)
            lap("twins")
        if "disk" in parts:
            written = disk.write(java, (ours, theirs))
    if "disk" in parts:
        disk.judge(tally, java, written, lambda name: node_of(args, os.path.join(BUILD, name), name))
        lap("disk")
    if "format" in parts:
        formats.compare(tally)
        lap("format")
    if "cluster" in parts:
        cluster.compare(tally)
        cluster.survive(tally, java)
        lap("cluster")
    if "voters" in parts:
        voters.compare(tally)
        lap("voters")
    return tally.end()


if __name__ == "__main__":
    sys.exit(main())
