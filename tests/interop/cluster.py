"""Three combined nodes of each, under Kafka's own tools: what they print must be the same but for names of this run, asked of
brokers and, where a tool can, of the active controller and of another one."""
import os
import re
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor

from kafka import BUILD, CLUSTER, class_path, java, tool
from nodes import ROOT, Node, free_ports, fresh

QUORUM = "org.apache.kafka.tools.MetadataQuorumCommand"
TOPICS = "org.apache.kafka.tools.TopicCommand"
CONFIGS = "kafka.admin.ConfigCommand"
FEATURES = "org.apache.kafka.tools.FeatureCommand"
TOOL = "org.apache.kafka.tools.ClusterTool"
ELECT = "org.apache.kafka.tools.LeaderElectionCommand"

SETTINGS = """\
process.roles={roles}
node.id={id}
listeners={listeners}
controller.listener.names=CONTROLLER
listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT
controller.quorum.voters={voters}
log.dirs={data}
"""
NODES = 3
KILLS = 6
ASKED_AGAIN = 10

# name, class, arguments. AT is replaced three times where it stands: a broker, the active controller, another one.
STEPS = [
    ("status", QUORUM, "AT describe --status"),
    ("status, for people", QUORUM, "AT describe --status --human-readable"),
    ("replication", QUORUM, "AT describe --replication"),
    ("features", FEATURES, "AT describe"),
    # A whole release (--release-version) names group.version, transaction.version and others, which come with what they
    # switch on.
    ("metadata.version", FEATURES, "AT upgrade --feature metadata.version=30"),
    ("a lower metadata.version", FEATURES, "AT downgrade --feature metadata.version=29 --dry-run"),
    ("cluster id", TOOL, "cluster-id AT"),
    ("endpoints", TOOL, "list-endpoints AT"),
    ("fenced endpoints", TOOL, "list-endpoints AT --include-fenced-brokers"),
    ("unregister nobody", TOOL, "unregister AT --id 99"),
    ("set for all brokers", CONFIGS, "AT --alter --entity-type brokers --entity-default --add-config log.retention.ms=7000000"),
    ("brokers' default", CONFIGS, "AT --describe --entity-type brokers --entity-default"),
    ("create", TOPICS, "BROKER --create --topic c --partitions 6 --replication-factor 3"),
    ("create beyond the brokers", TOPICS, "BROKER --create --topic d --partitions 1 --replication-factor 4"),
    ("describe", TOPICS, "BROKER --describe --topic c"),
    ("set for a topic", CONFIGS, "AT --alter --entity-type topics --entity-name c --add-config retention.ms=8000000"),
    ("topic's settings", CONFIGS, "BROKER --describe --entity-type topics --entity-name c"),
    ("elect the preferred", ELECT, "BROKER --election-type preferred --all-topic-partitions"),
    ("delete", TOPICS, "BROKER --delete --topic c"),
    ("list", TOPICS, "BROKER --list"),
]


class Member(Node):
    """A node of a cluster; the first ones have a port for controllers each."""

    def __init__(self, directory, name, number, controllers, roles="broker,controller"):
        super().__init__(f"{name} {number}", directory)
        self.ours, self.controller = name == "ours", controllers[number - 1] if number <= len(controllers) else None
        self.config = os.path.join(directory, "server.properties")
        voters = ",".join(f"{i + 1}@127.0.0.1:{port}" for i, port in enumerate(controllers))
        listeners = [f"PLAINTEXT://127.0.0.1:{self.port}"] if "broker" in roles else []
        listeners += [f"CONTROLLER://127.0.0.1:{self.controller}"] if "controller" in roles else []
        if "broker" not in roles:
            self.port = self.controller
        with open(self.config, "w") as f:
            f.write(SETTINGS.format(id=number, roles=roles, listeners=",".join(listeners), voters=voters, data=self.data))
        if self.ours:
            done = subprocess.run([self.weir(), "storage", "format", "-t", CLUSTER, "-c", self.config], text=True,
                                  capture_output=True)
        else:
            done = tool("kafka.tools.StorageTool", "format", "-t", CLUSTER, "-c", self.config,
                        "--feature", "eligible.leader.replicas.version=0")
        if done.returncode:
            raise RuntimeError(done.stdout + done.stderr)

    @staticmethod
    def weir():
        return os.path.join(ROOT, "build", "opt", "weir")

    def command(self):
        if self.ours:
            return [self.weir(), "server", "--config", self.config]
        return java(class_path("server-4.3.1"), "kafka.Kafka", self.config, heap="512m")


