#!/usr/bin/env python3
"""Commands against a real node: test_tools.py DIRECTORY-OF-BINARIES. Each test is a sentence; prints `N passed, N failed`."""
import json
import os
import re
import resource
import signal
import subprocess
import sys
import tempfile
import time

BIN = os.path.realpath(sys.argv[1])
WEIR = os.path.join(BIN, "weir")
tests = []


def test(sentence):
    def add(run):
        tests.append((sentence, run))
        return run
    return add


def run(*words, code=0, feed=None, program=WEIR):
    p = subprocess.run([program, *words], input=feed, capture_output=True, text=True, timeout=60)
    assert p.returncode == code, f"{words}: exit {p.returncode}, not {code}: {p.stdout}{p.stderr}"
    return p.stdout if code == 0 else p.stderr


class Node:
    """One embedded node on a free port."""

    def __init__(self, data):
        self.p = subprocess.Popen([WEIR, "server", "--data", data, "--port", "0", "--json"], stdout=subprocess.PIPE,
                                  stderr=subprocess.DEVNULL, text=True)
        for line in self.p.stdout:
            if line.startswith("{"):
                self.at = f"127.0.0.1:{json.loads(line)['ports'][0]}"
                return
        raise AssertionError("the node didn't start")

    def stop(self):
        self.p.send_signal(signal.SIGINT)
        return self.p.wait(20)

    def ask(self, command, *words, **options):
        return run(*command.split(), "--bootstrap-server", self.at, *words, **options)

    def json(self, command, *words):
        return json.loads(self.ask(command, *words, "--json"))


@test("topics are created, listed, described, altered and deleted in Kafka's lines")
def topics(n):
    assert n.ask("topics", "--create", "--topic", "t-a", "--partitions", "2", "--config", "retention.ms=9000") == \
        "Created topic t-a.\n"
    assert "already exists" in n.ask("topics", "--create", "--topic", "t-a", code=1)
    assert n.ask("topics", "--create", "--topic", "t-a", "--if-not-exists") == ""
    assert "t-a\n" in n.ask("topics", "--list")
    lines = n.ask("topics", "--describe", "--topic", "t-a").splitlines()
    assert re.fullmatch(r"Topic: t-a\tTopicId: [\w-]{22}\tPartitionCount: 2\tReplicationFactor: 1\tConfigs: retention.ms=9000",
                        lines[0]), lines[0]
    assert lines[2].startswith("\tTopic: t-a\tPartition: 1\tLeader: 1\tReplicas: 1\tIsr: 1\tElr: "), lines[2]
    n.ask("topics", "--alter", "--topic", "t-a", "--partitions", "3")
    d = n.json("topics", "--describe", "--topic", "t-.*")
    assert len(d) == 1 and len(d[0]["partitions"]) == 3 and d[0]["configs"] == {"retention.ms": "9000"}, d
    assert "no topic called" in n.ask("topics", "--describe", "--topic", "nope", code=1)
    n.ask("topics", "--delete", "--topic", "t-a")
    assert "t-a" not in n.ask("topics", "--list")


@test("settings are changed, listed with their sources and taken back")
def configs(n):
    n.ask("topics", "--create", "--topic", "c")
    changed = n.ask("configs", "--alter", "--entity-type", "topics", "--entity-name", "c", "--add-config",
                    "cleanup.policy=[compact,delete],retention.ms=5")
    assert changed == "Completed updating config for topic c.\n"
    text = n.ask("configs", "--describe", "--topic", "c")
    assert text.startswith("Dynamic configs for topic c are:\n  cleanup.policy=compact,delete sensitive=false synonyms="
                           "{DYNAMIC_TOPIC_CONFIG:cleanup.policy=compact,delete, DEFAULT_CONFIG:log.cleanup.policy=delete}\n"), text
    n.ask("configs", "--alter", "--topic", "c", "--delete-config", "retention.ms")
    assert "retention.ms" not in n.ask("configs", "--describe", "--topic", "c")
    assert "isn't set here" in n.ask("configs", "--alter", "--topic", "c", "--delete-config", "retention.ms", code=1)
    assert "nothing was changed" in n.ask("configs", "--alter", "--topic", "c", "--add-config", "retention.ms=soon", code=1)
    assert len(n.json("configs", "--describe", "--broker", "1", "--all")[0]["configs"]) > 100
    n.ask("configs", "--alter", "--broker-defaults", "--add-config", "log.retention.ms=77000")
    assert "log.retention.ms=77000" in n.ask("configs", "--describe", "--entity-type", "brokers")
    assert "quotas" in n.ask("configs", "--describe", "--entity-type", "clients", code=2)


