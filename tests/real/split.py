"""Networks that part: the side without a majority stops being a controller, nothing that either side acknowledged is lost, and
never do both acknowledge."""
import os
import re
import signal
import socket
import struct
import subprocess
import threading
import time

import wire
from net import Net
from node import Node
from quorum import CLUSTER, CREATE_TOPICS, DESCRIBE_QUORUM, exactly, until

CLIENTS, CONTROLLERS = 9092, 9093  # each has a network of its own
ALTER_CONFIGS, LOGGER = 44, 8
NOT_CONTROLLER, TIMED_OUT = 41, 7
TIMEOUT = 3  # s that a request may take by its own words
IMAGE = re.compile(r"image of offset (\d+), hash ([0-9a-f]{16})")
SETTINGS = ("broker.heartbeat.interval.ms=500", "broker.session.timeout.ms=3000")


class Far(Node):
    """A node on a machine of its own."""

    def __init__(self, directory, net, i, role, voters, build, settings):
        super().__init__(os.path.join(directory, str(i)), build)
        self.net, self.id, self.role = net, i, role
        self.properties = os.path.join(self.dir, "server.properties")
        host, listeners = net.address(i), []
        if "broker" in role:
            listeners.append(f"PLAINTEXT://{host}:{CLIENTS}")
        if "controller" in role:
            listeners.append(f"CONTROLLER://{host}:{CONTROLLERS}")
        who = ",".join(f"{v}@{net.address(v)}:{CONTROLLERS}" for v in voters)
        with open(self.properties, "w") as f:
            f.write(f"process.roles={role}\nnode.id={i}\nlog.dirs={self.data}\ncontroller.listener.names=CONTROLLER\n"
                    f"controller.quorum.voters={who}\nlisteners={','.join(listeners)}\n" +
                    "".join(s + "\n" for s in settings))
        done = subprocess.run([self.binary, "storage", "format", "-t", CLUSTER, "-c", self.properties],
                              capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr

    def start(self, wait=0):
        """Doesn't wait: each needs the others to become ready. The process is the node's own, on its machine."""
        self.began = os.path.getsize(self.output) if os.path.exists(self.output) else 0
        with open(self.output, "ab") as out:
            self.process = subprocess.Popen(
                ["ip", "netns", "exec", self.net.space(self.id), self.binary, "server", "--config", self.properties],
                stdin=subprocess.DEVNULL, stdout=out, stderr=out, cwd=self.dir)
        return self

    def ready(self, seconds=20):
        line = "ready for clients" if "broker" in self.role else "ready as a controller"
        until(f"node {self.id} is ready", seconds, lambda: line in self.said())

    def connect(self, port, timeout=5.0):
        """From its own machine, which is always on its side of the network."""
        return self.net.on(self.id, lambda: socket.create_connection((self.net.address(self.id), port), timeout=timeout))

    def ask(self, port, request, timeout=5.0):
        with self.connect(port, timeout) as s:
            s.sendall(request)
            return exactly(s, struct.unpack(">i", exactly(s, 4))[0])[4:]

    def epoch(self):
        """The epoch in which it leads, as itself says and a majority confirms; None where it doesn't."""
        body = b"\2" + b"\x13__cluster_metadata" + b"\2" + struct.pack(">i", 0) + b"\0\0\0"
        try:
            a = self.ask(CONTROLLERS, wire.request(DESCRIBE_QUORUM, 1, body, flexible=True), 2)
        except (OSError, struct.error):
            return None
        if struct.unpack_from(">h", a, 1)[0]:
            return None
        error, leader, epoch = struct.unpack_from(">hii", a, 1 + 2 + 1 + 19 + 1 + 4)
        return epoch if error == 0 and leader == self.id else None

    def topics(self):
        a = self.ask(CLIENTS, wire.request(wire.METADATA, 1, struct.pack(">i", -1)))
        at, names = 4, set()
        for _ in range(struct.unpack_from(">i", a, 0)[0]):
            at += 4
            at += 2 + struct.unpack_from(">h", a, at)[0] + 4
            at += 2 + max(struct.unpack_from(">h", a, at)[0], 0)
        n = struct.unpack_from(">ii", a, at)[1]
        at += 8
        for _ in range(n):
            size = struct.unpack_from(">h", a, at + 2)[0]
            names.add(a[at + 4:at + 4 + size].decode())
            at += 4 + size + 1
            parts = struct.unpack_from(">i", a, at)[0]
            at += 4
            for _ in range(parts):
                at += 10
                for _ in range(2):
                    at += 4 + 4 * struct.unpack_from(">i", a, at)[0]
        return names

    def log(self):
        """The metadata log as it lies on the disk."""
        path, out = os.path.join(self.data, "__cluster_metadata-0"), b""
        for name in sorted(n for n in os.listdir(path) if n.endswith(".log")):
            with open(os.path.join(path, name), "rb") as f:
                out += f.read()
        return out

    def tell_images(self):
        """From now on it says each image's hash."""
        body = (struct.pack(">ib", 1, LOGGER) + wire.text(str(self.id)) + struct.pack(">i", 1) + wire.text("metadata") +
                b"\0" + wire.text("TRACE") + b"\0")
        a = self.ask(CLIENTS, wire.request(ALTER_CONFIGS, 0, body))
        assert struct.unpack_from(">h", a, 8)[0] == 0, a


class Writer(threading.Thread):
    """Creates topics at one listener, one after the other, and keeps what it was told: (topic, began, ended, error).
    An error of None: no answer came."""

    def __init__(self, node, port, tag):
        super().__init__()
        self.node, self.port, self.tag, self.told, self.over = node, port, tag, [], threading.Event()

    def run(self):
        n, sock = 0, None
        while not self.over.is_set():
            topic, began, error = f"{self.tag}-{n}", time.monotonic(), None
            n += 1
            try:
                sock = sock or self.node.connect(self.port, TIMEOUT + 2)
                body = struct.pack(">i", 1) + wire.text(topic)
                body += struct.pack(">ihiii?", 1, 1, 0, 0, TIMEOUT * 1000, False)
                sock.sendall(wire.request(CREATE_TOPICS, 4, body))
                answer = exactly(sock, struct.unpack(">i", exactly(sock, 4))[0])
                error = struct.unpack_from(">h", answer, 12 + 2 + len(topic))[0]
            except OSError:
                if sock:
                    sock.close()
                sock = None
            self.told.append((topic, began, time.monotonic(), error))
            if error != 0:
                self.over.wait(0.02)  # who isn't the controller needn't be asked as fast as it can answer
        if sock:
            sock.close()

    def made(self):
        return [t for t in self.told if t[3] == 0]


class World:
    """Nodes on machines of their own, and a writer at each of their listeners."""

    def __init__(self, directory, roles, build="opt", settings=SETTINGS):
        self.net = Net(len(roles))
        voters = [i for i, role in enumerate(roles, 1) if "controller" in role]
        self.nodes = [Far(directory, self.net, i, role, voters, build, settings) for i, role in enumerate(roles, 1)]
        self.controllers = [n for n in self.nodes if "controller" in n.role]
        self.brokers = [n for n in self.nodes if "broker" in n.role]
        self.writers = {}

    def __enter__(self):
        self.net.__enter__()
        try:
            for n in self.nodes:
                n.start()
            for n in self.nodes:
                n.ready()
            for n in self.brokers:
                n.tell_images()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *ended):
        for w in self.writers.values():
            w.over.set()
        for n in self.nodes:
            if n.alive():
                n.process.send_signal(signal.SIGCONT)
            n.kill()
        for w in self.writers.values():
            w.join()
        self.net.__exit__()

    def leader(self, among=None, seconds=15):
        return until("a leader", seconds, lambda: next((n for n in among or self.controllers if n.epoch()), None))

    def write(self):
        """Writers everywhere, of which some have been acknowledged already."""
        for n in self.nodes:
            for port in ((CLIENTS,) if "broker" in n.role else ()) + ((CONTROLLERS,) if "controller" in n.role else ()):
                w = self.writers[n.id, port] = Writer(n, port, f"{n.id}-{port}-{len(self.writers)}")
                w.start()
        until("topics at every broker", 20, lambda: all(w.made() for (_, port), w in self.writers.items() if port == CLIENTS))

    def of(self, nodes, port=None):
        ids = [n.id for n in nodes]
        return [w for (i, p), w in self.writers.items() if i in ids and port in (None, p)]

    def settle(self):
        """All is healed: writers end, every node has every acknowledged topic, and the same images."""
        for w in self.writers.values():
            w.over.set()
        for w in self.writers.values():
            w.join()
        told = [t for w in self.writers.values() for t in w.told]
        made = {t[0] for t in told if t[3] == 0}
        try:
            for n in self.brokers:
                until(f"every acknowledged topic on node {n.id}", 20, lambda n=n: made <= n.topics())
        except AssertionError as e:
            lacks = {n.id: sorted(made - n.topics()) for n in self.brokers}
            raise AssertionError(f"{e}; missing: " + "; ".join(
                f"{len(names)} on node {i} {names[:3]}" for i, names in lacks.items())) from None
        images, compared = {}, 0
        for n in self.brokers:
            for offset, digest in IMAGE.findall(n.said()):
                compared += offset in images
                assert images.setdefault(offset, digest) == digest, f"node {n.id}: another image of offset {offset}"
        assert compared > len(made) / 2, f"only {compared} images were compared"
        until("every copy of the log is the same bytes", 20, lambda: len({n.log() for n in self.nodes}) == 1)
        for n in [n for n in self.nodes if n not in self.controllers] + self.controllers:
            n.stop()
        return len(made), compared


