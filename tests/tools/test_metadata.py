#!/usr/bin/env python3
"""`weir metadata` on Apache Kafka's own files, on damaged ones, and on a node's directory: test_metadata.py BINARIES [--update].
Each test is a sentence; prints `N passed, N failed`. --update writes words.txt anew: read what changed."""
import glob
import json
import os
import re
import shutil
import signal
import struct
import subprocess
import sys
import tempfile

WEIR = os.path.join(os.path.realpath(sys.argv[1]), "weir")
HERE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "metadata")
LOG = "kafka/00000000000000000000.log"
WORDS = ["verify kafka", "stats kafka", "at kafka", "at kafka 40", "at kafka 2026-11-21T14:58:24Z --topic orders",
         "at kafka 12 --json", "diff kafka 20 60", "diff kafka 0 12", "blame kafka orders-0", "blame kafka 2",
         "blame kafka min.insync.replicas", "blame kafka short-lived", "shell kafka find /image",
         "shell kafka cat /image/topics/byName/*/[01] /image/cluster/brokers/1 /image/configs/TOPIC:orders/*",
         "shell kafka --at 40 ls /image/topics/byName", "dump kafka --type partition_change --from 60"]
tests = []


def test(sentence):
    def add(run):
        tests.append((sentence, run))
        return run
    return add


def run(*words, code=0, feed=None):
    p = subprocess.run([WEIR, *words], input=feed, capture_output=True, text=True, timeout=60, cwd=HERE)
    assert p.returncode == code, f"{words}: exit {p.returncode}, not {code}: {p.stdout[-500:]}{p.stderr[-500:]}"
    return p.stdout if code == 0 else p.stdout + p.stderr


def words():
    return "".join(f"### {line}\n{run('metadata', *line.split())}" for line in WORDS)


def data_text():
    """Kafka's dump of the log."""
    with open(os.path.join(HERE, "expected.txt"), encoding="utf-8") as f:
        return f.read().split(f"Dumping {os.path.basename(LOG)}\n")[1].split("Dumping ")[0]


def data_of():
    """offset -> what Kafka's dump shows of the record."""
    return {int(m[1]): json.loads(m[2]) for m in re.finditer(r"\| offset: (\d+) .*? payload: (.*)", data_text())}


@test("dump prints every record of Kafka's log and snapshots in Kafka's own words")
def dump_equals_kafkas():
    names = [os.path.basename(p) for p in sorted(glob.glob(HERE + "/kafka/*"))]
    with open(os.path.join(HERE, "expected.txt"), encoding="utf-8") as f:
        expected = f.read()
    p = subprocess.run([WEIR, "dump", "--cluster-metadata-decoder", "--files", ",".join(names)], capture_output=True,
                       text=True, check=True, cwd=HERE + "/kafka")
    assert p.stdout == expected, "see expected.txt"


@test("the JSON of each record holds what Kafka's tool shows")
def json_equals_kafkas():
    expected, seen = data_of(), 0
    for line in run("metadata", "dump", LOG, "--json").splitlines():
        r = json.loads(line)
        if "version" in r:
            seen += 1
            assert {k: r[k] for k in ("type", "version", "data")} == expected[r["offset"]], line
    assert seen == len(expected) > 70, (seen, len(expected))


@test("images, differences, blame, shell and statistics of Kafka's history are as written down")
def words_as_written():
    with open(os.path.join(HERE, "words.txt"), encoding="utf-8") as f:
        expected = f.read().split("### ")
    for a, b in zip(expected, words().split("### ")):
        assert a == b, f"not as written:\n{b}"


@test("a snapshot and the log behind it lead to the image that the log leads to alone")
def snapshot_and_log():
    for point in ("54", "60", "83"):
        alone = run("metadata", "at", LOG, point, "--json")
        assert run("metadata", "at", "kafka", point, "--json") == alone
        with tempfile.TemporaryDirectory() as d:
            for p in glob.glob(HERE + "/kafka/*"):
                shutil.copy(p, d)
            os.unlink(os.path.join(d, os.path.basename(LOG)))
            assert "offset 53" in run("metadata", "at", d)
            if point == "54":
                os.unlink(glob.glob(d + "/*0-0*.checkpoint")[0])
                assert "no snapshot can be read" in run("metadata", "at", d, "10", code=1)


