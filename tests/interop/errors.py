"""Wrong requests of every API and version, told to both nodes: each answer is Kafka's, code by code (error_cases.py).

    errors.py OURS THEIRS [PREFIX [API…]]    on nodes that run; prints what differs"""
import collections
import json
import os
import re
import subprocess
import sys

import error_cases as cases
import toolchain
from kafka import BUILD, HERE, class_path, java

# Texts are ours, and what is a node's own is a node's own.
TEXTS = {"errorMessage", "documentation", "batchIndexErrorMessage"}
OWN = {"throttleTimeMs", "clusterId", "host", "port", "logDir", "producerId", "brokerEpoch", "partitionSize", "currentTxnStartOffset", "totalBytes",
       "usableBytes", "logAppendTimeMs", "apiKeys", "supportedFeatures", "finalizedFeatures", "finalizedFeaturesEpoch",
       "isCordoned"}


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
        out = {k: plain(v, k) for k, v in value.items() if k not in OWN}
        return out
    if isinstance(value, list):
        return sorted((plain(v) for v in value if not (isinstance(v, dict) and v.get("name") == "log.durable")), key=lambda v: json.dumps(v, sort_keys=True))
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
        return json.loads(answer)

    def end(self):
        self.process.stdin.close()
        self.process.wait(20)


def set_up(pair):
    pair.ask("CreateTopics", 5, {"topics": [
        {"name": "{p}a", "numPartitions": 3, "replicationFactor": 1, "configs": cases.config(retention_ms="-1")},
        {"name": "{p}w", "numPartitions": 2, "replicationFactor": 1, "configs": cases.config(retention_ms="-1")},
        {"name": "{p}compact", "numPartitions": 1, "replicationFactor": 1, "configs": cases.config(cleanup_policy="compact")},
        {"name": "{p}empty", "numPartitions": 1, "replicationFactor": 1}]})
    pair.ask("FindCoordinator", 3, {"key": "g", "keyType": 0})
    for i in range(10):
        pair.ask("Produce", 9, {"acks": -1, "timeoutMs": 5000, "topicData": [{"name": "{p}a", "partitionData": [{
            "index": 0, "records": cases.batch(first=cases.NOW + i, last=cases.NOW + i)}]}]})


def difference(a, b, path=""):
    """The first place where two plain answers differ."""
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
        for name, body in table + (cases.SILENT if api == "Produce" else []):
            found = collections.defaultdict(list)
            for version in range(low, high + 1):
                extra = {"silent": True} if name.startswith("unanswered") else {}
                ours, theirs = (plain(v) for v in pair.ask(api, version, body, **extra))
                if ours != theirs:
                    found[difference(ours, theirs)].append(version)
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
