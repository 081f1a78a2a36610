"""Wrong requests of every API and version, told to both nodes: each answer is Kafka's, code by code (error_cases.py).

    errors.py OURS THEIRS [PREFIX [API…]]    on nodes that run; prints what differs"""
import collections
import json
import os
import re
import subprocess
import sys
import time

import error_cases as cases
import toolchain
from kafka import BUILD, HERE, class_path, java

# Where Kafka's answer isn't to be had here, or ours is the better one; why. None of it is what clients send.
KNOWN = {
    "Produce/deltas out of order": "Kafka stores offsets that don't count up",
    "Produce/delta twice": "the same",
    "DescribeConfigs/logger": "loggers are each program's own",
    "Fetch/a session of no topics": "Kafka keeps a session of nothing, which costs a place in its cache",
    # Kafka forgets the first of them: here each is done and answered.
    "Produce/a partition twice": "Kafka drops the first one's records",
    "Fetch/a partition twice": "Kafka reads the last one alone",
    "DeleteRecords/twice": "the same",
}
LOADING = 14  # Kafka has no producer ids at first

# Texts are ours, and what is a node's own is a node's own.
TEXTS = {"errorMessage", "documentation", "batchIndexErrorMessage"}
OWN = {"throttleTimeMs", "clusterId", "host", "port", "logDir", "producerId", "brokerEpoch", "partitionSize", "currentTxnStartOffset", "totalBytes",
       "usableBytes", "logAppendTimeMs", "apiKeys", "supportedFeatures", "finalizedFeatures", "finalizedFeaturesEpoch",
       "isCordoned"}
LEFT = {"logStartOffset", "errorMessage", "responses"}  # of what failed, these are as it happens
# Settings that the two nodes are started with, or that are ours.
GIVEN = {"advertised.listeners", "broker.fence.grace.ms", "controller.quorum.bootstrap.servers", "controller.quorum.voters",
         "group.initial.rebalance.delay.ms", "listener.security.protocol.map", "listeners", "log.dirs", "log.durable",
         "offsets.topic.replication.factor", "queued.request.budget.bytes", "quorum.election.ms",
         "share.coordinator.state.topic.min.isr", "share.coordinator.state.topic.replication.factor",
         "transaction.state.log.min.isr", "transaction.state.log.replication.factor"}


def start(ours, theirs):
    out = os.path.join(BUILD, "raw")
    source = os.path.join(HERE, "java", "Raw.java")
    path = class_path("server-4.3.1")
    if not toolchain.newer(os.path.join(out, "Raw.class"), source):
        os.makedirs(out, exist_ok=True)
        toolchain.run("javac", "-nowarn", "-proc:none", "-d", out, "-cp", path, source)
    return subprocess.Popen(java(f"{out}:{path}", "Raw", ours, theirs), stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                            stderr=subprocess.DEVNULL, text=True)


def plain(value, key=None):
    """An answer without what may differ."""
    if isinstance(value, dict):
        failed = value.get("errorCode", 0) != 0
        return {k: plain(v, k) for k, v in value.items() if k not in OWN and not (failed and k in LEFT)}
    if isinstance(value, list):
        return sorted((plain(v) for v in value if not (isinstance(v, dict) and v.get("name") in GIVEN)), key=lambda v: json.dumps(v, sort_keys=True))
    if key in TEXTS:
        return value is not None
    if key in ("topicId", "sessionId") and value not in (0, cases.ZERO_ID, cases.SOME_ID):
        return "some"
    if key in ("baseOffset", "lastStableOffset", "highWatermark") and isinstance(value, int) and value > 0:
        return "more"
    return value


def fill(value, names):
    if isinstance(value, str):
        return re.sub(r"\{([pt])\}", lambda m: names[m.group(1)], value)
    if isinstance(value, dict):
        return {k: fill(v, names) for k, v in value.items()}
    return [fill(v, names) for v in value] if isinstance(value, list) else value


class Pair:
    def __init__(self, ours, theirs, prefix):
        self.process, self.prefix, self.n = start(ours, theirs), prefix, 0

    def ask(self, api, version, body, **extra):
        self.n += 1
        names = {"p": self.prefix, "t": f"{self.prefix}t{self.n}"}
        line = json.dumps({"api": api, "version": version, "body": fill(body, names), **extra})
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()
        answer = self.process.stdout.readline()
        if not answer:
            raise RuntimeError(f"the asking program ended at {line[:300]}")
        told = json.loads(answer)
        if api == "InitProducerId" and told[1].get("errorCode") == LOADING:
            time.sleep(0.2)
            return self.ask(api, version, body, **extra)
        return told

    def end(self):
        self.process.stdin.close()
        self.process.wait(20)