@test("wherever a byte is wrong or a file ends, a sentence says so and nothing asserts")
def damaged():
    with open(os.path.join(HERE, LOG), "rb") as f:
        good = f.read()
    with tempfile.TemporaryDirectory() as d:
        path = os.path.join(d, os.path.basename(LOG))
        for at in range(0, len(good), 601):
            for bad in (good[:at] + bytes([good[at] ^ 0x41]) + good[at + 1:], good[:at]):
                with open(path, "wb") as f:
                    f.write(bad)
                p = subprocess.run([WEIR, "metadata", "verify", path], capture_output=True, text=True)
                assert p.returncode in (0, 1) and (p.returncode == 0 or path in p.stdout), (at, p.stdout, p.stderr)
                for what in (["at"], ["stats"], ["blame", "2"]):
                    p = subprocess.run([WEIR, "metadata", what[0], path, *what[1:]], capture_output=True, text=True)
                    assert p.returncode in (0, 1), (at, what, p.stderr)


@test("a checkpoint that is damaged is passed over with a warning, and verify names it")
def damaged_checkpoint():
    with tempfile.TemporaryDirectory() as d:
        for p in glob.glob(HERE + "/kafka/*"):
            shutil.copy(p, d)
        path = glob.glob(d + "/*54-*.checkpoint")[0]
        os.chmod(path, 0o644)
        with open(path, "r+b") as f:
            f.seek(300)
            f.write(b"x")
        p = subprocess.run([WEIR, "metadata", "at", d], capture_output=True, text=True, check=True)
        assert "checksum" in p.stderr and "offset 83" in p.stdout
        p = subprocess.run([WEIR, "metadata", "verify", d], capture_output=True, text=True)
        assert p.returncode == 1 and os.path.basename(path) in p.stdout, p.stdout


@test("what isn't there, or isn't metadata, is said in a sentence")
def refusals():
    assert "which metadata?" in run("metadata", "dump", code=2)
    assert "can't be read" in run("metadata", "at", "nowhere", code=1)
    assert "a running cluster is read with --bootstrap-controller" in run("metadata", "at", "localhost:9092", code=1)
    assert "holds no metadata" in run("metadata", "at", "..", code=1)
    assert "no offset and no time" in run("metadata", "at", "kafka", "soon", code=2)
    assert "there was no topic nix" in run("metadata", "at", "kafka", "--topic", "nix", code=1)
    assert "nothing here concerns nix" in run("metadata", "blame", "kafka", "nix", code=1)
    assert "no such file or directory" in run("metadata", "shell", "kafka", "cat", "/image/nix", code=1)
    assert "does what? dump, at, diff" in run("metadata", code=2)
    assert "which two?" in run("metadata", "diff", "kafka", code=2)


@test("a hole in the log is never stepped over")
def hole():
    with open(os.path.join(HERE, LOG), "rb") as f:
        good = f.read()
    sizes = [int(m[1]) for m in re.finditer(r" position: (\d+) ", data_text())]
    with tempfile.TemporaryDirectory() as d:
        path = os.path.join(d, os.path.basename(LOG))
        with open(path, "wb") as f:
            f.write(good[:sizes[10]] + good[sizes[11]:])
        assert "what is between is missing" in run("metadata", "at", d, code=1)
        told = run("metadata", "verify", d, code=1)
        assert "was expected" in told and "isn't known from here on" in told, told


@test("lines that come from no terminal run in the shell, and a script does")
def scripts():
    feed = "cd image/topics\nls\n# a comment\ncd byName/orders\npwd\ncat id\nexit\nls\n"
    expected = "byId\nbyName\n/image/topics/byName/orders\n"
    got = run("metadata", "shell", "kafka", feed=feed)
    assert got.startswith(expected) and len(got.splitlines()) == 4, got
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as f:
        f.write(feed)
        f.flush()
        assert run("metadata", "shell", "kafka", "--script", f.name) == got
    snapshot = glob.glob(HERE + "/kafka/*54-*")[0]
    assert run("metadata", "shell", "--snapshot", snapshot, "ls", "/image/topics/byName") == "orders\n"
    assert run("metadata", "shell", "-d", "kafka", feed="pwd\n") == "/\n"


