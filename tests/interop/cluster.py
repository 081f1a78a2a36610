"""Clusters of each, three nodes of both roles, and three controllers and two brokers apart, under Kafka's own tools: what they
print must be the same but for names of this run, asked of brokers and, where a tool can, of the active controller and of another
one."""
import os
import re
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor

from kafka import BUILD, CLUSTER, class_path, java
from nodes import ROOT, Node, free_ports, fresh
from toolbox import Toolbox

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
SHAPES = {"combined": ["broker,controller"] * NODES, "apart": ["controller"] * NODES + ["broker"] * 2,
          "alone": ["broker,controller"]}
KILLS = 6
ASKED_AGAIN = 10
READS = re.compile(r"describe|list")
HEARD_S = 10

# name, class, arguments. AT is replaced three times where it stands: a broker, the active controller, another one. ALL is the
# number of brokers, MORE one more.
STEPS = [
    ("status", QUORUM, "AT describe --status"),
    ("status, for people", QUORUM, "AT describe --status --human-readable"),
    ("replication", QUORUM, "AT describe --replication"),
    ("features", FEATURES, "AT describe"),
    ("metadata.version", FEATURES, "AT upgrade --feature metadata.version=30"),
    ("a lower metadata.version", FEATURES, "AT downgrade --feature metadata.version=29 --dry-run"),
    ("cluster id", TOOL, "cluster-id AT"),
    ("endpoints", TOOL, "list-endpoints AT"),
    ("fenced endpoints", TOOL, "list-endpoints AT --include-fenced-brokers"),
    ("unregister nobody", TOOL, "unregister AT --id 99"),
    ("set for all brokers", CONFIGS, "AT --alter --entity-type brokers --entity-default --add-config log.retention.ms=7000000"),
    ("brokers' default", CONFIGS, "AT --describe --entity-type brokers --entity-default"),
    ("create", TOPICS, "BROKER --create --topic c --partitions 6 --replication-factor ALL"),
    ("create beyond the brokers", TOPICS, "BROKER --create --topic d --partitions 1 --replication-factor MORE"),
    ("describe", TOPICS, "BROKER --describe --topic c"),
    ("set for a topic", CONFIGS, "AT --alter --entity-type topics --entity-name c --add-config retention.ms=8000000"),
    ("topic's settings", CONFIGS, "BROKER --describe --entity-type topics --entity-name c"),
    ("elect the preferred", ELECT, "BROKER --election-type preferred --all-topic-partitions"),
    ("delete", TOPICS, "BROKER --delete --topic c"),
    ("list", TOPICS, "BROKER --list"),
    ("an older release", FEATURES, "AT upgrade --release-version 3.9"),
    ("kraft.version, dry", FEATURES, "AT upgrade --feature kraft.version=1 --dry-run"),
    ("kraft.version 2", FEATURES, "AT upgrade --feature kraft.version=2"),
    ("kraft.version and what is wrong", FEATURES, "AT upgrade --feature kraft.version=1 --feature metadata.version=29"),
    ("kraft.version", FEATURES, "AT upgrade --feature kraft.version=1 --feature metadata.version=30"),
    ("kraft.version, again", FEATURES, "AT upgrade --feature kraft.version=1"),
    ("kraft.version, down", FEATURES, "AT downgrade --feature kraft.version=0"),
    ("kraft.version, unsafe down", FEATURES, "AT downgrade --unsafe --feature kraft.version=0"),
    ("features then", FEATURES, "AT describe"),
]
# Of a node that was formatted with 3.7. Releases from 4.0 on name group.version, transaction.version and others, which come with
# what they switch on.
RELEASES = [("describe", FEATURES, "AT describe"),
            ("3.8, dry", FEATURES, "AT upgrade --release-version 3.8 --dry-run"),
            ("3.8", FEATURES, "AT upgrade --release-version 3.8"),
            ("3.9", FEATURES, "AT upgrade --release-version 3.9"),
            ("describe 3.9", FEATURES, "AT describe"),
            ("3.8 again", FEATURES, "AT downgrade --release-version 3.8"),
            ("3.9 again", FEATURES, "AT upgrade --release-version 3.9")]

# When the last broker has been killed and fenced; LAST is its number.
GONE = [
    ("endpoints without one", TOOL, "list-endpoints AT"),
    ("fenced endpoints with it", TOOL, "list-endpoints AT --include-fenced-brokers"),
    ("unregister", TOOL, "unregister BROKER --id LAST"),
    ("unregister again", TOOL, "unregister AT --id LAST"),
    ("endpoints afterwards", TOOL, "list-endpoints AT --include-fenced-brokers"),
]