def settle(pair):
    """Until both nodes lead what was created: Kafka answers the creation before it does."""
    topics = [{"name": "{p}" + t, "partitions": [{"timestamp": -1}]} for t in ("a", "w", "compact", "two", "empty")]
    topics[0]["partitions"] = [{"partitionIndex": i, "timestamp": -1} for i in range(3)]
    for _ in range(50):
        told = pair.ask("ListOffsets", 5, {"topics": topics})
        if not any(p["errorCode"] for node in told for t in node["topics"] for p in t["partitions"]):
            return
        time.sleep(0.1)


def set_up(pair):
    pair.ask("CreateTopics", 5, {"topics": [
        {"name": "{p}a", "numPartitions": 3, "replicationFactor": 1, "configs": cases.config(retention_ms="-1")},
        {"name": "{p}w", "numPartitions": 2, "replicationFactor": 1, "configs": cases.config(retention_ms="-1")},
        {"name": "{p}compact", "numPartitions": 1, "replicationFactor": 1, "configs": cases.config(cleanup_policy="compact")},
        {"name": "{p}two", "numPartitions": 1, "replicationFactor": 1, "configs": cases.config(min_insync_replicas="2")},
        {"name": "{p}empty", "numPartitions": 1, "replicationFactor": 1}]})
    pair.ask("CreateTopics", 5, {"topics": [{"name": "__consumer_offsets", "numPartitions": 50, "replicationFactor": 1}]})
    settle(pair)
    for i in range(10):
        pair.ask("Produce", 9, {"acks": -1, "timeoutMs": 5000, "topicData": [{"name": "{p}a", "partitionData": [{
            "index": 0, "records": cases.batch(first=cases.NOW + i, last=cases.NOW + i)}]}]})


def accident(theirs, why):
    """Kafka ran into an exception that it didn't expect: it hangs, or says UNKNOWN_SERVER_ERROR where ours has a name."""
    return theirs.get("silent") or re.search(r"errorCode: ours [1-9]\d*, Kafka's -1$", why)


def difference(a, b, path=""):
    """The first place where two plain answers differ; None if there is none."""
    if a == b:
        return None
    if isinstance(a, dict) and "errorCode" in a and isinstance(b, dict) and a["errorCode"] != b.get("errorCode"):
        return f"{path}.errorCode: ours {a['errorCode']}, Kafka's {b.get('errorCode')}"
    if isinstance(a, dict) and isinstance(b, dict):
        for k in list(a) + [k for k in b if k not in a]:
            if a.get(k) != b.get(k):
                return difference(a.get(k), b.get(k), f"{path}.{k}" if path else k)
    if isinstance(a, list) and isinstance(b, list):
        for x, y in zip(a, b):
            if x != y:
                return difference(x, y, f"{path}[]")
        return f"{path}: {len(a)} and {len(b)} of them"
    return f"{path}: ours {json.dumps(a)[:160]}, Kafka's {json.dumps(b)[:160]}"


def judge(pair, apis):
    """Yields (api, case, {why: versions})."""
    set_up(pair)
    for api in apis:
        low, high, table = cases.APIS[api]
        for name, body in (row for row in table + (cases.SILENT if api == "Produce" else [])
                           if f"{api}/{row[0]}" not in KNOWN):
            found = collections.defaultdict(list)
            for version in range(low, high + 1):
                extra = {"silent": True} if name.startswith("unanswered") else {}
                ours, theirs = (plain(v) for v in pair.ask(api, version, body, **extra))
                why = difference(ours, theirs)
                if why and not accident(theirs, why):
                    found[why].append(version)
            yield api, name, found


def compare(tally, ours, theirs):
    pair = Pair(ours.bootstrap, theirs.bootstrap, "errors-")
    for api, name, found in judge(pair, cases.APIS):
        tally.test(f"errors/{api}/{name}", "; ".join(f"versions {v}: {why}" for why, v in found.items()) or None)
    pair.end()


if __name__ == "__main__":
    nodes = Pair(sys.argv[1], sys.argv[2], sys.argv[3] if len(sys.argv) > 3 else "e-")
    total = bad = 0
    for where, what, reasons in judge(nodes, sys.argv[4:] or cases.APIS):
        total, bad = total + 1, bad + bool(reasons)
        for reason, versions in reasons.items():
            print(f"{where}/{what} {versions[0]}-{versions[-1]}: {reason}", flush=True)
    print(f"{total} cases, {bad} differ")
    nodes.end()
