"""What lies on disk: Kafka's tools read our segments, a Kafka node serves a copy of our partitions, and the reverse."""
import os
import re
import shutil
import subprocess

import records
import toolchain
from kafka import BUILD, Kafka, tool
from nodes import fresh
from tally import run_client

TOPICS = [f"disk-{c}" for c in toolchain.ALL] + [f"disk-idem-{c}" for c in toolchain.ALL]
BIG = "disk-big"  # several segments, index entries
BIG_COUNT = 3000
COMPLAINTS = re.compile(r"(?i)mismatch|isvalid: false|not found in the log|out of order|could not|exception|corrupt|"
                        r"non-consecutive|should be")

# It begins every file as if at offset -1, and so says this of each segment but a partition's first.
FIRST = re.compile(r"Non-consecutive offsets in .*/0*(\d+)\.log\n  -1 is followed by \1\n")


def client(java, *args):
    done = subprocess.run([*java, *args], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=180)
    if done.returncode:
        raise RuntimeError(done.stderr[-1000:])
    return [s.split("\t") for s in done.stdout.splitlines()]


def dump(java, node, topics):
    """topic -> every record as a line, as the Java client reads them."""
    out = {t: [] for t in topics}
    for _, topic, *rest in client(java, "dump", node.bootstrap, *topics):
        out[topic].append("\t".join(rest))
    return out


def write(java, nodes):
    """The topics that are copied, on both nodes, which run. Returns node -> what a client reads of them."""
    path = os.path.join(BUILD, "records")
    records.write(path)
    out = {}
    for node in nodes:
        facts, end = run_client(java, node.bootstrap, "disk", toolchain.ALL, path, os.path.join(node.dir, "disk.err"))
        made = tool("org.apache.kafka.tools.TopicCommand", "--bootstrap-server", node.bootstrap, "--create", "--topic",
                    BIG, "--partitions", "1", "--config", "segment.bytes=1048576", "--config", "retention.ms=-1")
        sent = tool("org.apache.kafka.tools.ProducerPerformance", "--topic", BIG, "--num-records", str(BIG_COUNT),
                    "--record-size", "1000", "--throughput", "-1", "--producer-props",
                    f"bootstrap.servers={node.bootstrap}", "batch.size=8192")
        bad = end or next((lines[0] for lines in facts.values() if lines[0].startswith("ERROR")), None)
        bad = bad or (made.stdout + made.stderr if made.returncode else None)
        bad = bad or (sent.stdout + sent.stderr if sent.returncode else None)
        out[node] = bad, {} if bad else dump(java, node, [*TOPICS, BIG])
    return out


def files(node, topics, ending):
    out = []
    for t in topics:
        directory = node.partition(f"{t}-0")
        out += [os.path.join(directory, f) for f in sorted(os.listdir(directory)) if f.endswith(ending)]
    return out


def judge_tools(tally, node):
    """DumpLogSegments over what the node left behind."""
    topics = [*TOPICS, BIG]
    for ending, flags in ((".log", ["--deep-iteration", "--print-data-log"]), (".index", []), (".timeindex", []),
                          (".snapshot", [])):
        found = files(node, topics, ending)
        if not found:
            tally.test(f"disk/dump {ending}", "there is no such file")
            continue
        done = tool("org.apache.kafka.tools.DumpLogSegments", *flags, "--files", ",".join(found))
        text = FIRST.sub("", done.stdout + done.stderr)
        bad = next((s[:300] for s in text.splitlines() if COMPLAINTS.search(s.split(" payload:")[0])), None)
        if done.returncode:
            bad = f"exit code {done.returncode}: {text[-500:]}"
        if ending == ".log" and not bad:
            n = len(re.findall(r"^\| offset: ", text, re.M))
            bad = None if n == 40 * len(TOPICS) + BIG_COUNT else f"{n} records"
            tally.test("disk/segments roll", None if len(found) > len(topics) else f"{len(found)} segments")
        tally.test(f"disk/dump {ending}", bad)


def topic_id(directory):
    with open(os.path.join(directory, "partition.metadata")) as f:
        return next(s for s in f if s.startswith("topic_id:"))


def adopt(java, source, target):
    """Makes the topics on `target` and puts the partitions of `source`, which is down, in their place."""
    topics = [*TOPICS, BIG]
    with target:
        client(java, "create", target.bootstrap, *topics)
        client(java, "append", target.bootstrap, os.path.join(BUILD, "records"), *topics)  # so that each has a directory
    for t in topics:
        to = target.partition(f"{t}-0")
        wanted = topic_id(to)
        shutil.rmtree(to)
        shutil.copytree(source.partition(f"{t}-0"), to)
        with open(os.path.join(to, "partition.metadata"), "w") as f:
            f.write(f"version: 0\n{wanted}")


def judge_copy(tally, java, name, source, target, expected):
    """`target` on copies of the partitions of `source` serves what `source` served, and goes on from there."""
    try:
        adopt(java, source, target)
        with target:
            got = dump(java, target, list(expected))
            added = client(java, "append", target.bootstrap, os.path.join(BUILD, "records"), *expected)
            after = dump(java, target, list(expected))
    except (RuntimeError, OSError, subprocess.TimeoutExpired) as e:
        tally.test(f"disk/{name}", str(e))
        return
    where = {t: rest for _, t, *rest in added}
    for t, lines in expected.items():
        tally.test(f"disk/{name}/{t}", None if got[t] == lines else
                   f"{len(got[t])} records, first other: {[b for a, b in zip(lines, got[t]) if a != b][:1]}")
        n = len(lines)
        good = where.get(t) == [str(n), str(n + 39)] and after[t][:n] == lines and len(after[t]) == n + 40
        tally.test(f"disk/{name}/{t} goes on", None if good else f"{n} records, appended at {where.get(t)}, "
                                                                f"then {len(after[t])}")


def judge(tally, java, written, make_ours):
    """Both nodes are down. `make_ours` makes a new node of ours."""
    ours, theirs = written
    for node in written:
        if written[node][0]:
            tally.test(f"disk/written by {node.name}", written[node][0])
            return
    tally.test("disk/same records", None if written[ours][1].keys() == written[theirs][1].keys() and all(
        written[ours][1][t] == written[theirs][1][t] for t in TOPICS) else "they differ before anything is copied")
    judge_tools(tally, ours)
    judge_copy(tally, java, "ours under Kafka", ours, Kafka(fresh(os.path.join(BUILD, "copy-theirs")), "Kafka's copy"),
               written[ours][1])
    judge_copy(tally, java, "Kafka's under ours", theirs, make_ours("copy-ours"), written[theirs][1])
