"""Requests that are wrong in one way each, for every API and version: name, API, fields that differ from their defaults.

{p} in a text is a prefix of this run, {t} a topic name of this case and version alone. The node has {p}a (3 partitions, ten
records in partition 0), {p}compact (compacted) and {p}empty. Bytes are base64."""
import batches
from batches import NOW, batch, old, raw, record, text

LONG = "x" * 250
NAMES = [("empty", ""), ("dot", "."), ("dots", ".."), ("space", "a b"), ("long", LONG), ("unknown", "{p}none")]
ZERO_ID, SOME_ID = "AAAAAAAAAAAAAAAAAAAAAA", "AAAAAAAAAAAAAAAAAAB7Qg"


def create(**fields):
    return {"topics": [{"name": "{t}", "numPartitions": 1, "replicationFactor": 1, **fields}]}


def assigned(*rows):
    return [{"partitionIndex": p, "brokerIds": brokers} for p, brokers in rows]


def config(**values):
    return [{"name": k.replace("_", "."), "value": v} for k, v in values.items()]


CREATE = [(f"name {n}", {"topics": [{"name": v, "numPartitions": 1, "replicationFactor": 1}]})
          for n, v in NAMES if n != "unknown"] + [
    ("good", create()),
    ("no topics", {"topics": []}),
    ("exists", create(name="{p}a")),
    ("twice", {"topics": [{"name": "{t}", "numPartitions": 1, "replicationFactor": 1}] * 2}),
    ("twice and another", {"topics": [{"name": n, "numPartitions": 1, "replicationFactor": 1} for n in ("{t}", "{t}b", "{t}")]}),
    ("collides", {"topics": [{"name": n, "numPartitions": 1, "replicationFactor": 1} for n in ("{t}.x", "{t}_x")]}),
    ("metadata log", create(name="__cluster_metadata")),
    *[(f"{n} partitions", create(numPartitions=n)) for n in (0, -1, -2, 10001)],
    *[(f"{n} replicas", create(replicationFactor=n)) for n in (0, -1, -2, 2)],
    ("assigned", create(numPartitions=-1, replicationFactor=-1, assignments=assigned((0, [1]), (1, [1])))),
    ("assigned and counted", create(assignments=assigned((0, [1])))),
    ("assigned and partitions", create(replicationFactor=-1, assignments=assigned((0, [1])))),
    ("assigned and replicas", create(numPartitions=-1, assignments=assigned((0, [1])))),
    *[(f"assigned {n}", create(numPartitions=-1, replicationFactor=-1, assignments=assigned(*rows))) for n, rows in [
        ("a gap", [(1, [1])]), ("twice", [(0, [1]), (0, [1])]), ("one broker twice", [(0, [1, 1])]),
        ("a stranger", [(0, [9])]), ("nobody", [(0, [])]), ("unevenly", [(0, [1]), (1, [1, 9])]), ("-1", [(-1, [1])])]],
    ("null value", create(configs=config(retention_ms=None))),
    ("bad value", create(configs=config(retention_ms="x"))),
    ("low value", create(configs=config(retention_ms="-2"))),
    ("unknown setting", create(configs=config(no_such="x"))),
    ("setting twice", create(configs=config(retention_ms="1") + config(retention_ms="2"))),
    ("lags cross", create(configs=config(min_compaction_lag_ms="9", max_compaction_lag_ms="8"))),
    ("settings", create(configs=config(retention_ms="7", cleanup_policy="compact,delete", segment_bytes="1048576"))),
    ("only tried", {**create(), "validateOnly": True}),
    ("only tried, bad", {**create(replicationFactor=3), "validateOnly": True}),
    ("no time", {**create(), "timeoutMs": 0}),
    ("negative time", {**create(), "timeoutMs": -1}),
]

