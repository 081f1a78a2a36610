"""`storage format` beside Kafka's: what it refuses and in which words, what it says it does, and who begins the quorum, in a
file that each reads of the other."""
import glob
import os
import re
import subprocess

from kafka import BUILD, CLUSTER, tool
from nodes import ROOT, fresh

SETTINGS = """\
process.roles={roles}
node.id=1
listeners={listeners}
controller.listener.names=CONTROLLER
{quorum}
log.dirs={data}
"""
KINDS = {
    "dynamic": ("controller", "CONTROLLER://127.0.0.1:29393", "controller.quorum.bootstrap.servers=127.0.0.1:29393"),
    "any address": ("controller", "CONTROLLER://:29393", "controller.quorum.bootstrap.servers=127.0.0.1:29393"),
    "fixed": ("controller", "CONTROLLER://127.0.0.1:29393", "controller.quorum.voters=1@127.0.0.1:29393"),
    "broker": ("broker", "PLAINTEXT://127.0.0.1:29392", "controller.quorum.bootstrap.servers=127.0.0.1:29393"),
}
A, B = "JEXY6aqzQY-32P5TStzaFg", "MvDxzVmcRsaTz33bUuRU6A"
ONE, TWO, OTHER = f"1@127.0.0.1:29393:{A}", f"2@localhost:29394:{B}", f"2@127.0.0.1:29393:{A}"
# kind of node, what is typed beside the cluster's id and the settings
CASES = [
    ("dynamic", ""), ("dynamic", "-s"), ("dynamic", "-N"), ("any address", "-s"), ("broker", ""), ("broker", "-N"),
    ("dynamic", f"-I {ONE}"), ("dynamic", f"-I {ONE},{TWO}"), ("dynamic", f"-I {OTHER}"), ("broker", f"-I {ONE}"),
    ("dynamic", "-s -N"), ("dynamic", f"-N -I {ONE}"), ("broker", "-s"),
    ("fixed", ""), ("fixed", "-N"), ("fixed", "-s"), ("fixed", f"-I {ONE}"),
    ("dynamic", f"-I {ONE},{ONE}"), ("dynamic", "-I 1@127.0.0.1:29393"), ("dynamic", f"-I 1:2:{A}"),
    ("dynamic", f"-I 1@h:x:{A}"), ("dynamic", f"-I x@h:1:{A}"), ("dynamic", "-I 1@h:1:x"), ("dynamic", f"-I 1@[::1:1:{A}"),
    ("dynamic", f"-I 1@h:70000:{A}"), ("dynamic", "-I ,"),
    ("fixed", "--feature kraft.version=0"), ("fixed", "--feature kraft.version=1"),
    ("dynamic", "-s --feature kraft.version=0"), ("dynamic", "-s --feature kraft.version=1"),
    ("dynamic", "-N --feature kraft.version=0"), ("dynamic", "-N --feature kraft.version=1"),
    ("dynamic", "-s --feature kraft.version=2"), ("dynamic", "-s --release-version 3.7"),
]


def words(text):
    """What it says of this try: Kafka's exceptions have theirs behind a colon, argparse breaks its lines."""
    text = re.sub(r"(?m)^\s+at .*\n|^Caused by.*\n?|^\s+\.\.\. \d+ more\n?|^.*log4j.*\n?|^Bootstrap metadata.*\n?", "", text)
    text = re.sub(r'(?m)^Exception in thread "main" [\w.]+: |^weir: ', "", text)
    text = re.sub(r"(?s)^usage:.*error:", "", text)
    return " ".join(text.split())


def voters(directory):
    """The file that says who begins, as Kafka's tool reads it, but for times and new ids."""
    found = glob.glob(os.path.join(directory, "__cluster_metadata-0", "*.checkpoint"))
    if not found:
        return None
    done = tool("org.apache.kafka.tools.DumpLogSegments", "--cluster-metadata-decoder", "--files", found[0])
    told = re.findall(r"SnapshotHeader|SnapshotFooter|KRaftV\w+ \{.*\}", done.stdout)
    return os.path.basename(found[0]), [re.sub(f'"(?!{A}|{B})[\\w-]{{22}}"', '"NEW"', line) for line in told]


def told_by(run, name, number, kind, args):
    directory = fresh(os.path.join(BUILD, f"format-{name}-{number}"))
    data, config = os.path.join(directory, "data"), os.path.join(directory, "server.properties")
    roles, listeners, quorum = KINDS[kind]
    with open(config, "w") as f:
        f.write(SETTINGS.format(roles=roles, listeners=listeners, quorum=quorum, data=data))
    done = run("format", "-t", CLUSTER, "-c", config, *args.split())
    said = words(done.stdout + done.stderr).replace(directory, "DIR")
    return done.returncode == 0, said, voters(data)


def theirs(*args):
    return tool("kafka.tools.StorageTool", *args)


def ours(*args):
    return subprocess.run([os.path.join(ROOT, "build", "opt", "weir"), "storage", *args], stdin=subprocess.DEVNULL,
                          text=True, capture_output=True)


def compare(tally):
    for i, (kind, args) in enumerate(CASES):
        a, b = told_by(theirs, "theirs", i, kind, args), told_by(ours, "ours", i, kind, args)
        tally.test(f"format/{kind} {args}", None if a == b else f"Kafka {a}, ours {b}")
