#!/usr/bin/env python3
"""The client (tests/clients/records.py) on kafka-python, which is Python all through."""
import os
import sys

from kafka import KafkaConsumer, KafkaProducer, TopicPartition
from kafka.admin import KafkaAdminClient, NewTopic
from kafka.errors import KafkaError

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "clients"))
import records  # noqa: E402


def say(*fields):
    print(*fields, sep="\t", flush=True)


def guarded(check, run, *args):
    try:
        run(check, *args)
    except (KafkaError, RuntimeError, AssertionError, ValueError, TypeError) as e:
        say(check, "ERROR", repr(e).replace("\n", " "))


class Client:
    def __init__(self, bootstrap, prefix, codecs, path):
        self.bootstrap, self.prefix, self.codecs, self.records = bootstrap, prefix, codecs, records.load(path)
        self.consumer = KafkaConsumer(bootstrap_servers=bootstrap, group_id=None, enable_auto_commit=False,
                                      auto_offset_reset="none", fetch_max_wait_ms=50)

    def create(self, check):
        admin = KafkaAdminClient(bootstrap_servers=self.bootstrap)
        topics = sorted(f"{self.prefix}-{idem}{c}" for c in self.codecs for idem in ("", "idem-"))
        admin.create_topics([NewTopic(t, 1, 1, topic_configs={"retention.ms": "-1"}) for t in topics])
        admin.close()
        for t in topics:
            say(check, t)

    def produce(self, check, codec, topic, idempotent):
        producer = KafkaProducer(bootstrap_servers=self.bootstrap, acks="all", linger_ms=1000,
                                 compression_type=None if codec == "none" else codec, enable_idempotence=idempotent)
        sent = []
        for i, (when, key, value, headers) in enumerate(self.records):
            headers = [(n, v or b"") for n, v in headers]  # it refuses a null
            sent.append(producer.send(topic, value=value, key=key, partition=0, timestamp_ms=when, headers=headers))
            if i % records.GROUP == records.GROUP - 1:
                producer.flush(30)
        producer.close()
        offsets = [f.get(30).offset for f in sent]
        say(check, offsets[0], offsets[-1])

    def read(self, check, topic, offset, *fields):
        tp = TopicPartition(topic, 0)
        end = self.consumer.end_offsets([tp])[tp]
        self.consumer.assign([tp])
        self.consumer.seek(tp, offset)
        at = offset
        while at < end:
            got = self.consumer.poll(30_000).get(tp)
            if not got:
                raise RuntimeError(f"stuck at {at} of {end}")
            for m in got:
                say(check, *fields, m.offset, records.line(m.timestamp, m.key, m.value, m.headers))
                at = m.offset + 1

    def offsets(self, check, topic):
        for offset in records.OFFSETS:
            self.read(check, topic, offset, offset)

    def times(self, check, topic):
        tp = TopicPartition(topic, 0)
        for when in records.TIMES:
            found = self.consumer.offsets_for_times({tp: when})[tp]
            if found is None:
                say(check, when, "none")
                continue
            say(check, when, found.offset, found.timestamp)
            self.read(check, topic, found.offset, when)

    def ends(self, check, topic):
        tp = TopicPartition(topic, 0)
        say(check, self.consumer.beginning_offsets([tp])[tp], self.consumer.end_offsets([tp])[tp])

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


Client(sys.argv[1], sys.argv[2], sys.argv[3].split(","), sys.argv[4]).run()