DELETE = [(f"name {n}", {"timeoutMs": 5000, "topicNames": [v], "topics": [{"name": v}]}) for n, v in NAMES] + [
    ("no time", {"topicNames": ["{p}a"], "topics": [{"name": "{p}a"}]}),
    ("twice", {"timeoutMs": 5000, "topicNames": ["{p}none"] * 2, "topics": [{"name": "{p}none"}] * 2}),
    ("existing twice", {"timeoutMs": 5000, "topicNames": ["{p}a"] * 2, "topics": [{"name": "{p}a"}] * 2}),
    ("none", {"timeoutMs": 5000, "topicNames": [], "topics": []}),
    ("metadata log", {"timeoutMs": 5000, "topicNames": ["__cluster_metadata"], "topics": [{"name": "__cluster_metadata"}]}),
    ("unknown id", {"timeoutMs": 5000, "topics": [{"name": None, "topicId": SOME_ID}]}),
    ("unknown id twice", {"timeoutMs": 5000, "topics": [{"name": None, "topicId": SOME_ID}] * 2}),
    ("zero id", {"timeoutMs": 5000, "topics": [{"name": None, "topicId": ZERO_ID}]}),
    ("name and id", {"timeoutMs": 5000, "topics": [{"name": "{p}a", "topicId": "$id:{p}a"}]}),
    ("name and its id", {"timeoutMs": 5000, "topics": [{"name": "{p}a"}, {"name": None, "topicId": "$id:{p}a"}]}),
]

GROW = [(f"name {n}", {"timeoutMs": 5000, "topics": [{"name": v, "count": 9}]}) for n, v in NAMES] + [
    *[(f"to {n}", {"timeoutMs": 5000, "topics": [{"name": "{p}a", "count": n}]}) for n in (-1, 0, 2, 3, 10004)],
    ("only tried", {"timeoutMs": 5000, "topics": [{"name": "{p}a", "count": 5}], "validateOnly": True}),
    ("assigned", {"timeoutMs": 5000, "topics": [{"name": "{p}a", "count": 4, "assignments": [{"brokerIds": [1]}]}], "validateOnly": True}),
    *[(f"assigned {n}", {"timeoutMs": 5000, "topics": [{"name": "{p}a", "count": 4, "assignments": [{"brokerIds": b} for b in rows]}]})
      for n, rows in [("too many", [[1], [1]]), ("none", []), ("nobody", [[]]), ("a stranger", [[9]]),
                      ("one broker twice", [[1, 1]]), ("negative", [[-1]])]],
    ("twice", {"timeoutMs": 5000, "topics": [{"name": "{p}a", "count": 5}] * 2}),
    ("none", {"timeoutMs": 5000, "topics": []}),
    ("no time", {"topics": [{"name": "{p}a", "count": 4}]}),
]


def produce(records, partition=0, name="{p}w", **fields):
    return {"acks": -1, "timeoutMs": 5000, "topicData": [{
        "name": name, "topicId": f"$id:{name}", "partitionData": [{"index": partition, "records": records}]}], **fields}


