"""Kafka's console clients and tools against our node, and what they print beside what our commands of the same name print."""
import json
import os
import re
import subprocess

from kafka import BUILD, class_path, java
from nodes import ROOT
from tools import plain

TOPICS = "org.apache.kafka.tools.TopicCommand"
CONFIGS = "kafka.admin.ConfigCommand"
OFFSETS = "org.apache.kafka.tools.GetOffsetShell"
DIRS = "org.apache.kafka.tools.LogDirsCommand"
DELETE = "org.apache.kafka.tools.DeleteRecordsCommand"
CONSUME = "org.apache.kafka.tools.consumer.ConsoleConsumer"
PRODUCE = "org.apache.kafka.tools.ConsoleProducer"
VERSIONS = "org.apache.kafka.tools.BrokerApiVersionsCommand"

LINES = ["h:1,g:\tkey0\tvalue 0", "h:x\tk\té€😀", "a:b\t\tempty key", "a:b\tk\t"]
FROM = "--topic twins --partition 0 --offset earliest --max-messages 4 --timeout-ms 20000"
SHOWN = [
    "", "print.key=true", "print.timestamp=true", "print.key=true key.separator=|", "print.headers=true",
    "print.headers=true headers.separator=; print.key=true", "print.offset=true print.partition=true",
    "print.value=false print.key=true", "line.separator=/ print.key=true",
    "print.timestamp=true print.key=true print.offset=true print.partition=true print.headers=true",
    "print.key=true null.literal=NONE",
]

# name, Kafka's class, our command, arguments of both; {file} holds offsets to delete
STEPS = [
    ("topics/create", TOPICS, "topics", "--create --topic NEW --partitions 2"),
    ("topics/exists", TOPICS, "topics", "--create --topic twins --if-not-exists"),
    ("topics/list", TOPICS, "topics", "--list --exclude-internal --topic twins"),
    ("topics/describe", TOPICS, "topics", "--describe --topic twins"),
    ("topics/with overrides", TOPICS, "topics", "--describe --topics-with-overrides --topic twins"),
    ("topics/unavailable", TOPICS, "topics", "--describe --unavailable-partitions --topic twins"),
    ("topics/under replicated", TOPICS, "topics", "--describe --under-replicated-partitions"),
    ("configs/alter", CONFIGS, "configs", "--alter --topic twins --add-config retention.ms=-1,cleanup.policy=[compact,delete]"),
    ("configs/describe", CONFIGS, "configs", "--describe --topic twins"),
    ("configs/describe type", CONFIGS, "configs", "--describe --entity-type topics --entity-name twins"),
    ("configs/describe all", CONFIGS, "configs", "--describe --all --topic twins"),
    ("configs/describe all of the broker", CONFIGS, "configs", "--describe --all --broker 1"),
    ("configs/defaults", CONFIGS, "configs", "--alter --entity-type brokers --entity-default --add-config log.cleaner.threads=1"),
    ("configs/describe defaults", CONFIGS, "configs", "--describe --entity-type brokers --entity-default"),
    ("configs/describe the broker", CONFIGS, "configs", "--describe --entity-type brokers --entity-name 1"),
    ("offsets/latest", OFFSETS, "get-offsets", "--topic twins"),
    ("offsets/earliest", OFFSETS, "get-offsets", "--topic twins --time earliest"),
    ("offsets/of partitions", OFFSETS, "get-offsets", "--topic-partitions twins:0,twins:1 --time -1"),
    ("offsets/greatest time", OFFSETS, "get-offsets", "--topic twins --partitions 0 --time max-timestamp"),
    ("log-dirs", DIRS, "log-dirs", "--describe --topic-list twins"),
    ("log-dirs/brokers", DIRS, "log-dirs", "--describe --topic-list twins --broker-list 1"),
    ("delete-records", DELETE, "delete-records", "--offset-json-file FILE"),
    ("offsets/after that", OFFSETS, "get-offsets", "--topic twins --time -2"),
    ("api-versions", VERSIONS, "api-versions", ""),
]


def theirs(node, cls, args, feed=None):
    return subprocess.run(java(class_path("server-4.3.1"), cls, "--bootstrap-server", node.bootstrap, *args), text=True,
                          input=feed, stdin=None if feed else subprocess.DEVNULL, capture_output=True, timeout=60)


def ours(node, command, args, feed=None):
    weir = os.path.join(ROOT, "build", "opt", "weir")
    return subprocess.run([weir, *command.split(), "--bootstrap-server", node.bootstrap, *args], text=True, input=feed,
                          stdin=None if feed else subprocess.DEVNULL, capture_output=True, timeout=60)


def answer(node, done):
    """What it printed, lines in a settled order where their order is a map's."""
    text = plain(node, done.stdout)
    if text.startswith("{") or "\n{" in text:
        text = re.sub(r"^\{.*\}$", lambda m: json.dumps(json.loads(m.group()), sort_keys=True), text, flags=re.M)
    text = re.sub(r"[ \t]+$", "", text, flags=re.M)
    return done.returncode, sorted(text.splitlines())


def difference(node, a, b):
    x, y = answer(node, a), answer(node, b)
    if x == y:
        return None
    only = [s[:200] for s in x[1] if s not in y[1]][:3], [s[:200] for s in y[1] if s not in x[1]][:3]
    return f"exit codes {x[0]}, {y[0]}; only Kafka's: {only[0]}, only ours: {only[1]}; {(a.stderr + b.stderr)[-300:]}"


def consoles(tally, node):
    """What either producer writes, either consumer prints alike, whatever is to be shown."""
    feed = "".join(s + "\n" for s in LINES)
    reader = ["--reader-property", "parse.key=true", "--reader-property", "parse.headers=true"]
    for name, run, command in (("Kafka's", theirs, PRODUCE), ("our", ours, "produce")):
        done = run(node, command, ["--topic", f"twins-{name[:3]}", *reader], feed)
        tally.test(f"twins/{name} producer", done.stderr[-500:] if done.returncode else None)
    for topic in ("twins-Kaf", "twins-our"):
        for shown in SHOWN:
            args = FROM.replace("twins", topic).split()
            for p in shown.split():
                args += ["--formatter-property", p]
            a, b = theirs(node, CONSUME, args), ours(node, "consume", args)
            tally.test(f"twins/{topic}/consume {shown}", None if (a.returncode, a.stdout) == (b.returncode, b.stdout) and a.stdout
                       else f"{a.returncode} {a.stdout!r}, ours {b.returncode} {b.stdout!r} {b.stderr[-200:]}")


def compare(tally, node):
    path = os.path.join(BUILD, "offsets.json")
    with open(path, "w") as f:
        json.dump({"partitions": [{"topic": "twins", "partition": 0, "offset": 2}], "version": 1}, f)
    for topic in ("twins", "twins-Kaf", "twins-our"):
        theirs(node, TOPICS, ["--create", "--topic", topic, "--config", "retention.ms=-1"])
    theirs(node, PRODUCE, ["--topic", "twins"], "a\nb\nc\n")
    consoles(tally, node)
    for name, cls, command, args in STEPS:
        words = [w.replace("FILE", path) for w in args.split()]
        a = theirs(node, cls, [w.replace("NEW", "twins-x") for w in words])
        b = ours(node, command, [w.replace("NEW", "twins-y") for w in words])
        b.stdout = b.stdout.replace("twins-y", "twins-x")
        tally.test(f"twins/{name}", difference(node, a, b))
