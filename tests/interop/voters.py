"""Controllers that come and go under Kafka's own kafka-metadata-quorum, on three nodes of each, of which the first begins the
quorum alone: two are added, the active one is removed, and stays removed when its node comes back."""
import os
import re
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor

from cluster import QUORUM, SETTINGS, Member
from kafka import BUILD, CLUSTER, tool
from nodes import Node, free_ports, fresh

NODES = 3
WAIT = 90


class Voter(Member):
    """A combined node, formatted as the first of a quorum or as one that is to join."""

    def __init__(self, directory, name, number, controllers):
        Node.__init__(self, f"{name} {number}", directory)
        self.ours, self.controller = name == "ours", controllers[number - 1]
        self.config = os.path.join(directory, "server.properties")
        settings = SETTINGS.replace("controller.quorum.voters", "controller.quorum.bootstrap.servers")
        with open(self.config, "w") as f:
            f.write(settings.format(id=number, roles="broker,controller", data=self.data,
                                    listeners=f"PLAINTEXT://127.0.0.1:{self.port},CONTROLLER://127.0.0.1:{self.controller}",
                                    voters=",".join(f"127.0.0.1:{port}" for port in controllers)))
        how = ["-t", CLUSTER, "-c", self.config, "--standalone" if number == 1 else "--no-initial-controllers"]
        if self.ours:
            done = subprocess.run([self.weir(), "storage", "format", *how], text=True, capture_output=True)
        else:
            done = tool("kafka.tools.StorageTool", "format", *how, "--feature", "eligible.leader.replicas.version=0")
        if done.returncode:
            raise RuntimeError(done.stdout + done.stderr)

    def directory_id(self):
        with open(os.path.join(self.data, "meta.properties")) as f:
            return re.search(r"directory\.id=(\S+)", f.read())[1]


class Voters:
    def __init__(self, name):
        ports = free_ports(NODES)
        self.name = name
        self.nodes = [Voter(fresh(os.path.join(BUILD, f"voters-{name}-{i}")), name, i, ports) for i in range(1, NODES + 1)]
        self.brokers = ",".join(n.bootstrap for n in self.nodes)

    def __enter__(self):
        self.nodes[0].start()
        with ThreadPoolExecutor(NODES) as all_at_once:
            list(all_at_once.map(Node.start, self.nodes[1:]))
        return self

    def __exit__(self, *_):
        for n in self.nodes:
            if n.process and n.process.poll() is None:
                n.kill()

    def ask(self, *args):
        """Exit code, and what went wrong by its class: the words are each one's own."""
        done = tool(QUORUM, "--bootstrap-server", self.brokers, *args)
        return done.returncode, re.findall(r"(\w+Exception)", done.stdout + done.stderr)[:1]

    def roles(self):
        """number -> Leader, Follower or Observer; the directories told are those of the nodes."""
        done = tool(QUORUM, "--bootstrap-server", self.brokers, "describe", "--replication")
        rows = re.findall(r"(?m)^(\d)\s+(\S{22})\s.*\s(Leader|Follower|Observer)\s*$", done.stdout)
        return {int(n): role for n, directory, role in rows if directory == self.nodes[int(n) - 1].directory_id()}

    def becomes(self, expected):
        """expected: how many voters, and the observers among the controllers."""
        end, roles = time.monotonic() + WAIT, {}
        while time.monotonic() < end:
            roles = self.roles()
            if (sum(r != "Observer" for r in roles.values()), sorted(n for n in roles if roles[n] == "Observer")) == expected:
                return None
            time.sleep(0.5)
        return f"{roles} and not {expected}"

    def add(self, number):
        return self.ask("--command-config", self.nodes[number - 1].config, "add-controller")

    def remove(self, number, directory):
        return self.ask("remove-controller", "--controller-id", str(number), "--controller-directory-id",
                        self.nodes[directory - 1].directory_id())

    def story(self):
        """name -> what came of it."""
        told = {"one begins alone": self.becomes((1, [2, 3])),
                "add the second": self.add(2), "two vote": self.becomes((2, [3])),
                "add it again": self.add(2), "add the third": self.add(3), "three vote": self.becomes((3, [])),
                "remove a directory that isn't its": self.remove(2, 3),
                "remove the active one": self.remove(1, 1), "it observes": self.becomes((2, [1]))}
        self.nodes[0].kill()
        self.nodes[0].start()
        told["it stays removed"] = self.becomes((2, [1]))
        return told


def compare(tally):
    with Voters("theirs") as theirs, Voters("ours") as ours:
        with ThreadPoolExecutor(2) as both:
            a, b = both.map(Voters.story, (theirs, ours))
        for name in a:
            tally.test(f"voters/{name}", None if a[name] == b[name] and not isinstance(b[name], str)
                       else f"Kafka: {a[name]}, ours: {b[name]}")