PRODUCE = [
    ("good", produce(batch())),
    ("good, from the leader alone", produce(batch(), acks=1)),
    *[(f"acks {n}", produce(batch(), acks=n)) for n in (2, -2, 32767)],
    *[(f"magic {n}", produce(old(n))) for n in (0, 1)],
    ("magic 3", produce(batch(magic=3))),
    ("magic 0, a broken sum", produce(old(0)[:-4] + "AAAA")),
    ("magic 2, then 1", produce(text(raw() + __import__("base64").b64decode(old(1))))),
    ("no bytes", produce("")),
    ("null records", produce(None)),
    ("a torn batch", produce(text(raw()[:-1]))),
    ("a torn header", produce(text(raw()[:30]))),
    ("two batches", produce(text(raw() + raw()))),
    ("two batches, one torn", produce(text(raw() + raw()[:-1]))),
    ("bytes behind", produce(text(raw() + b"\0" * 5))),
    ("bytes in the batch", produce(batch(tail=b"\0"))),
    ("a broken sum", produce(batch(crc=1))),
    ("no records", produce(batch(values=(), delta=-1))),
    ("no records, delta 0", produce(batch(values=(), delta=0))),
    ("too many counted", produce(batch(count=2))),
    ("too few counted", produce(batch(values=(b"a", b"b"), count=1, delta=0))),
    ("a negative count", produce(batch(count=-1))),
    ("delta beyond", produce(batch(delta=5))),
    ("a base offset", produce(batch(base=7))),
    ("a negative base offset", produce(batch(base=-7))),
    ("deltas out of order", produce(batch(values=(b"", b""), records=record(1, b"k", b"") + record(0, b"k", b"")))),
    ("delta twice", produce(batch(values=(b"", b""), records=record(0, b"k", b"") * 2))),
    ("a short record", produce(batch(records=record(0, b"k", b"v")[:-2]))),
    ("a control batch", produce(batch(attributes=0x20))),
    ("a transactional batch", produce(batch(attributes=0x10, producer=1, producer_epoch=0, sequence=0))),
    ("a transactional id", produce(batch(), transactionalId="x")),
    ("from the future", produce(batch(first=NOW * 2, last=NOW * 2))),
    ("a negative time", produce(batch(first=-1, last=-1))),
    ("a more negative time", produce(batch(first=-2, last=-2))),
    ("a wrong last time", produce(batch(last=NOW + 5))),
    ("append time", produce(batch(attributes=8))),
    ("a delete horizon", produce(batch(attributes=0x40))),
    ("unknown attributes", produce(batch(attributes=0x80))),
    *[(f"codec {n}", produce(batch(attributes=n, records=b"garbage"))) for n in (2, 3, 4, 5, 6, 7)],
    ("gzip", produce(batch(attributes=1))),
    ("gzip of garbage", produce(batch(attributes=1, records=b"garbage"))),
    ("a producer without epoch", produce(batch(producer=5))),
    ("a producer without sequence", produce(batch(producer=5, producer_epoch=0))),
    ("a sequence that begins late", produce(batch(producer=77, producer_epoch=0, sequence=9))),
    ("a sequence", produce(batch(producer=78, producer_epoch=0, sequence=0))),
    ("a negative producer", produce(batch(producer=-2, producer_epoch=0, sequence=0))),
    ("a negative epoch", produce(batch(producer=79, producer_epoch=-2, sequence=0))),
    ("a negative sequence", produce(batch(producer=79, producer_epoch=0, sequence=-2))),
    ("two batches of a producer", produce(text(raw(producer=80, producer_epoch=0, sequence=0) +
                                               raw(producer=80, producer_epoch=0, sequence=1)))),
    ("a large batch", produce(batch(values=(b"x" * 1100000,)))),
    ("a null key", produce(batch(key=None))),
    ("a null key, compacted", produce(batch(key=None), name="{p}compact")),
    ("a key, compacted", produce(batch(), name="{p}compact")),
    ("an old leader epoch", produce(batch(epoch=3))),
    *[(f"partition {n}", produce(batch(), n)) for n in (1, -1, 9)],
    *[(f"name {n}", produce(batch(), name=v)) for n, v in NAMES],
    ("unknown id", {**produce(batch()), "topicData": [{"topicId": SOME_ID, "partitionData": [{"records": batch()}]}]}),
    ("zero id", {**produce(batch()), "topicData": [{"topicId": ZERO_ID, "partitionData": [{"records": batch()}]}]}),
    ("groups' offsets", produce(batch(), name="__consumer_offsets")),
    ("a lone replica of two", produce(batch(), name="{p}two")),
    ("a lone replica of two, from the leader", produce(batch(), name="{p}two", acks=1)),
    ("a transaction", produce(batch(attributes=0x10, producer=1, producer_epoch=0, sequence=0), transactionalId="x")),
    ("no topics", {"acks": 1, "topicData": []}),
    ("no partitions", {"acks": 1, "topicData": [{"name": "{p}w", "topicId": "$id:{p}w", "partitionData": []}]}),
    ("a partition twice", {"acks": 1, "topicData": [{"name": "{p}w", "topicId": "$id:{p}w", "partitionData": [
        {"index": 0, "records": batch()}] * 2}]}),
]
SILENT = [("unanswered", produce(batch(), acks=0)), ("unanswered, bad", produce(batch(), 9, acks=0)),
          ("unanswered, broken", produce(batch(crc=1), acks=0))]


