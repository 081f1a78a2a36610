"""Kafka's own command-line tools, on both nodes: what they print must be the same but for names of this run."""
import os
import re

from kafka import BUILD, tool

TOPICS = "org.apache.kafka.tools.TopicCommand"
OFFSETS = "org.apache.kafka.tools.GetOffsetShell"
CONFIGS = "kafka.admin.ConfigCommand"
DELETE = "org.apache.kafka.tools.DeleteRecordsCommand"
ELECT = "org.apache.kafka.tools.LeaderElectionCommand"
REASSIGN = "org.apache.kafka.tools.reassign.ReassignPartitionsCommand"
FEATURES = "org.apache.kafka.tools.FeatureCommand"
CLUSTER = "org.apache.kafka.tools.ClusterTool"
QUORUM = "org.apache.kafka.tools.MetadataQuorumCommand"

# Written to MOVES: each partition stays where it is, in another word.
MOVES = '{"version":1,"partitions":[{"topic":"tools-a","partition":0,"replicas":[1]}]}'

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
    ("elect the preferred", ELECT, "--bootstrap-server BOOTSTRAP --election-type preferred --topic tools-a --partition 0"),
    ("elect uncleanly", ELECT, "--bootstrap-server BOOTSTRAP --election-type unclean --topic tools-a --partition 1"),
    ("elect nobody", ELECT, "--bootstrap-server BOOTSTRAP --election-type preferred --topic tools-a --partition 99"),
    ("elect all", ELECT, "--bootstrap-server BOOTSTRAP --election-type preferred --all-topic-partitions"),
    ("moves under way", REASSIGN, "--bootstrap-server BOOTSTRAP --list"),
    ("move", REASSIGN, "--bootstrap-server BOOTSTRAP --execute --reassignment-json-file MOVES"),
    ("moved", REASSIGN, "--bootstrap-server BOOTSTRAP --verify --reassignment-json-file MOVES"),
    ("stop moving", REASSIGN, "--bootstrap-server BOOTSTRAP --cancel --reassignment-json-file MOVES"),
    ("a feature nobody knows", FEATURES, "--bootstrap-server BOOTSTRAP upgrade --feature bogus.version=1"),
    ("a level nobody knows", FEATURES, "--bootstrap-server BOOTSTRAP upgrade --feature metadata.version=99"),
    ("a downgrade that loses", FEATURES, "--bootstrap-server BOOTSTRAP downgrade --metadata 3.5-IV2"),
    ("an unsafe downgrade", FEATURES, "--bootstrap-server BOOTSTRAP downgrade --unsafe --metadata 3.5-IV2"),
    ("a downgrade upwards", FEATURES, "--bootstrap-server BOOTSTRAP downgrade --feature metadata.version=30"),
    ("an upgrade downwards", FEATURES, "--bootstrap-server BOOTSTRAP upgrade --feature metadata.version=29"),
    ("an upgrade to what is", FEATURES, "--bootstrap-server BOOTSTRAP upgrade --feature metadata.version=30"),
    ("an upgrade tried", FEATURES, "--bootstrap-server BOOTSTRAP upgrade --dry-run --feature eligible.leader.replicas.version=1"),
    ("features", FEATURES, "--bootstrap-server BOOTSTRAP describe"),
    ("who leads the metadata", QUORUM, "--bootstrap-server BOOTSTRAP describe --status"),
    ("how far voters are", QUORUM, "--bootstrap-server BOOTSTRAP describe --replication"),
    ("unregister nobody", CLUSTER, "unregister --bootstrap-server BOOTSTRAP --id 99"),
    ("delete", TOPICS, "--bootstrap-server BOOTSTRAP --delete --topic tools-a"),
    ("delete again", TOPICS, "--bootstrap-server BOOTSTRAP --delete --topic tools-a"),
]


def plain(node, text):
    text = text.replace(node.bootstrap, "BOOTSTRAP")
    text = re.sub(r"TopicId: \S+", "TopicId: ID", text)
    text = re.sub(r"(?m)^  log\.durable=.*\n", "", text)  # a setting of ours
    # Of features only those that both have: ours comes on top, Kafka's others come with what they switch on.
    text = re.sub(r"(?m)^Feature: (weir|group|transaction|share|streams|kraft)\.version.*\n?", "", text)
    text = re.sub(r"Epoch: \d+", "Epoch: N", text)
    text = re.sub(r'"log_dirs":\["[^"]*"\]', '"log_dirs":[DIR]', text)  # ours has one from the first record on
    if text.startswith(("ClusterId:", "NodeId\tDirectoryId")):  # a static voter's directory is told by ours alone
        text = re.sub(r"ClusterId: \S+", "ClusterId: ID", re.sub(r"[ \t]+", " ", text))
        text = re.sub(r'"directoryId": "\S+", |(?<=\n1) [\w-]{22}|DirectoryId ', "", text)
        text = re.sub(r'(?<![\w.])\d{2,}|(?<=Epoch: )\d+|(?<=TimeMs: )\d+|(?<=:)\d+(?=")', "N", text)
    text = re.sub(r"(?m)^\s+at .*\n|^\[?\d{4}-.*\n?|\s*\(org\.apache\S*\)", "", text)
    return text.strip()


def compare(tally, ours, theirs):
    moves = os.path.join(BUILD, "moves.json")
    with open(moves, "w") as f:
        f.write(MOVES)
    for name, cls, args in STEPS:
        told = []
        for node in (theirs, ours):
            done = tool(cls, *args.replace("BOOTSTRAP", node.bootstrap).replace("MOVES", moves).split())
            told.append((done.returncode, plain(node, done.stdout + done.stderr)))
        bad = None
        if told[0] != told[1]:
            lines = told[0][1].splitlines(), told[1][1].splitlines()
            only = [s[:200] for s in lines[0] if s not in lines[1]][:3], [s[:200] for s in lines[1] if s not in lines[0]][:3]
            bad = f"exit codes {told[0][0]}, {told[1][0]}; only Kafka: {only[0]}, only ours: {only[1]}"
        tally.test(f"tools/{name}", bad)
