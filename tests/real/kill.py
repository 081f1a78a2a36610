"""kill -9 under load: what was acknowledged is there, once if the producer is idempotent, and reads as it was read before."""
import collections
import random
import threading
import time

from confluent_kafka import Consumer, KafkaError, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

PARTITIONS = 3
BATCH = 400  # records in flight of a producer


def create(node, topics, partitions=PARTITIONS):
    """topics: name -> settings."""
    admin = AdminClient({"bootstrap.servers": node.bootstrap})
    made = admin.create_topics([NewTopic(t, partitions, 1, config=c) for t, c in topics.items()])
    for f in made.values():
        f.result(20)


class Load(threading.Thread):
    """A producer that goes on through every restart. acked: (partition, offset) by sequence number, as it was told."""

    def __init__(self, node, name, topic, idempotent, codec="none"):
        super().__init__(daemon=True)
        self.name_, self.topic, self.idempotent = name, topic, idempotent
        self.acked, self.failed, self.sent, self.ended = {}, [], 0, threading.Event()
        self.producer = Producer({
            "bootstrap.servers": node.bootstrap, "acks": "all", "enable.idempotence": idempotent, "linger.ms": 2,
            "compression.type": codec, "message.timeout.ms": 120000, "reconnect.backoff.ms": 20,
            "reconnect.backoff.max.ms": 200, "retry.backoff.ms": 20, "log_level": 0, "error_cb": lambda e: None})

    def told(self, n, err, msg):
        if err:
            self.failed.append((n, err.str()))
        else:
            self.acked[n] = (msg.partition(), msg.offset())

    def run(self):
        while not self.ended.is_set():
            if self.sent - len(self.acked) - len(self.failed) < BATCH:
                n = self.sent
                self.sent += 1
                self.producer.produce(self.topic, f"{self.name_}:{n}:".encode() + bytes(n % 700), partition=n % PARTITIONS,
                                      on_delivery=lambda err, msg, n=n: self.told(n, err, msg))
                self.producer.poll(0)
                time.sleep(0.0005)
            else:
                self.producer.poll(0.01)
        self.producer.flush(60)


def reader(node, group):
    return Consumer({"bootstrap.servers": node.bootstrap, "group.id": group, "enable.auto.commit": False,
                     "auto.offset.reset": "error", "check.crcs": True, "enable.partition.eof": True, "log_level": 0,
                     "reconnect.backoff.ms": 20, "reconnect.backoff.max.ms": 200, "error_cb": lambda e: None,
                     "fetch.wait.max.ms": 50})


class Follow(threading.Thread):
    """A consumer that reads along through every restart. seen: what it was given at each (partition, offset)."""

    def __init__(self, node, topic):
        super().__init__(daemon=True)
        self.topic, self.seen, self.wrong, self.ended = topic, {}, [], threading.Event()
        self.next = collections.Counter()
        self.consumer = reader(node, "along")
        self.consumer.assign([TopicPartition(topic, p, 0) for p in range(PARTITIONS)])

    def run(self):
        while not self.ended.is_set():
            for m in self.consumer.consume(500, 0.1):
                if m.error():
                    if m.error().code() not in (KafkaError._PARTITION_EOF, KafkaError._TRANSPORT,
                                                KafkaError._ALL_BROKERS_DOWN):
                        self.wrong.append(m.error().str())
                    continue
                p = m.partition()
                if m.offset() != self.next[p]:
                    self.wrong.append(f"{p}: offset {m.offset()} after {self.next[p] - 1}")
                self.next[p] = m.offset() + 1
                self.seen[p, m.offset()] = m.value().split(b"\0")[0]
        self.consumer.close()