def fetch(topic="{p}a", replica=-1, **partition):
    return {"replicaId": replica, "maxWaitMs": 0, "minBytes": 1, "maxBytes": 1 << 20, "sessionEpoch": -1,
            **({"replicaState": {"replicaId": replica}} if replica >= 0 else {}),
            "topics": [{"topic": topic, "topicId": f"$id:{topic}",
                        "partitions": [{"partitionMaxBytes": 1 << 20, **partition}]}]}


FETCH = [(f"name {n}", fetch(v)) for n, v in NAMES] + [
    ("good", fetch()),
    *[(f"partition {n}", fetch(partition=n)) for n in (2, 3, -1)],
    *[(f"offset {n}", fetch(fetchOffset=n)) for n in (5, 9, 10, 11, -1, -2, 1 << 62)],
    *[(f"epoch {n}", fetch(currentLeaderEpoch=n)) for n in (-1, 0, 1, 5, -2)],
    *[(f"last epoch {n}", fetch(currentLeaderEpoch=0, lastFetchedEpoch=n)) for n in (0, 5)],
    *[(f"partition bytes {n}", fetch(partitionMaxBytes=n)) for n in (0, 1, -1)],
    *[(f"bytes {n}", {**fetch(), "maxBytes": n}) for n in (0, 1, -1)],
    *[(f"at least {n}", {**fetch(), "minBytes": n}) for n in (0, -1)],
    *[(f"isolation {n}", {**fetch(), "isolationLevel": n}) for n in (1, 2)],
    *[(f"session {i}, {e}", {**fetch(), "sessionId": i, "sessionEpoch": e})
      for i, e in [(0, 0), (0, 5), (0, -5), (123, 1), (123, 0), (123, -1)]],
    ("no topics", {**fetch(), "topics": []}),
    ("a session of no topics", {**fetch(), "topics": [], "sessionEpoch": 0}),
    ("forgetting without a session", {**fetch(), "forgottenTopicsData": [{"topic": "{p}a", "topicId": "$id:{p}a", "partitions": [0]}]}),
    *[(f"replica {n}", fetch(replica=n)) for n in (1, 2)],
    ("a debugger", fetch(replica=-2)),
    ("a rack", {**fetch(), "rackId": "somewhere"}),
    ("start offset", fetch(logStartOffset=5)),
    ("unknown id", {**fetch(), "topics": [{"topic": "{p}none", "topicId": SOME_ID, "partitions": [{}]}]}),
    ("unknown id in a session", {**fetch(), "sessionEpoch": 0, "topics": [{"topic": "{p}none", "topicId": SOME_ID, "partitions": [{}]}]}),
    ("a partition twice", {**fetch(), "topics": [{"topic": "{p}a", "topicId": "$id:{p}a", "partitions": [
        {"partitionMaxBytes": 1000}] * 2}]}),
]


def offsets(name="{p}a", **partition):
    return {"topics": [{"name": name, "partitions": [{"timestamp": -1, **partition}]}]}