@test("lines become records and records lines, and keys go where Java's go")
def console(n):
    n.ask("topics", "--create", "--topic", "p", "--partitions", "5")
    keys = [f"key{i}" for i in range(20)]
    n.ask("produce", "--topic", "p", "--property", "parse.key=true", "--property", "key.separator=:", "--compression-codec", "lz4",
          feed="".join(f"{k}:v{k}\n" for k in keys))
    out = n.ask("consume", "--topic", "p", "--from-beginning", "--max-messages", "20", "--property", "print.key=true",
                "--formatter-property", "print.partition=true", "--formatter-property", "print.offset=true")
    seen = {}
    for line in out.splitlines():
        partition, offset, key, value = line.split("\t")
        assert value == "v" + key and offset.startswith("Offset:"), line
        seen[key] = int(partition.split(":")[1])
    assert seen == {k: murmur2(k.encode()) % 5 for k in keys}, seen
    assert n.ask("consume", "--topic", "p", "--partition", str(seen["key0"]), "--offset", "0", "--max-messages", "1").startswith("v")
    assert "consumer groups" in n.ask("consume", "--topic", "p", "--group", "g", code=2)
    assert "no key.separator" in n.ask("produce", "--topic", "p", "--property", "parse.key=true", feed="bad\n", code=1)


