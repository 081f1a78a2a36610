"""Brokers of three processes and their active controller: whom clients ask doesn't matter, who is dead is told at once."""
import re
import signal
import socket
import struct
import threading
import time

import wire
from quorum import CREATE_TOPICS, Quorum, exactly, ready, until

FENCED = re.compile(r"broker (\d+) of epoch (\d+) is fenced: (.*)")


def create(sock, topic):
    """CreateTopics on a client's connection to a broker; its error code."""
    body = struct.pack(">i", 1) + wire.text(topic) + struct.pack(">ihiii?", 1, 1, 0, 0, 20000, False)
    sock.sendall(wire.request(CREATE_TOPICS, 4, body))
    answer = exactly(sock, struct.unpack(">i", exactly(sock, 4))[0])
    return struct.unpack_from(">h", answer, 12 + 2 + len(topic))[0]


class Maker(threading.Thread):
    """Creates one topic after the other at one broker; what was refused, and the longest that one took."""

    def __init__(self, voter, tag):
        super().__init__()
        self.voter, self.tag, self.made, self.errors, self.longest = voter, tag, 0, [], 0.0
        self.over = threading.Event()

    def run(self):
        with socket.create_connection(("127.0.0.1", self.voter.port), timeout=30) as s:
            while not self.over.is_set():
                topic, began = f"{self.tag}-{self.made}", time.monotonic()
                try:
                    error = create(s, topic)
                except OSError as e:
                    error = e
                if error:
                    self.errors.append((topic, error))
                    return
                self.longest = max(self.longest, time.monotonic() - began)
                self.made += 1


def forward(directory, build="opt"):
    """Topics are created at two brokers while the third, which leads, is killed: each is created once, no client sees an
    error."""
    with Quorum(directory, build) as q:
        made, longest = 0, 0.0
        for n in range(5):
            leader = ready(q.leader())
            makers = [Maker(ready(v), f"r{n}-{v.id}") for v in q.voters if v is not leader]
            for m in makers:
                m.start()
            time.sleep(0.5)
            leader.kill()
            time.sleep(1.5)
            for m in makers:
                m.over.set()
            for m in makers:
                m.join(60)
                assert not m.errors, f"round {n}, node {m.voter.id}: {m.errors}"
                assert m.made > 0
                made, longest = made + m.made, max(longest, m.longest)
            ready(leader.start())
        q.caught_up()
        q.stop()
        return f"{made} topics; the longest took {longest * 1000:.0f} ms"


def fenced(q, voter, since):
    """When and why the broker was fenced, of what all have said since."""
    for v in q.voters:
        for line in v.said_ever()[since.get(v.id, 0):].splitlines():
            found = FENCED.search(line)
            if found and int(found.group(1)) == voter.id:
                return line
    return None


def marks(q):
    return {v.id: len(v.said_ever()) for v in q.voters}


def fences(directory, build="opt"):
    """A killed broker is fenced as soon as its port refuses, and takes its place again when it is back, however fast; one that
    sleeps is fenced when its session is over."""
    with Quorum(directory, build) as q:
        for v in q.voters:
            with open(v.properties, "a") as f:
                f.write("broker.heartbeat.interval.ms=1000\nbroker.session.timeout.ms=4000\n")
            v.kill()
            v.start()
        took, back = [], []
        for _ in range(3):
            leader = q.leader()
            victim = next(v for v in q.voters if v is not leader)
            for v in q.voters:
                ready(v)
            since, began = marks(q), time.monotonic()
            victim.kill()
            line = until("it is fenced", 10, lambda: fenced(q, victim, since))
            took.append(time.monotonic() - began)
            assert took[-1] < 0.3 and "refuses" in line, f"{took[-1] * 1000:.0f} ms: {line}"
            began = time.monotonic()
            ready(victim.start())
            victim.kill()  # and again, before anybody can have looked
            ready(victim.start())
            back.append(time.monotonic() - began)
            assert back[-1] < 5, f"back after {back[-1]:.1f} s"
        leader = q.leader()
        asleep = next(v for v in q.voters if v is not leader)
        since, began = marks(q), time.monotonic()
        asleep.process.send_signal(signal.SIGSTOP)
        line = until("it is fenced", 10, lambda: fenced(q, asleep, since))
        slept = time.monotonic() - began
        assert slept > 2.5 and "session" in line, f"{slept:.1f} s: {line}"
        asleep.process.send_signal(signal.SIGCONT)
        q.caught_up()
        q.stop()
        return (f"fenced after {', '.join(f'{t * 1000:.0f}' for t in took)} ms, back twice in {max(back):.1f} s, "
                f"asleep after {slept:.1f} s")