LIST = [(f"name {n}", offsets(v)) for n, v in NAMES] + [
    *[(f"time {n}", offsets(timestamp=n)) for n in
      (-1, -2, -3, -4, -5, -6, -7, -100, 0, NOW - 1, NOW, NOW + 3, NOW + 9, NOW + 10, 1 << 62)],
    *[(f"time {n} of an empty log", offsets("{p}empty", timestamp=n)) for n in (-1, -2, -3, -4, -5, -6, 0)],
    *[(f"partition {n}", offsets(partitionIndex=n)) for n in (2, 3, -1)],
    *[(f"epoch {n}", offsets(currentLeaderEpoch=n)) for n in (-1, 0, 1, -2)],
    *[(f"replica {n}", {**offsets(), "replicaId": n}) for n in (-2, 1, 2)],
    *[(f"isolation {n}", {**offsets(), "isolationLevel": n}) for n in (1, 2)],
    ("a partition twice", {"topics": [{"name": "{p}a", "partitions": [{"timestamp": -1}, {"timestamp": -2}]}]}),
    ("no topics", {"topics": []}),
]


def epochs(topic="{p}a", replica=-1, **partition):
    return {"replicaId": replica, "topics": [{"topic": topic, "partitions": [partition]}]}


EPOCHS = [(f"name {n}", epochs(v)) for n, v in NAMES] + [
    *[(f"of {n}", epochs(leaderEpoch=n)) for n in (-2, -1, 0, 1, 99)],
    *[(f"of 0 of an empty log, at {n}", epochs("{p}empty", leaderEpoch=0, currentLeaderEpoch=n)) for n in (-1, 0)],
    *[(f"at {n}", epochs(currentLeaderEpoch=n, leaderEpoch=0)) for n in (-2, -1, 0, 1)],
    *[(f"partition {n}", epochs(partition=n, leaderEpoch=0)) for n in (2, 3, -1)],
    *[(f"replica {n}", epochs(replica=n, leaderEpoch=0)) for n in (-2, 1, 2)],
    ("no topics", {"topics": []}),
]


def cut(name="{p}empty", partition=0, offset=0):
    return {"timeoutMs": 5000, "topics": [{"name": name, "partitions": [{"partitionIndex": partition, "offset": offset}]}]}


CUT = [(f"name {n}", cut(v)) for n, v in NAMES] + [
    *[(f"to {n}", cut(offset=n)) for n in (-1, 0, 1, -2)],
    *[(f"partition {n}", cut(partition=n)) for n in (9, -1)],
    ("beyond the end", cut("{p}a", offset=11)),
    ("of a compacted topic", cut("{p}compact", offset=0)),
    ("of groups' offsets", cut("__consumer_offsets")),
    ("twice", {"timeoutMs": 5000, "topics": [{"name": "{p}empty", "partitions": [{"offset": 0}] * 2}]}),
    ("no topics", {"timeoutMs": 5000, "topics": []}),
]


def resource(kind, name, keys=None, **fields):
    return {"resources": [{"resourceType": kind, "resourceName": name, "configurationKeys": keys}], **fields}


RESOURCES = [("topic", 2, "{p}a"), ("unknown topic", 2, "{p}none"), ("bad topic", 2, "a b"), ("empty topic", 2, ""),
             ("broker", 4, "1"), ("brokers", 4, ""), ("another broker", 4, "99"), ("no broker", 4, "abc"), ("broker -1", 4, "-1"),
             ("logger", 8, "1"), ("another's logger", 8, "99"), ("no logger", 8, ""), ("metrics", 16, "m"), ("no metrics", 16, ""),
             ("group", 32, "g"), ("no group", 32, ""), ("group type", 3, "g"), ("unknown type", 0, "x"), ("type 7", 7, "x"),
             ("type 99", 99, "x")]
SHOW = [(n, resource(kind, name, [] if n in ("logger",) else None, includeSynonyms=True)) for n, kind, name in RESOURCES] + [
    ("topic, a setting", resource(2, "{p}a", ["retention.ms"])),
    ("topic, settings", resource(2, "{p}compact", ["cleanup.policy", "no.such", "retention.ms"], includeSynonyms=True)),
    ("topic, no settings", resource(2, "{p}a", [])),
    ("documented", resource(2, "{p}a", None, includeDocumentation=True)),
    ("broker documented", resource(4, "1", None, includeDocumentation=True)),
    ("broker, a setting", resource(4, "1", ["log.retention.ms", "no.such"], includeSynonyms=True)),
    ("broker, no settings", resource(4, "1", [])),
    ("twice", {"resources": [{"resourceType": 2, "resourceName": "{p}a", "configurationKeys": ["retention.ms"]}] * 2}),
    ("none", {"resources": []}),
]


