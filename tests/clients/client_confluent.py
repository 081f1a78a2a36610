#!/usr/bin/env python3
"""The client (records.py) on librdkafka, through confluent-kafka: Debian's, and the newest."""
import os
import sys

from confluent_kafka import Consumer, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

import records


def say(*fields):
    print(*fields, sep="\t", flush=True)


def guarded(check, run, *args):
    try:
        run(check, *args)
    except (KafkaException, RuntimeError, BufferError) as e:
        say(check, "ERROR", str(e).replace("\n", " "))


class Client:
    def __init__(self, bootstrap, prefix, codecs, path):
        self.base = {"bootstrap.servers": bootstrap, "broker.address.family": "v4"}
        self.prefix, self.codecs, self.records = prefix, codecs, records.load(path)
        self.consumer = Consumer({**self.base, "group.id": prefix, "enable.auto.commit": False,
                                  "auto.offset.reset": "error", "check.crcs": True, "fetch.wait.max.ms": 50})

    def topics(self):
        return [f"{self.prefix}-{idem}{c}" for c in self.codecs for idem in ("", "idem-")]

    def create(self, check):
        admin = AdminClient(self.base)
        new = [NewTopic(t, num_partitions=1, replication_factor=1, config={"retention.ms": "-1"})
               for t in self.topics()]
        for topic, future in sorted(admin.create_topics(new, request_timeout=30).items()):
            future.result()
            say(check, topic)

    def produce(self, check, codec, topic, idempotent):
        producer = Producer({**self.base, "compression.type": codec, "enable.idempotence": idempotent, "acks": "all",
                             "linger.ms": 1000, "message.timeout.ms": 30000})
        reports = []
        for i, (when, key, value, headers) in enumerate(self.records):
            producer.produce(topic, value=value, key=key, partition=0, timestamp=when, headers=headers,
                             on_delivery=lambda err, m: reports.append((err, m.offset())))
            if i % records.GROUP == records.GROUP - 1:
                producer.flush(30)
        producer.flush(30)
        failed = [err for err, _ in reports if err]
        if failed or len(reports) != len(self.records):
            raise RuntimeError(f"{len(reports)} reports, {failed[:1]}")
        say(check, min(o for _, o in reports), max(o for _, o in reports))

    def read(self, check, topic, offset, *fields):
        end = self.consumer.get_watermark_offsets(TopicPartition(topic, 0), timeout=30)[1]
        self.consumer.assign([TopicPartition(topic, 0, offset)])
        at = offset
        while at < end:
            m = self.consumer.poll(30)
            if m is None or m.error():
                raise RuntimeError(f"at {at} of {end}: {m and m.error()}")
            say(check, *fields, m.offset(), records.line(m.timestamp()[1], m.key(), m.value(), m.headers() or []))
            at = m.offset() + 1
        self.consumer.unassign()

    def offsets(self, check, topic):
        for offset in records.OFFSETS:
            self.read(check, topic, offset, offset)

    def times(self, check, topic):
        for when in records.TIMES:
            found, = self.consumer.offsets_for_times([TopicPartition(topic, 0, when)], timeout=30)
            if found.error:
                raise RuntimeError(str(found.error))
            say(check, when, found.offset, "-")
            if found.offset >= 0:
                self.read(check, topic, found.offset, when)

    def ends(self, check, topic):
        say(check, *self.consumer.get_watermark_offsets(TopicPartition(topic, 0), timeout=30))

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
        self.consumer.close()


# Version 1.7 gives up a reference to None for every null header that it hands out: lend it enough of them, and don't
# let the interpreter count at the end.
spare = [None] * 1_000_000
Client(sys.argv[1], sys.argv[2], sys.argv[3].split(","), sys.argv[4]).run()
os._exit(0)