class Member(Node):
    """A node of a cluster; the first ones have a port for controllers each."""

    def __init__(self, directory, name, number, controllers, roles, tool, release=None):
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
        how = ["--release-version", release] if release else []
        if self.ours:
            done = subprocess.run([self.weir(), "storage", "format", "-t", CLUSTER, "-c", self.config, *how], text=True,
                                  capture_output=True)
        else:
            done = tool("kafka.tools.StorageTool", "format", "-t", CLUSTER, "-c", self.config,
                        *(how or ["--feature", "eligible.leader.replicas.version=0"]))
        if done.returncode:
            raise RuntimeError(done.stdout + done.stderr)

    @staticmethod
    def weir():
        return os.path.join(ROOT, "build", "opt", "weir")

    def command(self):
        if self.ours:
            return [self.weir(), "server", "--config", self.config]
        return java(class_path("server-4.3.1"), "kafka.Kafka", self.config, heap="512m")


class Cluster:
    """Nodes of these roles, controllers first; `with` runs them."""

    def __init__(self, name, shape, tool, release=None):
        roles = SHAPES[shape]
        controllers = free_ports(min(NODES, len(roles)))
        self.name, self.shape, self.tool = name, shape, tool
        self.nodes = [Member(fresh(os.path.join(BUILD, f"{name}-{i}")), name, i, controllers, role, tool,
                             release) for i, role in enumerate(roles, 1)]
        self.serving = [n for n, role in zip(self.nodes, roles) if "broker" in role]
        self.brokers = ",".join(n.bootstrap for n in self.serving)

    def __enter__(self):
        with ThreadPoolExecutor(len(self.nodes)) as all_at_once:  # none is ready before a majority is
            list(all_at_once.map(Node.start, self.nodes))
        self.wait_unfenced(len(self.serving))
        return self

    def __exit__(self, *_):
        for n in self.nodes:
            if n.process and n.process.poll() is None:
                n.kill()

    def wait_unfenced(self, n, wait=60):
        """Until so many brokers can lead."""
        end = time.monotonic() + wait
        while True:
            done = self.tool(TOOL, "list-endpoints", "--bootstrap-server", self.brokers)
            if done.stdout.count("127.0.0.1") == n:
                return
            if time.monotonic() > end:
                raise RuntimeError(f"{self.name}: {done.stdout}{done.stderr}{self.nodes[0].tail()}")

    def active(self):
        """The number of the active controller."""
        done = self.tool(QUORUM, "--bootstrap-server", self.brokers, "describe", "--status")
        found = re.search(r"LeaderId:\s+(\d)", done.stdout)
        if not found:
            raise RuntimeError(f"{self.name}: {done.stdout}{done.stderr}")
        return int(found[1])

    def places(self):
        """name -> the option that asks there."""
        active = self.active()
        other = active % min(NODES, len(self.nodes)) + 1
        return {"a broker": f"--bootstrap-server {self.brokers}",
                "the active controller": f"--bootstrap-controller 127.0.0.1:{self.nodes[active - 1].controller}",
                "another controller": f"--bootstrap-controller 127.0.0.1:{self.nodes[other - 1].controller}"}

    def tell(self, place, args):
        """The arguments of a step, asked at a place."""
        last = self.nodes[-1].name.split()[-1]
        for word, value in (("AT", place), ("BROKER", place), ("ALL", len(self.serving)), ("MORE", len(self.serving) + 1),
                            ("LAST", last)):
            args = re.sub(rf"\b{word}\b", str(value), args)
        return args

    def lose_one(self):
        """The last node, which is a broker, is killed and fenced."""
        self.nodes[-1].kill()
        self.brokers = ",".join(n.bootstrap for n in self.serving[:-1])
        self.wait_unfenced(len(self.serving) - 1)

    def plain(self, text):
        for n in self.nodes:
            name = n.name.split()[-1]
            text = re.sub(rf"\b{n.controller}\b", f"CONTROLLER{name}", text) if n.controller else text
            text = re.sub(rf"\b{n.port}\b", f"PORT{name}", text)  # of a controller alone its port is that
        # Which node leads, what has its copy where, and how far it is by now, is of this run.
        text = re.sub(r"((?:Leader(?:Id|Epoch)|HighWatermark|MaxFollowerLag(?:TimeMs)?):\s+)-?\d+", r"\1N", text)
        text = re.sub(r"(MaxFollowerLagTimeMs:\s+)\d+ .*", r"\1N", text)
        text = re.sub(r"(?m)^\d\s+\S{22}\s+\d+\s+(\d+)\s+\S.*?(Leader|Follower|Observer)\s*$", r"NODE DIRECTORY OFFSET \1 \2", text)
        text = re.sub(r'"directoryId": "\S{22}", ', "", text)  # of fixed voters: ours notes them, Kafka's doesn't know
        text = re.sub(r'"directoryId": "\S{22}"', '"directoryId": "DIRECTORY"', text)
        text = re.sub(r"(CurrentObservers:\s+)\[(.*)\]", lambda m: m[1] + ", ".join(sorted(re.findall(r"{[^}]*}", m[2]))), text)
        text = re.sub(r"TopicId: \S+", "TopicId: ID", text)
        text = re.sub(r"Local controller \d", "Local controller N", text)
        text = re.sub(r"(Leader|Replicas|Isr): [\d,]+", r"\1: N", text)
        text = re.sub(r"Epoch: \d+", "Epoch: N", text)
        text = re.sub(r"(?m)^Feature: (weir|group|transaction|share|streams)\.version.*\n?", "", text)
        text = re.sub(r"(?m)^\s+at .*\n|^\[?\d{4}-.*\n?|\s*\(org\.apache\S*\)", "", text)
        return "\n".join(sorted(" ".join(line.split()) for line in text.strip().splitlines()))


