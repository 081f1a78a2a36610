"""Voters that come and go while clients create topics: asked for by the controllers' listener, as Kafka's tool does."""
import os
import re
import struct
import subprocess
import time

import wire
from brokers import Maker
from emptied import directories, leads
from node import Node, free_port
from quorum import CLUSTER, ELECTION_MS, Quorum, Voter, ready, topics, until, uuid_of

ADD, REMOVE, UPDATE = 80, 81, 82
TIME_MS = 20000


class Newcomer(Voter):
    """A combined node that knows addresses alone; the first begins the quorum, the others follow until they are added."""

    def __init__(self, directory, node_id, ports, build):
        Node.__init__(self, os.path.join(directory, str(node_id)), build)
        self.id, self.controller = node_id, ports[node_id]
        self.properties = os.path.join(self.dir, "server.properties")
        servers = ",".join(f"127.0.0.1:{p}" for p in ports.values())
        with open(self.properties, "w") as f:
            f.write(f"process.roles=broker,controller\nnode.id={node_id}\nlog.dirs={self.data}\n"
                    f"controller.listener.names=CONTROLLER\ncontroller.quorum.bootstrap.servers={servers}\n"
                    f"quorum.election.ms={ELECTION_MS}\n"
                    f"listeners=PLAINTEXT://127.0.0.1:{self.port},CONTROLLER://127.0.0.1:{self.controller}\n")
        how = "--standalone" if node_id == 1 else "--no-initial-controllers"
        done = subprocess.run([self.binary, "storage", "format", "-t", CLUSTER, "-c", self.properties, how],
                              capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr


class Newcomers(Quorum):
    def __init__(self, directory, build, n=3):
        ports = {i: free_port() for i in range(1, n + 1)}
        self.voters = [Newcomer(directory, i, ports, build) for i in ports]

    def active(self):
        return until("one leads", 20, lambda: next((v for v in self.alive() if leads(v)), None))

    def vote(self, *voters):
        """Exactly these vote, from the directories that they have."""
        want = {v.id: uuid_of(v) for v in voters}
        until(f"{list(want)} vote", 30, lambda: any(leads(v) == want for v in self.alive()))


def compact(text):
    return bytes([len(text) + 1]) + text.encode()


def listeners(voter):
    return b"\2" + compact("CONTROLLER") + compact("127.0.0.1") + struct.pack(">H", voter.controller) + b"\0"


def key(voter):
    return struct.pack(">i", voter.id) + uuid_of(voter)


def add_request(voter):
    return wire.request(ADD, 0, compact(CLUSTER) + struct.pack(">i", TIME_MS) + key(voter) + listeners(voter) + b"\0",
                        flexible=True)


def remove_request(voter):
    return wire.request(REMOVE, 0, compact(CLUSTER) + key(voter) + b"\0", flexible=True)


def changed(q, request):
    """The active controller is asked until it has done it; one that has just begun to lead, or is at something, says so."""
    def look():
        error = struct.unpack_from(">h", q.active().ask(request), 5)[0]
        assert error == 0, f"error {error}"
        return True
    until("a change of voters", 30, look)


def come_and_go(directory, build="opt"):
    """One voter becomes three, its leader is removed, and comes again: no client that creates topics meanwhile sees an error,
    and every topic is there."""
    with Newcomers(directory, build) as q:
        first, second, third = q.voters
        for v in q.voters:
            ready(v)
        makers = [Maker(v, f"m{v.id}") for v in (second, third)]
        for m in makers:
            m.start()
        try:
            for v in (second, third):
                changed(q, add_request(v))
            q.vote(first, second, third)
            gone = q.active()
            changed(q, remove_request(gone))
            q.vote(*(v for v in q.voters if v is not gone))
            assert q.active() is not gone
            time.sleep(0.5)
            changed(q, add_request(gone))
            q.vote(first, second, third)
            q.active().kill()  # the three are a quorum that bears that
            led = q.active()
            until("topics are made", 20, lambda: all(m.made > 5 or m.errors for m in makers))
        finally:
            for m in makers:
                m.over.set()
                m.join(60)
        errors = [e for m in makers if m.voter.alive() for e in m.errors]
        assert not errors, errors
        names = {f"{m.tag}-{n}" for m in makers for n in range(m.made)}
        until("every topic is there", 20, lambda: names <= topics(led))
        next(v for v in q.voters if not v.alive()).start()
        q.vote(first, second, third)
        q.stop()
        return f"{len(names)} topics, the longest took {max(m.longest for m in makers) * 1000:.0f} ms"
