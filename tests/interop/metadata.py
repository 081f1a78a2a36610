#!/usr/bin/env python3
"""Kafka's own metadata log and snapshots under `weir metadata` and `weir dump`: every record as Kafka's tool shows it.

    metadata.py make DIR    lets a controller and two brokers of Apache Kafka write a history of every kind of record
    metadata.py judge DIR   compares what is read of a metadata log's directory with Kafka's own dump
"""
import glob
import json
import os
import re
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "clients"))
from kafka import BUILD, CLUSTER, class_path, java, tool  # noqa: E402
from nodes import ROOT, Node, fresh, free_ports  # noqa: E402
from tally import Tally, compare  # noqa: E402

SETTINGS = """\
process.roles={roles}
node.id={id}
listeners={listeners}
{advertised}
controller.listener.names=CONTROLLER
listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT,SASL:SASL_PLAINTEXT
inter.broker.listener.name=PLAINTEXT
controller.quorum.bootstrap.servers=127.0.0.1:{controller}
sasl.enabled.mechanisms=PLAIN
listener.name.sasl.plain.sasl.jaas.config=org.apache.kafka.common.security.plain.PlainLoginModule required \
user_admin="secret";
delegation.token.secret.key=wordless
authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer
super.users=User:ANONYMOUS;User:admin
broker.rack=rack-{id}
broker.session.timeout.ms=3000
broker.heartbeat.interval.ms=500
metadata.max.idle.interval.ms={idle}
metadata.log.max.record.bytes.between.snapshots={snapshot}
metadata.log.max.snapshot.interval.ms=3600000
offsets.topic.replication.factor=1
log.dirs={data}
"""
SASL = """\
security.protocol=SASL_PLAINTEXT
sasl.mechanism=PLAIN
sasl.jaas.config=org.apache.kafka.common.security.plain.PlainLoginModule required username="admin" password="secret";
"""
CONFIGS = "kafka.admin.ConfigCommand"
TOPICS = "org.apache.kafka.tools.TopicCommand"


class Member(Node):
    """One of the cluster: node 1 is controller and broker, the others are brokers."""

    def __init__(self, number, directory, controller=None, snapshot=4000, idle=4000):
        super().__init__(f"Kafka-{number}", directory)
        self.controller = controller or free_ports(1)[0]
        self.sasl = free_ports(1)[0]
        self.config = os.path.join(directory, "server.properties")
        listeners = f"PLAINTEXT://127.0.0.1:{self.port},SASL://127.0.0.1:{self.sasl}"
        with open(self.config, "w") as f:
            f.write(SETTINGS.format(
                roles="broker,controller" if number == 1 else "broker", id=number, controller=self.controller,
                listeners=listeners + (f",CONTROLLER://127.0.0.1:{self.controller}" if number == 1 else ""),
                advertised=f"advertised.listeners={listeners}", data=self.data, snapshot=snapshot, idle=idle))
        if not os.path.exists(os.path.join(self.data, "meta.properties")):
            done = tool("kafka.tools.StorageTool", "format", "-t", CLUSTER, "-c", self.config,
                        "--standalone" if number == 1 else "--no-initial-controllers",
                        *(["--add-scram", "SCRAM-SHA-256=[name=first,password=secret]"] if number == 1 else []))
            if done.returncode:
                raise RuntimeError(done.stdout + done.stderr)

    def command(self):
        return java(class_path("server-4.3.1"), "kafka.Kafka", self.config, heap="384m")


def run(node, cls, line, *more):
    done = tool(cls, "--bootstrap-server", node.bootstrap, *line.split(), *more)
    if done.returncode:
        raise RuntimeError(f"{cls} {line}: {done.stdout[-1000:]}{done.stderr[-1000:]}")
    return done.stdout


