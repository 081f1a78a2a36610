"""Controllers and brokers in processes of their own: the brokers follow the metadata log from outside the quorum."""
import os
import re
import shutil
import subprocess
import time

from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

from node import Node, free_port

CLUSTER = "realapartrealapartrealg"[:22]
CONTROLLER_READY, BROKER_READY = "ready as a controller", "ready for clients"
LOG = "__cluster_metadata-0"


def until(what, seconds, check):
    """The first true answer of check()."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        got = check()
        if got:
            return got
        time.sleep(0.01)
    raise AssertionError(f"not within {seconds} s: {what}")


class Member(Node):
    """One process of one role."""

    def __init__(self, directory, node_id, role, voters, build, settings=()):
        super().__init__(os.path.join(directory, str(node_id)), build)
        self.id, self.role = node_id, role
        self.ready_line = CONTROLLER_READY if role == "controller" else BROKER_READY
        if role == "controller":
            self.port = voters[node_id]
        self.properties = os.path.join(self.dir, "server.properties")
        listener = "CONTROLLER" if role == "controller" else "PLAINTEXT"
        who = ",".join(f"{i}@127.0.0.1:{p}" for i, p in voters.items())
        with open(self.properties, "w") as f:
            f.write(f"process.roles={role}\nnode.id={node_id}\nlog.dirs={self.data}\n"
                    f"controller.listener.names=CONTROLLER\ncontroller.quorum.voters={who}\n"
                    f"listeners={listener}://127.0.0.1:{self.port}\n" + "".join(s + "\n" for s in settings))
        done = subprocess.run([self.binary, "storage", "format", "-t", CLUSTER, "-c", self.properties],
                              capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr

    def start(self, wait=0):
        """Doesn't wait: each needs the others to become ready."""
        self.began = os.path.getsize(self.output) if os.path.exists(self.output) else 0
        with open(self.output, "ab") as out:
            self.process = subprocess.Popen([self.binary, "server", "--config", self.properties],
                                            stdin=subprocess.DEVNULL, stdout=out, stderr=out, cwd=self.dir)
        return self

    def ready(self, seconds=30):
        def look():
            assert self.alive(), f"node {self.id} has ended: {self.said()[-3000:]}"
            return self.ready_line in self.said()
        until(f"node {self.id} is ready: {self.said()[-1500:]}", seconds, look)
        return self

    def leads(self):
        """It said so, and nothing else since."""
        said = re.findall(r"(this node|node \d+|nobody is known to) leads? (?:the metadata )?", self.said())
        return self.alive() and bool(said) and said[-1] == "this node"

    def metadata(self):
        """The bytes of its copy of the metadata log, by base offset."""
        path = os.path.join(self.data, LOG)
        out = {}
        for name in sorted(os.listdir(path)):
            if name.endswith(".log"):
                with open(os.path.join(path, name), "rb") as f:
                    out[name] = f.read()
        return out


class Apart:
    def __init__(self, directory, controllers, brokers, build="opt", settings=()):
        voters = {i: free_port() for i in range(1, controllers + 1)}
        self.controllers = [Member(directory, i, "controller", voters, build, settings) for i in voters]
        self.brokers = [Member(directory, 100 + i, "broker", voters, build, settings) for i in range(1, brokers + 1)]
        self.members = self.controllers + self.brokers

    def __enter__(self):
        for m in self.members:
            m.start()
        for m in self.members:
            m.ready()
        return self

    def __exit__(self, *ended):
        for m in self.members:
            m.kill()

    def admin(self, broker=0):
        return AdminClient({"bootstrap.servers": self.brokers[broker].bootstrap, "log_level": 0,
                            "error_cb": lambda e: None})

    def create(self, topic, partitions=4, broker=0):
        # what isn't there while nobody leads is asked for again by the broker, within the request's time
        admin = self.admin(broker)
        for future in admin.create_topics([NewTopic(topic, partitions, 1)], operation_timeout=20,
                                          request_timeout=30).values():
            future.result(30)

    def topics(self, broker=0):
        return self.admin(broker).list_topics(timeout=20).topics

    def brokers_known(self, broker=0):
        return self.admin(broker).list_topics(timeout=20).brokers

    def same_everywhere(self, seconds=20):
        """Every copy ends as the first controller's log does."""
        def look():
            first = self.controllers[0].metadata()
            return all(m.metadata() == first for m in self.members[1:] if m.alive())
        until("all copies are the same bytes", seconds, look)

    def stop(self):
        """Brokers first: a controller is needed for them to leave in order."""
        for m in self.brokers + self.controllers:
            if m.alive():
                m.stop()


