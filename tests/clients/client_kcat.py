#!/usr/bin/env python3
"""The client (records.py) on kcat. It can't set a record's time, has one set of headers per run and creates topics by
asking for them, so timestamps are told as `now` (within ten minutes) and times are looked up relative to what was read."""
import json
import subprocess
import sys
import time

import records


def say(*fields):
    print(*fields, sep="\t", flush=True)


def kcat(bootstrap, *args, stdin=b""):
    done = subprocess.run(["kcat", "-b", bootstrap, "-X", "broker.address.family=v4", "-X", "fetch.wait.max.ms=50",
                           *args], input=stdin, capture_output=True, timeout=60)
    if done.returncode or b"% ERROR" in done.stderr:
        raise RuntimeError(done.stderr.decode(errors="replace").strip())
    return done.stdout


def guarded(check, run, *args):
    try:
        run(check, *args)
    except (RuntimeError, subprocess.TimeoutExpired, ValueError) as e:
        say(check, "ERROR", str(e).replace("\n", " "))


class Client:
    HEADERS = (("a", "1"), ("b", "two"), ("a", ""))

    def __init__(self, bootstrap, prefix, codecs):
        self.bootstrap, self.prefix, self.codecs = bootstrap, prefix, codecs

    def create(self, check):
        for topic in sorted(f"{self.prefix}-{idem}{c}" for c in self.codecs for idem in ("", "idem-")):
            for _ in range(50):
                told = json.loads(kcat(self.bootstrap, "-L", "-J", "-t", topic, "-X", "allow.auto.create.topics=true"))
                if len(told["topics"][0]["partitions"]) == 1 and told["topics"][0]["partitions"][0]["leader"] >= 0:
                    break
                time.sleep(0.1)
            else:
                raise RuntimeError(f"{topic} isn't there")
            say(check, topic)

    def produce(self, check, codec, topic, idempotent):
        args = [x for n, v in self.HEADERS for x in ("-H", f"{n}={v}")]
        for group in range(0, 40, records.GROUP):
            lines = "".join(f"key-{i % 7}|weir {i:03} {'x' * 100}\n" if i % 5 else f"|no key {'y' * 100} {i}\n"
                            for i in range(group, group + records.GROUP))
            kcat(self.bootstrap, "-P", "-t", topic, "-p", "0", "-z", codec, "-K", "|", "-Z", *args, "-X", "acks=all",
                 "-X", f"enable.idempotence={str(idempotent).lower()}", "-X", "linger.ms=50", stdin=lines.encode())
        say(check, 0, 39)

    def consume(self, topic, offset):
        out = kcat(self.bootstrap, "-C", "-t", topic, "-p", "0", "-o", str(offset), "-e", "-q", "-J",
                   "-X", "check.crcs=true")
        return [json.loads(s) for s in out.decode().splitlines()]

    def read(self, check, topic, offset, *fields):
        for m in self.consume(topic, offset):
            when = "now" if m["tstype"] == "create" and abs(time.time() * 1000 - m["ts"]) < 600_000 else m["ts"]
            say(check, *fields, m["offset"], when, m["key"], m["payload"], *m["headers"])

    def offsets(self, check, topic):
        for offset in (*records.OFFSETS, -3):  # negative: from the end
            self.read(check, topic, offset, offset)

    def times(self, check, topic):
        all_records = self.consume(topic, "beginning")
        for at in (0, 9, 20, 39):
            when = all_records[at]["ts"]
            first = next(m["offset"] for m in all_records if m["ts"] >= when)
            got = self.consume(topic, f"s@{when}")
            say(check, at, "right" if [m["offset"] for m in got] == list(range(first, 40)) else f"{when} gave {got[:1]}")
        say(check, kcat(self.bootstrap, "-Q", "-t", f"{topic}:0:{all_records[39]['ts'] + 10_000_000}").decode().strip())

    def ends(self, check, topic):
        for when in (-2, -1):
            say(check, kcat(self.bootstrap, "-Q", "-t", f"{topic}:0:{when}").decode().strip())

    def run(self):
        guarded("create", self.create)
        for codec in self.codecs:
            topic, idem = f"{self.prefix}-{codec}", f"{self.prefix}-idem-{codec}"
            guarded(f"produce-{codec}", self.produce, codec, topic, False)
            guarded(f"idem-{codec}", self.produce, codec, idem, True)
            guarded(f"read-{codec}", self.read, topic, 0)
            guarded(f"read-idem-{codec}", self.read, idem, 0)
            guarded(f"offset-{codec}", self.offsets, topic)
            guarded(f"time-{codec}", self.times, topic)
            guarded(f"ends-{codec}", self.ends, topic)


Client(sys.argv[1], sys.argv[2], sys.argv[3].split(",")).run()