def no_split_brain(alone, rest, since):
    """Who was asked after the others had acknowledged what they were asked since the cut acknowledged nothing."""
    first = min(t[2] for w in rest for t in w.made() if t[1] > since)
    late = [t[0] for w in alone for t in w.made() if t[1] > first]
    assert not late, f"acknowledged on the side without a majority: {late[:5]}"


def part(directory, roles, build):
    """The active controller, alone or with one broker, is cut off from the others for a while; clients go on on both
    sides."""
    with World(directory, roles, build) as w:
        old = w.leader()
        broker = next((n for n in w.brokers if n not in w.controllers), None)
        minority = [old] + ([broker] if broker else [])
        majority = [n for n in w.nodes if n not in minority]
        w.write()
        w.net.cut([n.id for n in minority], [n.id for n in majority])
        began = time.monotonic()
        marks = {x: len(x.told) for x in w.of(majority)}
        new = w.leader([n for n in w.controllers if n is not old])
        took = time.monotonic() - began
        until("the minority's controller answers as none", 5, lambda: old.epoch() is None)
        quiet = time.monotonic() - began
        until("topics on the other side", 15, lambda: all(
            any(t[3] == 0 for t in x.told[marks[x]:] if t[1] > began)
            for x in w.of([n for n in majority if "broker" in n.role], CLIENTS) + w.of([new], CONTROLLERS)))
        until("refusals at the cut-off controller", 10, lambda: any(
            t[3] == NOT_CONTROLLER for x in w.of([old], CONTROLLERS) for t in x.told if t[1] > began))
        until("a time-out at the cut-off broker", 15, lambda: any(
            t[3] not in (0, None) for x in w.of(minority, CLIENTS) for t in x.told if t[1] > began + 1))
        no_split_brain(w.of(minority), w.of(majority), began)
        w.net.heal()
        epoch = new.epoch()
        marks = {x: len(x.told) for x in w.of(minority, CLIENTS)}
        until("topics at the healed side", 20, lambda: all(any(t[3] == 0 for t in x.told[n:]) for x, n in marks.items()))
        assert epoch and new.epoch() == epoch, f"epoch {epoch} of node {new.id}, now {new.epoch()}: it was disturbed"
        made, compared = w.settle()
        errors = sorted({t[3] for x in w.of(majority, CLIENTS) for t in x.told if t[3]})
        assert not errors, f"clients on the side of the majority saw errors: {errors}"
        return (f"another led after {took * 1000:.0f} ms, the old one answered as none after {quiet * 1000:.0f} ms; {made} topics, "
                f"{compared} images equal")