class Node:
    """A node of its own directory: its ports, [broker, controller]."""

    def __init__(self, data, *sets):
        words = [w for s in sets for w in ("--set", s)]
        self.process = subprocess.Popen([WEIR, "server", "--data", data, "--port", "0", "--json", *words], text=True,
                                        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        self.broker, self.controller = next([f"127.0.0.1:{p}" for p in json.loads(s)["ports"]]
                                            for s in self.process.stdout if s.startswith("{"))

    def topics(self, *more):
        run("topics", "--bootstrap-server", self.broker, *more)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.send_signal(signal.SIGINT)
        self.process.wait(30)
        self.process.stdout.close()


@test("a running cluster says what its directory says, whichever subcommand asks, and in JSON too")
def live():
    with tempfile.TemporaryDirectory() as d:
        data = os.path.join(d, "data")
        with Node(data) as node:
            at = ["--bootstrap-controller", node.controller]
            node.topics("--create", "--topic", "a", "--partitions", "2", "--config", "retention.ms=1000")
            node.topics("--create", "--topic", "b")
            for words in (["dump"], ["dump", "--json", "--from", "4"], ["at"], ["at", "--json"], ["stats"], ["verify"],
                          ["stats", "--json"]):
                assert run("metadata", *words, *at) == run("metadata", *words, data), words
            assert run("metadata", "at", "4", *at) == run("metadata", "at", data, "4")
            assert run("metadata", "blame", "a", *at) == run("metadata", "blame", data, "a")
            assert run("metadata", "shell", *at, "ls", "/image/topics/byName") == "a\nb\n"
            assert run("metadata", "shell", *at, feed="ls image/topics/byName\n") == "a\nb\n"
            assert "position" not in run("metadata", "verify", *at)


@test("two clusters, or moments, are compared in the order typed, and either may run")
def live_diff():
    with tempfile.TemporaryDirectory() as d:
        with Node(os.path.join(d, "data")) as node:
            at = ["--bootstrap-controller", node.controller]
            end = json.loads(run("metadata", "at", "--json", *at))["offset"]
            node.topics("--create", "--topic", "a")
            data = os.path.join(d, "data")
            assert "topic a: created" in run("metadata", "diff", *at, str(end))
            assert "topic a: created" in run("metadata", "diff", data, str(end), *at)
            assert "topic a: deleted" in run("metadata", "diff", f"--bootstrap-controller={node.controller}", data, str(end))
            assert "topic a: deleted" in run("metadata", "diff", *at, "end", str(end))
            assert len(run("metadata", "diff", data, *at).splitlines()) == 2
            assert "cluster: is named" in run("metadata", "diff", "kafka", *at)
            assert "which two?" in run("metadata", "diff", *at, code=2)


@test("a cluster whose log was cut is read from its snapshot on")
def live_snapshot():
    with tempfile.TemporaryDirectory() as d:
        data = os.path.join(d, "data")
        with Node(data, "metadata.log.max.record.bytes.between.snapshots=3000", "metadata.max.retention.bytes=4000", "metadata.log.segment.ms=100") as node:
            at = ["--bootstrap-controller", node.controller]
            for i in range(60):
                node.topics("--create", "--topic", f"t{i}", "--partitions", "4")
            log = min(glob.glob(data + "/__cluster_metadata-0/*.log"))
            assert int(os.path.basename(log)[:-4]) > 0, "nothing was cut"
            assert run("metadata", "at", *at) == run("metadata", "at", data)
            assert "1 snapshots" in run("metadata", "verify", *at)
            assert json.loads(run("metadata", "stats", "--json", *at))["image"]["topics"] == 60
            assert "no snapshot leads to it" in run("metadata", "at", *at, "3", code=1)


@test("a cluster that can't be asked is told in a sentence that says what to do")
def live_refusals():
    with tempfile.TemporaryDirectory() as d, Node(os.path.join(d, "data")) as node:
        at = ["--bootstrap-controller", node.controller]
        told = run("metadata", "at", "--bootstrap-controller", node.broker, code=1)
        assert "no controller's listener" in told and "controller.quorum.bootstrap.servers" in told, told
        assert "stands in place of the path" in run("metadata", "dump", *at, "kafka", code=2)
        assert "stands in place of the path" in run("metadata", "shell", *at, "-d", "kafka", "ls", code=2)
    assert "no controller listens at" in run("metadata", "at", *at, code=1)
    assert "no host of that name" in run("metadata", "at", "--bootstrap-controller", "nix.invalid:9093", code=1)
    assert "takes host:port" in run("metadata", "at", "--bootstrap-controller", "nix", code=2)
    assert "can't be read" in run("metadata", "at", "--bootstrap-controller", "a:1", "--command-config", "nowhere", code=1)


@test("a node's own directory is read while it runs and after it ended")
def own_node():
    with tempfile.TemporaryDirectory() as d:
        data = os.path.join(d, "data")
        p = subprocess.Popen([WEIR, "server", "--data", data, "--port", "0", "--json"], stdout=subprocess.PIPE,
                             stderr=subprocess.DEVNULL, text=True)
        try:
            at = next(json.loads(s)["ports"][0] for s in p.stdout if s.startswith("{"))
            ask = ["topics", "--bootstrap-server", f"127.0.0.1:{at}"]
            run(*ask, "--create", "--topic", "a", "--partitions", "2", "--config", "retention.ms=1000")
            assert "  1: Online  leader 1" in run("metadata", "at", data)
            run(*ask, "--create", "--topic", "b")
            run(*ask, "--delete", "--topic", "a")
        finally:
            p.send_signal(signal.SIGINT)
            p.wait(30)
        assert run("metadata", "verify", data).endswith(": well\n")
        told = run("metadata", "blame", data, "a")
        assert "topic a: created" in told and "topic a: deleted, with 2 partitions" in told
        assert "retention.ms back to its default (was 1000)" in told
        image = json.loads(run("metadata", "at", data, "--json"))
        assert [t["name"] for t in image["topics"]] == ["b"] and image["clusterId"]


def batch_ends(log):
    """Where a metadata log may end."""
    at = 0
    while at < len(log):
        at += 12 + struct.unpack_from(">i", log, at + 8)[0]
        yield at


@test("a log that ends inside a transaction is well, and verify notes it")
def midway():
    with tempfile.TemporaryDirectory() as d:
        data = os.path.join(d, "data")
        p = subprocess.Popen([WEIR, "server", "--data", data, "--port", "0", "--json"], stdout=subprocess.PIPE,
                             stderr=subprocess.DEVNULL, text=True)
        try:
            at = next(json.loads(s)["ports"][0] for s in p.stdout if s.startswith("{"))
            run("topics", "--bootstrap-server", f"127.0.0.1:{at}", "--create", "--topic", "many", "--partitions", "2500")
        finally:
            p.send_signal(signal.SIGINT)
            p.wait(60)
        with open(glob.glob(data + "/**/__cluster_metadata-0/00000000000000000000.log", recursive=True)[0], "rb") as f:
            log = f.read()
        path, told = os.path.join(d, "00000000000000000000.log"), []
        for end in batch_ends(log):
            with open(path, "wb") as f:
                f.write(log[:end])
            told.append(run("metadata", "verify", path))
            assert told[-1].endswith(": well\n"), told[-1]
        assert any("ends inside a transaction" in s for s in told), "the topic came in one batch"
        assert "note:" not in told[-1], told[-1]


def main():
    if "--update" in sys.argv:
        with open(os.path.join(HERE, "words.txt"), "w", encoding="utf-8") as f:
            f.write(words())
        return 0
    failed = 0
    for sentence, body in tests:
        try:
            body()
        except Exception as e:  # pylint: disable=broad-except
            failed += 1
            print(f"FAILED: {sentence}\n  {e!r}")
    print(f"{len(tests) - failed} passed, {failed} failed")
    return failed > 0


sys.exit(main())