def changes(one, two, directory):
    """What a cluster of two brokers lives through, a kind of record after the other."""
    client = os.path.join(directory, "client.properties")
    with open(client, "w") as f:
        f.write(SASL)
    run(one, TOPICS, "--create --topic orders --partitions 3 --replication-factor 2 --config retention.ms=86400000")
    run(one, TOPICS, "--create --topic short-lived --partitions 2 --replication-factor 1")
    run(one, CONFIGS, "--alter --entity-type topics --entity-name orders --add-config compression.type=zstd "
                      "--delete-config retention.ms")
    run(one, CONFIGS, "--alter --entity-type topics --entity-name orders --add-config min.insync.replicas=2")
    run(one, CONFIGS, "--alter --entity-type users --entity-name alice --add-config", "SCRAM-SHA-256=[password=x]")
    run(one, CONFIGS, "--alter --entity-type users --entity-name alice --delete-config SCRAM-SHA-256")
    run(one, CONFIGS, "--alter --entity-type users --entity-name bob --entity-type clients --entity-default "
                      "--add-config request_percentage=12.5")
    acl = "--{} --allow-principal User:alice --operation Read --topic orders"
    run(one, "org.apache.kafka.tools.AclCommand", acl.format("add"))
    run(one, "org.apache.kafka.tools.AclCommand", acl.format("remove") + " --force")
    sasl = f"127.0.0.1:{one.sasl}"
    made = tool("org.apache.kafka.tools.DelegationTokenCommand", "--bootstrap-server", sasl, "--command-config", client,
                "--create", "--max-life-time-period", "-1", "--renewer-principal", "User:bob")
    hmac = re.search(r"\s(\S+={0,2})\s+User:admin", made.stdout)
    if not hmac:
        raise RuntimeError(made.stdout + made.stderr)
    tool("org.apache.kafka.tools.DelegationTokenCommand", "--bootstrap-server", sasl, "--command-config", client,
         "--expire", "--expiry-time-period", "-1", "--hmac", hmac[1])
    tool("org.apache.kafka.tools.ProducerPerformance", "--topic", "orders", "--num-records", "5", "--record-size", "10",
         "--throughput", "-1", "--producer-props", f"bootstrap.servers={one.bootstrap}", "enable.idempotence=true")
    two.kill()
    time.sleep(5)
    run(one, TOPICS, "--delete --topic short-lived")
    two.start()
    time.sleep(2)
    plan = os.path.join(directory, "plan.json")
    with open(plan, "w") as f:
        json.dump({"version": 1, "partitions": [{"topic": "orders", "partition": 0, "replicas": [2]}]}, f)
    run(one, "org.apache.kafka.tools.reassign.ReassignPartitionsCommand", f"--execute --reassignment-json-file {plan}")
    run(one, TOPICS, "--alter --topic orders --partitions 4")
    run(one, "org.apache.kafka.tools.LeaderElectionCommand", "--election-type preferred --all-topic-partitions")
    run(one, CONFIGS, "--alter --entity-type brokers --entity-name 2 --add-config log.cleaner.threads=2")
    two.stop()
    time.sleep(4)
    tool("org.apache.kafka.tools.ClusterTool", "unregister", "--bootstrap-server", one.bootstrap, "--id", "2")


def make(directory, running=lambda one: None):
    one = Member(1, fresh(os.path.join(directory, "one")))
    with one:
        two = Member(2, fresh(os.path.join(directory, "two")), one.controller)
        with two:
            changes(one, two, directory)
        running(one)
    return os.path.join(one.data, "__cluster_metadata-0")


def weir(*words):
    done = subprocess.run([os.path.join(ROOT, "build", "opt", "weir"), *words], stdin=subprocess.DEVNULL, text=True,
                          capture_output=True)
    return done.returncode, done.stdout, done.stderr


def kinds(text):
    return set(re.findall(r'payload: {"type":"(\w+)"', text))


def judge(tally, directory):
    """Every record that Kafka wrote there, as its own tool prints it; then that our commands make sense of them."""
    files = ",".join(sorted(glob.glob(directory + "/*.log") + glob.glob(directory + "/*.checkpoint")))
    theirs = tool("org.apache.kafka.tools.DumpLogSegments", "--cluster-metadata-decoder", "--files", files).stdout
    code, ours, err = weir("dump", "--cluster-metadata-decoder", "--files", files)
    tally.test("metadata/dump", err if code else compare(theirs.splitlines(), ours.splitlines()))
    tally.test("metadata/kinds", None if len(kinds(theirs)) >= 20 else f"only {sorted(kinds(theirs))}")
    code, told, err = weir("metadata", "verify", directory)
    tally.test("metadata/verify", None if code == 0 and told.endswith(": well\n") else told + err)
    code, told, err = weir("metadata", "blame", directory, "orders-0")
    tally.test("metadata/blame", None if re.search(r"partition orders-0: leader [12] -> [12] ", told) else told + err)
    code, told, err = weir("metadata", "at", directory, "--json")
    topics = [t["name"] for t in json.loads(told)["topics"]] if code == 0 else err
    tally.test("metadata/at", None if topics == ["orders"] else topics)


def judge_running(tally, one):
    """The running controller says what its files say. It has snapshots, so the newest one comes first."""
    at = ["--bootstrap-controller", f"127.0.0.1:{one.controller}"]
    files = os.path.join(one.data, "__cluster_metadata-0")
    code, told, err = weir("metadata", "diff", files, *at)
    tally.test("metadata/running", None if code == 0 and len(told.splitlines()) == 2 else told + err)
    code, told, err = weir("metadata", "verify", *at)
    tally.test("metadata/running verify", None if code == 0 and ", 1 snapshots;" in told and told.endswith(": well\n")
               else told + err)
    code, told, err = weir("metadata", "dump", *at)
    tally.test("metadata/running dump", None if code == 0 and told.split()[4:5] == ["SnapshotHeader"] else told[:200] + err)
    code, told, err = weir("metadata", "at", "--bootstrap-controller", one.bootstrap)
    tally.test("metadata/running broker", None if code == 1 and "no controller's listener" in err else told + err)


def main(tally):
    directory = os.path.join(BUILD, "metadata")
    try:
        judge(tally, make(fresh(directory), lambda one: judge_running(tally, one)))
    except (RuntimeError, OSError) as e:
        tally.test("metadata", str(e))


if __name__ == "__main__":
    if len(sys.argv) == 3 and sys.argv[1] == "make":
        print(make(os.path.abspath(sys.argv[2])))
    elif len(sys.argv) == 3 and sys.argv[1] == "judge":
        own = Tally()
        judge(own, sys.argv[2])
        sys.exit(own.end())
    else:
        sys.exit(__doc__)