def alter(kind, name, *rows, **fields):
    return {"resources": [{"resourceType": kind, "resourceName": name, "configs": [
        {"name": k, "value": v} for k, v in rows]}], **fields}


ALTERED = [(n, kind, name) for n, kind, name in RESOURCES]
ROWS = [
    ("null", [("retention.ms", None)]), ("bad", [("retention.ms", "x")]), ("low", [("retention.ms", "-2")]),
    ("unknown", [("no.such", "1")]), ("empty name", [("", "1")]), ("twice", [("retention.ms", "1"), ("retention.ms", "2")]),
    ("crossed", [("min.compaction.lag.ms", "9"), ("max.compaction.lag.ms", "8")]), ("spaces", [("retention.ms", " 7 ")]),
    ("empty value", [("retention.ms", "")]), ("empty list", [("cleanup.policy", "")]), ("odd list", [("cleanup.policy", "delete,,compact")]),
    ("list twice", [("cleanup.policy", "delete,delete")]), ("bad list", [("cleanup.policy", "x")]),
    ("remote", [("remote.storage.enable", "true")]), ("large", [("segment.bytes", "9999999999")]), ("small", [("segment.bytes", "10")]),
    ("throttled", [("leader.replication.throttled.replicas", "0:1,x")]), ("case", [("compression.type", "LZ4")]),
    ("bool", [("preallocate", "yes")]), ("double", [("min.cleanable.dirty.ratio", "1.5")]),
]
BROKER_ROWS = [
    ("read-only", [("num.partitions", "3")]), ("per broker", [("listeners", "PLAINTEXT://:1")]), ("bad", [("log.retention.ms", "x")]),
    ("unknown", [("no.such", "1")]), ("good", [("log.retention.ms", "1000000")]), ("null", [("log.retention.ms", None)]),
    ("threads", [("num.io.threads", "1000")]), ("no threads", [("num.io.threads", "0")]),
    ("connections", [("listener.name.plaintext.max.connections", "5")]), ("twice", [("log.retention.ms", "1"), ("log.retention.ms", "2")]),
    ("zero", [("log.retention.ms", "0")]), ("empty name", [("", "1")]), ("node.id", [("node.id", "4")]),
    ("rate", [("leader.replication.throttled.rate", "1000")]), ("bad rate", [("leader.replication.throttled.rate", "-1")]),
]
ALTER = [(n, alter(kind, name, ("retention.ms", "1000"), validateOnly=True)) for n, kind, name in ALTERED] + \
        [(f"topic {n}", alter(2, "{p}empty", *rows, validateOnly=True)) for n, rows in ROWS] + \
        [(f"broker {n}", alter(4, "1", *rows, validateOnly=True)) for n, rows in BROKER_ROWS] + \
        [(f"brokers {n}", alter(4, "", *rows, validateOnly=True)) for n, rows in BROKER_ROWS] + [
    ("twice", {"resources": alter(2, "{p}empty")["resources"] * 2, "validateOnly": True}),
    ("none", {"resources": []}),
    ("of a subscription", alter(16, "m", ("interval.ms", "5"), validateOnly=True)),
    ("of a group", alter(32, "g", ("consumer.session.timeout.ms", "5"), validateOnly=True)),
]


def step(kind, name, *rows, **fields):
    return {"resources": [{"resourceType": kind, "resourceName": name, "configs": [
        {"name": k, "configOperation": op, "value": v} for k, op, v in rows]}], "validateOnly": True, **fields}