def told_by(cluster, cls, args):
    for _ in range(ASKED_AGAIN):
        done = cluster.tool(cls, *args.split())
        text = cluster.plain(done.stdout + done.stderr)
        if not re.search(r"OFFSET [1-9]", text):  # a follower's lag: the tool came between a record and its fetch
            break
    return done.returncode, text


def told_both(clusters, cls, args):
    """What a tool says of each cluster. Which broker it asks is its client's draw, and a broker may hear of a change after another
    one has answered for it, in Kafka as here: so what only reads is asked again of both, for a while, until they agree."""
    end = time.monotonic() + HEARD_S
    while True:
        told = [told_by(c, cls, a) for c, a in zip(clusters, args)]
        if told[0] == told[1] or not READS.search(args[0]) or time.monotonic() > end:
            return told
        time.sleep(0.1)


def judge(tally, shape, name, theirs, ours):
    bad = None
    if theirs != ours:
        lines = theirs[1].splitlines(), ours[1].splitlines()
        only = [s[:300] for s in lines[0] if s not in lines[1]][:4], [s[:300] for s in lines[1] if s not in lines[0]][:4]
        bad = f"exit codes {theirs[0]}, {ours[0]}; only Kafka: {only[0]}, only ours: {only[1]}"
    tally.test(f"cluster, {shape}/{name}", bad)


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
    nodes = [Member(fresh(os.path.join(BUILD, f"ours-{i}")), "ours", i, ports, role, None)
             for i, role in enumerate(SHAPES["apart"], 1)]
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
        tally.test(f"cluster, {cluster.shape}: metadata of {cluster.name}, {place}",
                   None if done.returncode == 0 and len(told.splitlines()) == 2 else told[:1000])


def steps(tally, table, theirs, ours):
    places = theirs.places(), ours.places()
    for name, cls, args in table:
        for place in places[0] if re.search(r"\bAT\b", args) else ["a broker"]:
            told = told_both((theirs, ours), cls, [c.tell(at[place], args) for c, at in zip((theirs, ours), places)])
            judge(tally, ours.shape, f"{name}, {place}", *told)


def releases(tally):
    """kafka-features --release-version, from 3.7 on: as Kafka as far as weir has what a release switches on."""
    with Toolbox() as tool, Cluster("theirs", "alone", tool, "3.7") as theirs, Cluster("ours", "alone", tool, "3.7") as ours:
        steps(tally, RELEASES, theirs, ours)
        code, text = told_by(ours, FEATURES, f"--bootstrap-server {ours.brokers} upgrade --release-version 4.3")
        later = "Left to a later version of weir: group.version, share.version, streams.version, transaction.version"
        tally.test("cluster/a release that isn't here yet", None if code == 1 and later in text else text[:1000])


def compare(tally):
    releases(tally)
    for shape in ("combined", "apart"):
        with Toolbox() as tool, Cluster("theirs", shape, tool) as theirs, Cluster("ours", shape, tool) as ours:
            for c in (theirs, ours):
                judge_metadata(tally, c, c.places())
            steps(tally, STEPS, theirs, ours)
            if shape == "apart":
                for c in (theirs, ours):
                    c.lose_one()
                steps(tally, GONE, theirs, ours)