def roundtrip(cluster, topic, n=200):
    """What is produced by way of one broker is read by way of the other."""
    p = Producer({"bootstrap.servers": cluster.brokers[0].bootstrap, "log_level": 0})
    errors = []
    for i in range(n):
        p.produce(topic, f"{topic}-{i}", on_delivery=lambda e, m: e and errors.append(e))
    assert p.flush(30) == 0 and not errors, errors[:3]
    c = Consumer({"bootstrap.servers": cluster.brokers[-1].bootstrap, "group.id": "none", "log_level": 0,
                  "enable.auto.commit": False})
    c.assign([TopicPartition(topic, i, 0) for i in range(4)])
    got, end = set(), time.monotonic() + 30
    while len(got) < n and time.monotonic() < end:
        m = c.poll(1)
        if m and not m.error():
            got.add(m.value().decode())
    c.close()
    assert got == {f"{topic}-{i}" for i in range(n)}, f"{len(got)} of {n}"


def one_and_two(directory, build="opt"):
    """A controller and two brokers, each a process: topics come into being on both brokers, all three have the same
    metadata log, byte for byte, and all of them stop in order."""
    with Apart(directory, 1, 2, build) as c:
        c.create("a", broker=0)
        c.create("b", broker=1)
        for broker in (0, 1):
            until("both know both", 10, lambda b=broker: {"a", "b"} <= set(c.topics(b)))
        leaders = {p.leader for p in c.topics()["a"].partitions.values()}
        assert leaders == {101, 102}, leaders
        roundtrip(c, "a")
        c.same_everywhere()
        c.stop()
        return f"{sum(map(len, c.controllers[0].metadata().values()))} bytes of metadata, the same on all"


def broker_killed(directory, build="opt"):
    """A broker that is killed begins with its own copy: it doesn't ask for what it has, and learns what it missed."""
    with Apart(directory, 1, 2, build) as c:
        c.create("before")
        c.same_everywhere()
        c.brokers[1].kill()
        until("it is known to be dead", 20, lambda: set(c.brokers_known()) == {101})
        c.create("meanwhile", broker=0)
        c.brokers[1].start().ready()
        kept = int(re.search(r"no snapshot yet, end (\d+)", c.brokers[1].said()).group(1))
        assert kept > 10, kept
        until("it knows both", 10, lambda: {"before", "meanwhile"} <= set(c.topics(1)))
        roundtrip(c, "before")
        c.same_everywhere()
        c.stop()
        return f"began at offset {kept}"


def controller_killed(directory, build="opt"):
    """Brokers serve while the only controller is down, and follow it when it is back. They wait for nobody when they stop after
    it."""
    with Apart(directory, 1, 2, build) as c:
        c.create("before")
        c.same_everywhere()  # who hasn't heard of it yet can't serve it
        c.controllers[0].kill()
        roundtrip(c, "before")
        c.controllers[0].start().ready()
        c.create("after", broker=1)
        until("both know it", 10, lambda: all("after" in c.topics(b) for b in (0, 1)))
        roundtrip(c, "after")
        c.same_everywhere()
        c.controllers[0].stop()
        time.sleep(0.5)
        took = [b.stop() for b in c.brokers]
        assert max(took) < 2, took
        return f"brokers stopped last in {', '.join(f'{t * 1000:.0f}' for t in took)} ms"