def murmur2(data):
    """The hash of Java's default partitioner, made positive."""
    m, mask = 0x5bd1e995, 0xffffffff
    h = (0x9747b28c ^ len(data)) & mask
    for i in range(0, len(data) // 4 * 4, 4):
        k = int.from_bytes(data[i:i + 4], "little") * m & mask
        h = (h * m & mask) ^ ((k ^ (k >> 24)) * m & mask)
    rest = data[len(data) // 4 * 4:]
    if rest:
        h = (h ^ int.from_bytes(rest, "little")) * m & mask
    h = (h ^ (h >> 13)) * m & mask
    return (h ^ (h >> 15)) & 0x7fffffff


@test("offsets are told, and records before one are deleted")
def offsets(n):
    n.ask("topics", "--create", "--topic", "o", "--partitions", "2")
    n.ask("produce", "--topic", "o", "--property", "parse.key=true", feed="".join(f"same\t{i}\n" for i in range(10)))
    total = dict(line.rsplit(":", 1) for line in n.ask("get-offsets", "--topic", "o").splitlines())
    assert sorted(total.values()) == ["0", "10"], total
    full = next(k for k, v in total.items() if v == "10").split(":")[1]
    assert n.ask("get-offsets", "--topic-partitions", f"o:{full}", "--time", "earliest") == f"o:{full}:0\n"
    with tempfile.NamedTemporaryFile("w", suffix=".json") as f:
        json.dump({"partitions": [{"topic": "o", "partition": int(full), "offset": 4}], "version": 1}, f)
        f.flush()
        out = n.ask("delete-records", "--offset-json-file", f.name)
    assert out == f"Executing records delete operation\nRecords delete operation completed:\npartition: o-{full}\tlow_watermark: 4\n"
    assert n.json("get-offsets", "--topic", "o", "--partitions", full, "--time", "-2")[0]["offset"] == 4


@test("brokers tell their directories and versions")
def brokers(n):
    out = n.ask("log-dirs", "--describe").splitlines()
    assert out[:2] == ["Querying brokers for log directories information",
                       "Received log directory information from brokers 1"], out
    assert json.loads(out[2])["brokers"][0]["broker"] == 1
    out = n.ask("api-versions").splitlines()
    assert out[0].startswith(f"{n.at} (id: 1 rack: ") and out[0].endswith(" isFenced: false) -> ("), out[0]
    assert "\tProduce(0): 0 to 13 [usable: 13]," in out and out[-1] == ")", out


@test("perf prints Kafka's last lines")
def perf(n):
    n.ask("topics", "--create", "--topic", "f")
    out = n.ask("perf produce", "--topic", "f", "--num-records", "2000", "--record-size", "100", "--throughput", "-1")
    assert re.search(r"^2000 records sent, \d+\.\d{6} records/sec \(\d+\.\d\d MB/sec\), \d+\.\d\d ms avg latency, \d+\.\d\d ms max "
                     r"latency, \d+ ms 50th, \d+ ms 95th, \d+ ms 99th, \d+ ms 99.9th.$", out, re.M), out
    out = n.ask("perf consume", "--topic", "f", "--num-records", "2000").splitlines()
    assert out[0].startswith("start.time, end.time, data.consumed.in.MB, MB.sec,") and len(out[1].split(", ")) == 10, out
    assert out[1].split(", ")[4] == "2000"


@test("Kafka's script names choose the command")
def scripts(n):
    with tempfile.TemporaryDirectory() as d:
        os.symlink(WEIR, f"{d}/kafka-topics.sh")
        assert run("--bootstrap-server", n.at, "--create", "--topic", "s", program=f"{d}/kafka-topics.sh") == "Created topic s.\n"


@test("an answer takes at most 15 ms and 5 ms of CPU")
def quick(n):
    best = min(timed(n) for _ in range(20))
    if os.path.basename(BIN) in ("asan", "tsan"):
        return  # a sanitizer's time isn't ours
    assert best[0] <= 0.015 and best[1] <= 0.005, best


def timed(n):
    start, before = time.monotonic(), resource.getrusage(resource.RUSAGE_CHILDREN)
    n.ask("topics", "--list")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.monotonic() - start, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


@test("where no broker listens, one sentence says so at once")
def nobody(n):
    for words in (["topics", "--list"], ["consume", "--topic", "x"]):
        said = run(*words, "--bootstrap-server", "127.0.0.1:1", code=1)
        assert said.startswith("weir: no broker listens at 127.0.0.1:1;"), said


@test("formatting says what it did, refuses a second time, and info reads it back")
def storage(n):
    with tempfile.TemporaryDirectory() as d:
        with open(f"{d}/p", "w") as f:
            f.write("process.roles=broker,controller\nnode.id=4\ncontroller.listener.names=CONTROLLER\n"
                    "listeners=PLAINTEXT://127.0.0.1:0,CONTROLLER://127.0.0.1:0\n"
                    f"controller.quorum.bootstrap.servers=127.0.0.1:1\nlog.dirs={d}/a/b,{d}/c\n")
        uuid = run("random-uuid").strip()
        assert "you must specify one of the following: --standalone, " in run("format", "-t", uuid, "-c", f"{d}/p", code=1)
        assert run("storage", "format", "-t", uuid, "-c", f"{d}/p", "--standalone") == \
            f"Formatting dynamic metadata voter directory {d}/a/b with metadata.version 4.3-IV0.\n" \
            f"Formatting data directory {d}/c with metadata.version 4.3-IV0.\n"
        assert "is formatted already" in run("format", "-s", "-t", uuid, "-c", f"{d}/p", code=1)
        assert run("format", "-g", "-s", "-t", uuid, "-c", f"{d}/p") == "All of the log directories are already formatted.\n"
        out = run("storage", "info", "-c", f"{d}/p")
        assert out.startswith(f"Found log directories:\n  {d}/a/b\n  {d}/c\n\nFound metadata: {{cluster.id={uuid}, directory.id="), out
        assert "-N: not allowed with argument --standalone/-s" in run("format", "-s", "-N", "-c", f"{d}/p", code=2)
        assert "there is no release version" in run("format", "-r", "3.2", "-c", f"{d}/p", code=2)
        assert "metadata.version goes from 7 to 30" in run("format", "-s", "-f", "metadata.version=31", "-c", f"{d}/p", code=2)
        with open(f"{d}/q", "w") as f:
            f.write(open(f"{d}/p").read().replace(f"{d}/a/b,{d}/c", f"{d}/old"))
        assert run("format", "-s", "-r", "3.9-IV0", "-t", uuid, "-c", f"{d}/q") == \
            f"Formatting dynamic metadata voter directory {d}/old with metadata.version 3.9-IV0.\n"
        begun = subprocess.Popen([WEIR, "server", "--config", f"{d}/q"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        assert any("ready for clients" in line for line in begun.stdout)
        begun.terminate()
        begun.communicate(timeout=20)
        assert '{"name":"metadata.version","featureLevel":21}' in run("metadata", "dump", f"{d}/old")
        assert run("storage", "version-mapping", "-r", "3.7").startswith("metadata.version=19 (3.7)\nkraft.version=0\n")


def main():
    failed = 0
    with tempfile.TemporaryDirectory() as data:
        n = Node(data + "/d")
        for sentence, body in tests:
            try:
                body(n)
            except Exception as e:  # pylint: disable=broad-except
                failed += 1
                print(f"FAILED: {sentence}\n  {e!r}")
        if n.stop() != 0:
            failed += 1
            print("FAILED: Ctrl-C stops the node cleanly")
    print(f"{len(tests) + 1 - failed} passed, {failed} failed")
    return failed > 0


sys.exit(main())