STEP = [(n, step(kind, name, ("retention.ms", 0, "1000"))) for n, kind, name in ALTERED] + \
       [(f"{n}, nothing", step(kind, name)) for n, kind, name in ALTERED] + \
       [(f"topic {n}, {op}", step(2, "{p}empty", *[(k, op, v) for k, v in rows])) for n, rows in ROWS for op in (0, 1, 2, 3)] + \
       [(f"broker {n}, {op}", step(4, "1", *[(k, op, v) for k, v in rows])) for n, rows in BROKER_ROWS for op in (0, 1, 2, 3)] + \
       [(f"brokers {n}, {op}", step(4, "", *[(k, op, v) for k, v in rows])) for n, rows in BROKER_ROWS for op in (0, 1)] + [
    *[(f"list, {op}", step(2, "{p}empty", ("cleanup.policy", op, "compact"))) for op in (0, 1, 2, 3, 4, -1)],
    *[(f"list of what is there, {op}", step(2, "{p}empty", ("cleanup.policy", op, "delete"))) for op in (2, 3)],
    *[(f"null list, {op}", step(2, "{p}empty", ("cleanup.policy", op, None))) for op in (0, 1, 2, 3)],
    ("set and deleted", step(2, "{p}empty", ("retention.ms", 0, "1"), ("retention.ms", 1, None))),
    ("twice", {"resources": step(2, "{p}empty")["resources"] * 2, "validateOnly": True}),
    ("none", {"resources": [], "validateOnly": True}),
    *[(f"logger {logger} {level}, {op}", step(8, "1", (logger, op, level))) for logger, level, op in
      [("no.such.logger", "INFO", 0), ("no.such.logger", "INFO", 1), ("root", "LOUD", 0), ("root", None, 1), ("root", "INFO", 2)]],
    *[(f"metrics {k} {v}", step(16, "m", (k, 0, v))) for k, v in
      [("interval.ms", "100"), ("interval.ms", "99"), ("interval.ms", "x"), ("match", "client_id=a.*"), ("match", "client_id=["),
       ("match", "x=1"), ("match", "nothing"), ("metrics", "a,b"), ("no.such", "1")]],
    *[(f"group {k} {v}", step(32, "g", (k, 0, v))) for k, v in
      [("consumer.session.timeout.ms", "45000"), ("consumer.session.timeout.ms", "5"), ("consumer.heartbeat.interval.ms", "60000"),
       ("consumer.heartbeat.interval.ms", "5000"), ("share.auto.offset.reset", "earliest"), ("share.auto.offset.reset", "by_duration:x"),
       ("share.auto.offset.reset", "by_duration:PT1H"), ("share.isolation.level", "x"), ("no.such", "1")]],
]


def metadata(*names, **fields):
    return {"topics": [{"name": n} for n in names], "allowAutoTopicCreation": False, **fields}


METADATA = [(f"name {n}", metadata(v)) for n, v in NAMES] + [
    *[(f"made by name {n}", {**metadata(v), "allowAutoTopicCreation": True}) for n, v in NAMES if n != "unknown"],
    ("good", metadata("{p}a")), ("twice", metadata("{p}a", "{p}a")), ("unknown twice", metadata("{p}none", "{p}none")),
    ("operations", metadata("{p}a", includeTopicAuthorizedOperations=True)),
    ("cluster's operations", metadata("{p}a", includeClusterAuthorizedOperations=True)),
    ("unknown id", {"topics": [{"name": None, "topicId": SOME_ID}]}),
    ("zero id", {"topics": [{"name": None, "topicId": ZERO_ID}]}),
    ("id", {"topics": [{"name": None, "topicId": "$id:{p}a"}]}),
    ("id twice", {"topics": [{"name": None, "topicId": "$id:{p}a"}] * 2}),
    ("name and id", {"topics": [{"name": "{p}a", "topicId": "$id:{p}a"}]}),
    ("name and another id", {"topics": [{"name": "{p}a", "topicId": SOME_ID}]}),
    ("names and ids", {"topics": [{"name": "{p}a"}, {"name": None, "topicId": "$id:{p}empty"}]}),
]


def described(*names, **fields):
    return {"topics": [{"name": n} for n in names], **fields}


