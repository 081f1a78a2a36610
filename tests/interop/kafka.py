#!/usr/bin/env python3
"""Apache Kafka 4.3.1 itself, as one KRaft node, and its tools: what weir is compared with.

    kafka.py start DIR     formats DIR (unless it is) and starts a node; prints its address and process id
    kafka.py stop DIR      ends it
    kafka.py tool CLASS …  runs one of its tools
"""
import os
import shutil
import signal
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "clients"))
from nodes import ROOT, Node, free_ports  # noqa: E402

HERE = os.path.dirname(os.path.abspath(__file__))
BUILD = os.path.join(ROOT, "build", "interop")
CLUSTER = "Pw4XbJ8wTcy4kGmlQq1E1w"

SETTINGS = """\
process.roles=broker,controller
node.id=1
listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller}
advertised.listeners=PLAINTEXT://127.0.0.1:{port}
controller.listener.names=CONTROLLER
listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT
controller.quorum.voters=1@127.0.0.1:{controller}
offsets.topic.replication.factor=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
group.initial.rebalance.delay.ms=0
log.dirs={data}
"""


def class_path(profile):
    """The jars of a profile of pom.xml, downloaded if they aren't in Maven's cache."""
    pom = os.path.join(HERE, "pom.xml")
    out = os.path.join(BUILD, f"{profile}.classpath")
    os.makedirs(BUILD, exist_ok=True)
    if not os.path.exists(out) or os.path.getmtime(out) < os.path.getmtime(pom):
        ask = ["mvn", "-B", "-q", "-f", pom, "-P", profile, "dependency:build-classpath", f"-Dmdep.outputFile={out}.new"]
        if subprocess.run(ask[:1] + ["-o"] + ask[1:], capture_output=True).returncode != 0:
            subprocess.run(ask, check=True, stdin=subprocess.DEVNULL, stdout=sys.stderr)
        os.rename(out + ".new", out)
    with open(out) as f:
        return f.read().strip()


def java(path, *args, heap="256m"):
    return ["java", f"-Xmx{heap}", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-cp", path, *args]


def tool(name, *args):
    return subprocess.run(java(class_path("server-4.3.1"), name, *args), stdin=subprocess.DEVNULL, text=True,
                          capture_output=True)


class Kafka(Node):
    def __init__(self, directory, name="Kafka"):
        super().__init__(name, directory)
        self.path = class_path("server-4.3.1")
        self.config = os.path.join(directory, "server.properties")
        with open(self.config, "w") as f:
            f.write(SETTINGS.format(port=self.port, controller=free_ports(1)[0], data=self.data))
        if not os.path.exists(os.path.join(self.data, "meta.properties")):
            # The feature that weir hasn't yet: it would put a min.insync.replicas into every answer.
            done = tool("kafka.tools.StorageTool", "format", "-t", CLUSTER, "-c", self.config,
                        "--feature", "eligible.leader.replicas.version=0")
            if done.returncode:
                raise RuntimeError(done.stdout + done.stderr)

    def command(self):
        return java(self.path, "kafka.Kafka", self.config, heap="512m")


def main(command, *args):
    if command == "tool":
        done = tool(*args)
        print(done.stdout, end="")
        print(done.stderr, end="", file=sys.stderr)
        return done.returncode
    pid_file = os.path.join(args[0], "pid")
    if command == "start":
        node = Kafka(os.path.abspath(args[0])).start()
        with open(pid_file, "w") as f:
            f.write(str(node.process.pid))
        print(node.bootstrap, node.process.pid)
    elif command == "stop":
        with open(pid_file) as f:
            os.kill(int(f.read()), signal.SIGTERM)
        os.unlink(pid_file)
    else:
        sys.exit(__doc__)
    return 0


if __name__ == "__main__":
    if len(sys.argv) < 3 or not shutil.which("java") or not shutil.which("mvn"):
        sys.exit(__doc__ + "\nNeeds java and mvn.")
    sys.exit(main(*sys.argv[1:]))