def combined(directory, build="opt"):
    """Three nodes of both roles, the active one alone on its side."""
    return part(directory, ["broker,controller"] * 3, build)


def apart(directory, build="opt"):
    """Three controllers and two brokers; the active controller and one broker on one side."""
    return part(directory, ["controller"] * 3 + ["broker"] * 2, build)


def one_way(directory, build="opt"):
    """What the leader sends is lost, then what is sent to it: each time another one leads, it answers no more, and nothing
    is lost. What one follower sends, or hears, is lost: the leader stays, and so does its epoch."""
    said = []
    with World(directory, ["broker,controller"] * 3, build) as w:
        w.write()
        for deaf in (False, True):
            old = w.leader()
            others = [n for n in w.controllers if n is not old]
            for n in others:
                w.net.send(*((n.id, old.id) if deaf else (old.id, n.id)), False)
            began = time.monotonic()
            w.leader(others)
            said.append(time.monotonic() - began)
            until("the old one answers as none", 5, lambda o=old: o.epoch() is None)
            until("topics elsewhere", 15, lambda: all(
                any(t[3] == 0 for t in x.told if t[1] > began) for x in w.of(others, CLIENTS)))
            no_split_brain(w.of([old], CONTROLLERS), w.of(others), began)
            w.net.heal()
            until("topics there again", 20, lambda: any(
                t[3] == 0 for t in w.of([old], CLIENTS)[0].told if t[1] > time.monotonic() - 1))
        leader = w.leader()
        epoch, follower = leader.epoch(), next(n for n in w.controllers if n is not leader)
        third = next(n for n in w.controllers if n not in (leader, follower))
        for pair in ((follower.id, leader.id), (leader.id, follower.id)):
            began, n = time.monotonic(), len(w.writers[third.id, CLIENTS].told)
            w.net.send(*pair, False)
            until("topics meanwhile", 15, lambda: time.monotonic() > began + 2 and
                  sum(t[3] == 0 for t in w.writers[third.id, CLIENTS].told[n:]) > 5)
            w.net.heal()
            assert leader.epoch() == epoch, f"epoch {epoch} of node {leader.id} ended: a deaf follower disturbed it"
        made, compared = w.settle()
        return (f"another led after {said[0] * 1000:.0f} ms (mute), {said[1] * 1000:.0f} ms (deaf); {made} topics, "
                f"{compared} images equal")
