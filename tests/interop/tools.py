"""Kafka's own command-line tools, on both nodes: what they print must be the same but for names of this run."""
import re

from kafka import tool

TOPICS = "org.apache.kafka.tools.TopicCommand"
OFFSETS = "org.apache.kafka.tools.GetOffsetShell"
CONFIGS = "kafka.admin.ConfigCommand"
DELETE = "org.apache.kafka.tools.DeleteRecordsCommand"

# name, class, arguments (BOOTSTRAP is replaced)
STEPS = [
    ("create", TOPICS, "--bootstrap-server BOOTSTRAP --create --topic tools-a --partitions 3 --replication-factor 1 "
                       "--config retention.ms=-1 --config cleanup.policy=compact,delete"),
    ("create again", TOPICS, "--bootstrap-server BOOTSTRAP --create --topic tools-a"),
    ("create wrongly", TOPICS, "--bootstrap-server BOOTSTRAP --create --topic tools-b --config retention.ms=x"),
    ("more partitions", TOPICS, "--bootstrap-server BOOTSTRAP --alter --topic tools-a --partitions 5"),
    ("fewer partitions", TOPICS, "--bootstrap-server BOOTSTRAP --alter --topic tools-a --partitions 2"),
    ("describe", TOPICS, "--bootstrap-server BOOTSTRAP --describe --topic tools-a"),
    ("list", TOPICS, "--bootstrap-server BOOTSTRAP --list --exclude-internal --topic tools-.*"),
    ("alter configs", CONFIGS, "--bootstrap-server BOOTSTRAP --alter --topic tools-a --add-config "
                               "max.message.bytes=100000,compression.type=zstd --delete-config retention.ms"),
    ("describe configs", CONFIGS, "--bootstrap-server BOOTSTRAP --describe --topic tools-a"),
    ("describe all configs", CONFIGS, "--bootstrap-server BOOTSTRAP --describe --all --topic tools-a"),
    ("offsets", OFFSETS, "--bootstrap-server BOOTSTRAP --topic-partitions java-4.3.1-.*:0"),
    ("offsets of the greatest time", OFFSETS, "--bootstrap-server BOOTSTRAP --topic-partitions java-4.3.1-.*:0 --time -3"),
    ("offsets at a time", OFFSETS, "--bootstrap-server BOOTSTRAP --topic-partitions java-4.3.1-.*:0 --time 1700000021000"),
    ("delete", TOPICS, "--bootstrap-server BOOTSTRAP --delete --topic tools-a"),
    ("delete again", TOPICS, "--bootstrap-server BOOTSTRAP --delete --topic tools-a"),
]


def plain(node, text):
    text = text.replace(node.bootstrap, "BOOTSTRAP")
    text = re.sub(r"TopicId: \S+", "TopicId: ID", text)
    text = re.sub(r"(?m)^  log\.durable=.*\n", "", text)  # a setting of ours
    text = re.sub(r"(?m)^\s+at .*\n|^\[?\d{4}-.*\n?|\s*\(org\.apache\S*\)", "", text)
    return text.strip()


def compare(tally, ours, theirs):
    for name, cls, args in STEPS:
        told = []
        for node in (theirs, ours):
            done = tool(cls, *args.replace("BOOTSTRAP", node.bootstrap).split())
            told.append((done.returncode, plain(node, done.stdout + done.stderr)))
        bad = None
        if told[0] != told[1]:
            lines = told[0][1].splitlines(), told[1][1].splitlines()
            only = [s[:200] for s in lines[0] if s not in lines[1]][:3], [s[:200] for s in lines[1] if s not in lines[0]][:3]
            bad = f"exit codes {told[0][0]}, {told[1][0]}; only Kafka: {only[0]}, only ours: {only[1]}"
        tally.test(f"tools/{name}", bad)