DESCRIBE = [(f"name {n}", described(v)) for n, v in NAMES] + [
    ("good", described("{p}a")), ("twice", described("{p}a", "{p}a")),
    *[(f"at most {n}", described("{p}a", "{p}empty", responsePartitionLimit=n)) for n in (2, 1, 0, -1, 3, 4)],
    *[(f"from {n}, {p}", described("{p}a", "{p}empty", "{p}compact", cursor={"topicName": n, "partitionIndex": p})) for n, p in
      [("{p}a", 0), ("{p}a", 2), ("{p}a", 3), ("{p}a", -1), ("{p}b", 0), ("{p}empty", 1), ("", 0), ("zzz", 0)]],
]

OTHERS = {
    "DescribeCluster": [(f"type {n}", {"endpointType": n}) for n in (0, 1, 2, 3)] + [
        ("operations", {"includeClusterAuthorizedOperations": True}), ("fenced ones", {"includeFencedBrokers": True})],
    "DescribeProducers": [(f"name {n}", {"topics": [{"name": v, "partitionIndexes": [0]}]}) for n, v in NAMES] + [
        (f"partition {n}", {"topics": [{"name": "{p}a", "partitionIndexes": [n]}]}) for n in (0, 2, 3, -1)],
    "ListConfigResources": [(f"types {n}", {"resourceTypes": n}) for n in ([], [2], [4], [8], [16], [32], [99], [0], [2, 4])],
    "DescribeLogDirs": [(f"name {n}", {"topics": [{"topic": v, "partitions": [0]}]}) for n, v in NAMES] + [
        ("good", {"topics": [{"topic": "{p}a", "partitions": [0]}]}), ("none", {"topics": []}),
        ("no partitions", {"topics": [{"topic": "{p}a", "partitions": []}]}),
        ("bad partitions", {"topics": [{"topic": "{p}a", "partitions": [9, -1]}]})],
    "InitProducerId": [(f"{i}, {e}", {"transactionalId": None, "transactionTimeoutMs": 5000, "producerId": i, "producerEpoch": e})
                       for i, e in [(-1, -1), (5, -1), (-1, 5), (5, 5), (-2, -2)]] + [
        (f"in {n} ms", {"transactionalId": None, "transactionTimeoutMs": n}) for n in (0, -1, 1 << 30)] + [
        ("an empty id", {"transactionalId": "", "transactionTimeoutMs": 5000})],
    "ApiVersions": [(f"{n} {v}", {"clientSoftwareName": n, "clientSoftwareVersion": v})
                    for n, v in [("a", "1"), ("", "1"), ("a", ""), ("a b", "1"), ("-a", "1"), ("a", "1 2"), ("a.b-c", "1.0")]],
}

APIS = {  # versions are the broker's
    "Metadata": (0, 13, METADATA), "CreateTopics": (2, 7, CREATE), "CreatePartitions": (0, 3, GROW), "Produce": (3, 13, PRODUCE),
    "Fetch": (4, 18, FETCH), "ListOffsets": (1, 11, LIST), "OffsetForLeaderEpoch": (2, 4, EPOCHS), "DeleteRecords": (0, 2, CUT),
    "DescribeConfigs": (1, 4, SHOW), "AlterConfigs": (0, 2, ALTER), "IncrementalAlterConfigs": (0, 1, STEP),
    "DescribeTopicPartitions": (0, 0, DESCRIBE), "DescribeCluster": (0, 2, OTHERS["DescribeCluster"]),
    "DescribeProducers": (0, 0, OTHERS["DescribeProducers"]), "ListConfigResources": (0, 1, OTHERS["ListConfigResources"]),
    "DescribeLogDirs": (1, 5, OTHERS["DescribeLogDirs"]), "InitProducerId": (0, 5, OTHERS["InitProducerId"]),
    "ApiVersions": (0, 4, OTHERS["ApiVersions"]), "DeleteTopics": (1, 6, DELETE),
}