def read_all(node, topic, seconds=60):
    """Everything, from the beginning: values by partition, in order. Fails on a gap, a CRC, an error."""
    consumer, out, ends = reader(node, "all"), [[] for _ in range(PARTITIONS)], set()
    consumer.assign([TopicPartition(topic, p, 0) for p in range(PARTITIONS)])
    limit = time.monotonic() + seconds
    try:
        while len(ends) < PARTITIONS:
            assert time.monotonic() < limit, f"{topic}: not read to its end in {seconds} s"
            for m in consumer.consume(1000, 0.2):
                p = m.partition()
                if m.error():
                    assert m.error().code() in (KafkaError._PARTITION_EOF, KafkaError._TRANSPORT,
                                                KafkaError._ALL_BROKERS_DOWN), m.error().str()
                    ends |= {p} if m.error().code() == KafkaError._PARTITION_EOF else set()
                    continue
                assert m.offset() == len(out[p]), f"{topic}-{p}: offset {m.offset()} where {len(out[p])} was due"
                name, n, rest = m.value().split(b":", 2)
                assert rest == bytes(int(n) % 700), f"{topic}-{p}: torn record at {m.offset()}"
                out[p].append((name.decode(), int(n)))
    finally:
        consumer.close()
    return out


def judge(loads, stored, whole):
    """whole: the load is over, so that order and number can be judged too."""
    where = collections.defaultdict(list)
    for p, records in enumerate(stored):
        for offset, key in enumerate(records):
            where[key].append((p, offset))
    for load in loads:
        for n, at in list(load.acked.items()) if whole else load.snapshot:
            found = where[load.name_, n]
            assert found, f"{load.name_}: record {n}, acknowledged at {at}, is gone"
            # A retry that the broker knows as a duplicate beyond its last five batches is told no offset.
            assert at in found or (load.idempotent and at[1] < 0), f"{load.name_}: record {n} at {found}, was acknowledged at {at}"
            assert len(found) == 1 or not load.idempotent, f"{load.name_}: record {n} is there {len(found)} times: {found}"
        if whole and load.idempotent:
            for p, records in enumerate(stored):
                mine = [n for name, n in records if name == load.name_]
                assert mine == sorted(set(mine)), f"{load.name_}: out of order in partition {p}"


def kill_rounds(node, rounds):
    """A node killed again and again loses nothing that it acknowledged."""
    topics = {"kept": {}, "durable": {"log.durable": "true"}, "rolled": {"segment.bytes": "1048576"}}
    create(node, topics)
    loads = [Load(node, f"{t}-{'once' if idem else 'many'}-{codec}", t, idem, codec)
             for t in topics for idem, codec in ((True, "none"), (False, "lz4"), (True, "zstd"))]
    follows = [Follow(node, t) for t in topics]
    for t in loads + follows:
        t.start()
    slowest = 0
    for _ in range(rounds):
        time.sleep(random.uniform(0.4, 1.4))
        node.kill()
        for load in loads:
            load.snapshot = list(load.acked.items())
        began = time.monotonic()
        node.start()
        slowest = max(slowest, time.monotonic() - began)
        for t in topics:
            judge([l for l in loads if l.topic == t], read_all(node, t), False)
    for load in loads:
        load.ended.set()
    for load in loads:
        load.join(90)
        assert not load.failed, f"{load.name_}: {load.failed[:3]}"
        assert len(load.acked) == load.sent, f"{load.name_}: {load.sent - len(load.acked)} of {load.sent} unanswered"
    for follow in follows:
        stored = read_all(node, follow.topic)
        judge([l for l in loads if l.topic == follow.topic], stored, True)
        limit = time.monotonic() + 20
        while len(follow.seen) < sum(map(len, stored)) and time.monotonic() < limit:
            time.sleep(0.05)
        follow.ended.set()
        follow.join(20)
        assert not follow.wrong, f"{follow.topic}: the consumer that read along: {follow.wrong[:3]}"
        for p, records in enumerate(stored):
            for offset, (name, n) in enumerate(records):
                assert follow.seen.get((p, offset)) == f"{name}:{n}:".encode(), \
                    f"{follow.topic}-{p}: was read as {follow.seen.get((p, offset))} at {offset}, is {name}:{n}"
    assert slowest < 5, f"a restart took {slowest:.1f} s"
    return f"{rounds} kills, {sum(l.sent for l in loads)} records, slowest restart {slowest * 1000:.0f} ms"