class Three:
    """A cluster; `with` runs it."""

    def __init__(self, name):
        controllers = free_ports(NODES)
        self.name = name
        self.nodes = [Member(fresh(os.path.join(BUILD, f"{name}-{i}")), name, i, controllers)
                      for i in range(1, NODES + 1)]
        self.brokers = ",".join(n.bootstrap for n in self.nodes)

    def __enter__(self):
        with ThreadPoolExecutor(NODES) as all_at_once:  # none is ready before a majority is
            list(all_at_once.map(Node.start, self.nodes))
        self.wait_unfenced()
        return self

    def __exit__(self, *_):
        for n in self.nodes:
            if n.process and n.process.poll() is None:
                n.kill()

    def wait_unfenced(self, wait=60):
        """Until all brokers can lead."""
        end = time.monotonic() + wait
        while True:
            done = tool(TOOL, "list-endpoints", "--bootstrap-server", self.brokers)
            if done.stdout.count("127.0.0.1") == NODES:
                return
            if time.monotonic() > end:
                raise RuntimeError(f"{self.name}: {done.stdout}{done.stderr}{self.nodes[0].tail()}")

    def active(self):
        """The number of the active controller."""
        done = tool(QUORUM, "--bootstrap-server", self.brokers, "describe", "--status")
        found = re.search(r"LeaderId:\s+(\d)", done.stdout)
        if not found:
            raise RuntimeError(f"{self.name}: {done.stdout}{done.stderr}")
        return int(found[1])

    def places(self):
        """name -> the option that asks there."""
        active = self.active()
        other = active % NODES + 1
        return {"a broker": f"--bootstrap-server {self.brokers}",
                "the active controller": f"--bootstrap-controller 127.0.0.1:{self.nodes[active - 1].controller}",
                "another controller": f"--bootstrap-controller 127.0.0.1:{self.nodes[other - 1].controller}"}

    def plain(self, text):
        for n in self.nodes:
            text = text.replace(str(n.port), f"PORT{n.name[-1]}").replace(str(n.controller), f"CONTROLLER{n.name[-1]}")
        # Which node leads, what has its copy where, and how far it is by now, is of this run.
        text = re.sub(r"((?:Leader(?:Id|Epoch)|HighWatermark|MaxFollowerLag(?:TimeMs)?):\s+)-?\d+", r"\1N", text)
        text = re.sub(r"(MaxFollowerLagTimeMs:\s+)\d+ .*", r"\1N", text)
        text = re.sub(r"(?m)^\d\s+\S{22}\s+\d+\s+(\d+)\s+\S.*?(Leader|Follower|Observer)\s*$", r"NODE DIRECTORY OFFSET \1 \2", text)
        text = re.sub(r'"directoryId": "\S{22}", ', "", text)  # of fixed voters: ours notes them, Kafka's doesn't know
        text = re.sub(r"TopicId: \S+", "TopicId: ID", text)
        text = re.sub(r"(Leader|Replicas|Isr): [\d,]+", r"\1: N", text)
        text = re.sub(r"Epoch: \d+", "Epoch: N", text)
        text = re.sub(r"(?m)^Feature: (weir|group|transaction|share|streams|kraft)\.version.*\n?", "", text)
        text = re.sub(r"(?m)^\s+at .*\n|^\[?\d{4}-.*\n?|\s*\(org\.apache\S*\)", "", text)
        return "\n".join(sorted(" ".join(line.split()) for line in text.strip().splitlines()))