def three_and_two(directory, build="opt"):
    """Three controllers and two brokers: the active controller is killed again and again; brokers go on, clients create
    topics, and every copy is the same."""
    with Apart(directory, 3, 2, build) as c:
        took = []
        for n in range(3):
            c.create(f"t{n}", broker=n % 2)
            leader = until("a leader", 20, lambda: next((m for m in c.controllers if m.leads()), None))
            leader.kill()
            began = time.monotonic()
            c.create(f"u{n}", broker=n % 2)
            took.append(time.monotonic() - began)
            leader.start().ready()
        names = {f"{a}{n}" for a in "tu" for n in range(3)}
        for broker in (0, 1):
            until("both know all", 10, lambda b=broker: names <= set(c.topics(b)))
        roundtrip(c, "u2")
        c.same_everywhere()
        c.stop()
        return "a topic after a kill took " + ", ".join(f"{t * 1000:.0f}" for t in took) + " ms"


def away(directory, build="opt"):
    """A broker that was away learns what it missed; one that lost its copy is brought up by a snapshot and the log; one whose
    newest snapshot is damaged passes over it, and says so."""
    settings = ("metadata.log.max.record.bytes.between.snapshots=5000", "metadata.log.segment.bytes=8388608",
                "metadata.max.retention.bytes=1000")
    with Apart(directory, 1, 2, build, settings) as c:
        c.create("before")
        c.brokers[1].stop()
        for i in range(40):
            c.create(f"t{i}", broker=0)
        c.brokers[1].start().ready()
        assert len(set(c.topics(1))) >= 41
        c.same_everywhere()
        c.brokers[1].stop()
        shutil.rmtree(os.path.join(c.brokers[1].data, LOG))
        c.brokers[1].start().ready()
        assert "took over the snapshot" in c.brokers[1].said(), c.brokers[1].said()[-2000:]
        assert len(set(c.topics(1))) >= 41
        c.brokers[0].stop()
        path = os.path.join(c.brokers[0].data, LOG)
        ckpts = sorted(n for n in os.listdir(path) if n.endswith(".checkpoint"))
        assert ckpts, os.listdir(path)
        with open(os.path.join(path, ckpts[-1]), "r+b") as f:
            f.seek(200)
            byte = f.read(1)
            f.seek(200)
            f.write(bytes([byte[0] ^ 4]))
        c.brokers[0].start().ready()
        assert "is damaged and set aside" in c.brokers[0].said(), c.brokers[0].said()[-2000:]
        assert len(set(c.topics(0))) >= 41
        c.stop()
        return f"{len(ckpts)} snapshots of its own"


def rotten(directory, build="opt"):
    """A committed batch that rotted in a broker's copy, or in the controller's log, stops that node, and says file and
    position."""
    with Apart(directory, 1, 1, build) as c:
        c.create("before")
        c.same_everywhere()
        c.stop()
        for m in (c.brokers[0], c.controllers[0]):
            path = os.path.join(m.data, LOG, "0" * 20 + ".log")
            with open(path, "r+b") as f:
                f.seek(700)
                byte = f.read(1)
                f.seek(700)
                f.write(bytes([byte[0] ^ 4]))
            size = os.path.getsize(path)
            m.start()
            until("it ends", 20, lambda m=m: not m.alive())
            assert re.search(r"0{20}\.log: the batch at position \d+, offset \d+, is damaged", m.said()), m.said()
            assert os.path.getsize(path) == size
            m.kill()


def waits(directory, build="opt"):
    """A broker that finds no controller waits, says so, and stops when it is asked to."""
    with_one = Apart(directory, 1, 1, build)
    broker = with_one.brokers[0].start()
    try:
        until("it says so", 10, lambda: "can't be followed" in broker.said())
        took = broker.stop()
        assert took < 5, took
    finally:
        broker.kill()