def told_by(cluster, cls, args):
    for _ in range(ASKED_AGAIN):
        done = tool(cls, *args.split())
        text = cluster.plain(done.stdout + done.stderr)
        if not re.search(r"OFFSET [1-9]", text):  # a follower's lag: the tool came between a record and its fetch
            break
    return done.returncode, text


def judge(tally, name, theirs, ours):
    bad = None
    if theirs != ours:
        lines = theirs[1].splitlines(), ours[1].splitlines()
        only = [s[:300] for s in lines[0] if s not in lines[1]][:4], [s[:300] for s in lines[1] if s not in lines[0]][:4]
        bad = f"exit codes {theirs[0]}, {ours[0]}; only Kafka: {only[0]}, only ours: {only[1]}"
    tally.test(f"cluster/{name}", bad)


def leads(nodes):
    """The one that said last that it leads."""
    epochs = [re.findall(r"this node leads the metadata in epoch (\d+)", n.tail()) for n in nodes]
    return nodes[max(range(len(nodes)), key=lambda i: int(epochs[i][-1]) if epochs[i] else -1)]


def kill_and_restart(nodes):
    """The active controller, which is back before another one goes."""
    node = leads(nodes)
    node.kill()
    end = time.monotonic() + 60
    while leads(nodes) is node:
        if time.monotonic() > end:
            raise RuntimeError(f"nobody took over from {node.name}: {nodes[0].tail()}")
        time.sleep(0.01)
    node.start()


def survive(tally, java_client):
    """A Java Admin client creates topics at brokers alone, while one controller after another is killed."""
    ports = free_ports(NODES)
    nodes = [Member(fresh(os.path.join(BUILD, f"ours-{i}")), "ours", i, ports, "controller" if i <= NODES else "broker")
             for i in range(1, NODES + 3)]
    controllers, brokers = nodes[:NODES], nodes[NODES:]
    try:
        with ThreadPoolExecutor(len(nodes)) as all_at_once:
            list(all_at_once.map(Node.start, nodes))
        client = subprocess.Popen([*java_client, "steadily", ",".join(n.bootstrap for n in brokers), "survive"],
                                  stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        for _ in range(KILLS):
            time.sleep(1)  # of undisturbed work
            kill_and_restart(controllers)
        told = client.communicate("enough\n", timeout=60)[0].splitlines()
    finally:
        for n in nodes:
            if n.process and n.process.poll() is None:
                n.kill()
    bad = [line for line in told if not line.startswith("created ")]
    slowest = max((int(line.split()[1]) for line in told if line.startswith("created ")), default=0)
    print(f"  {len(told)} topics while {KILLS} active controllers were killed, the slowest in {slowest} ms", flush=True)
    tally.test("cluster/survive", f"{len(bad)} of {len(told)}: {bad[:3]}" if bad or len(told) < 10 * KILLS else None)


def judge_metadata(tally, cluster, places):
    """`weir metadata` at any controller, a follower among them, says what the node's files say."""
    for place, at in places.items():
        if place == "a broker":
            continue
        done = subprocess.run([Member.weir(), "metadata", "diff", cluster.nodes[0].data, *at.split()], text=True,
                              stdin=subprocess.DEVNULL, capture_output=True)
        told = done.stdout + done.stderr
        tally.test(f"cluster: metadata of {cluster.name}, {place}",
                   None if done.returncode == 0 and len(told.splitlines()) == 2 else told[:1000])


def compare(tally):
    with Three("theirs") as theirs, Three("ours") as ours:
        places = theirs.places(), ours.places()
        judge_metadata(tally, theirs, places[0])
        judge_metadata(tally, ours, places[1])
        for name, cls, args in STEPS:
            for place in places[0] if "AT" in args else ["a broker"]:
                told = [told_by(c, cls, re.sub("AT|BROKER", at[place], args))
                        for c, at in zip((theirs, ours), places)]
                judge(tally, f"{name}, {place}", *told)
