"""The active controller is killed while the image is large, and while clients of all kinds work."""
import signal
import socket
import struct
import threading
import time

from confluent_kafka.admin import AdminClient, NewTopic

import wire
from apart import Apart, Member
from apart import until as soon
from brokers import create
from quorum import CREATE_TOPICS, LEADS, Quorum, exactly, ready

PARTITIONS, EACH = 100000, 1000
KILLS = 6
BOUND = 1.0  # s from the kill to the next topic


def fill(voter, partitions=PARTITIONS, each=EACH):
    """So many partitions with three replicas each, by way of one broker."""
    with socket.create_connection(("127.0.0.1", voter.port), timeout=60) as s:
        for n in range(partitions // each):
            topic = f"big-{n}"
            body = struct.pack(">i", 1) + wire.text(topic) + struct.pack(">ihiii?", each, 3, 0, 0, 30000, False)
            s.sendall(wire.request(CREATE_TOPICS, 4, body))
            answer = exactly(s, struct.unpack(">i", exactly(s, 4))[0])
            error = struct.unpack_from(">h", answer, 12 + 2 + len(topic))[0]
            assert error == 0, f"{topic}: {error}"


def next_topic(voter, topic):
    """One request on a connection of its own, as a client sends it; the broker must answer it without an error."""
    with socket.create_connection(("127.0.0.1", voter.port), timeout=30) as s:
        error = create(s, topic)
        assert error == 0, f"{topic}: error {error}"


def large(directory, build="opt"):
    """kill -9 of the active controller, a broker too, with 100,000 partitions in the image: the next CreateTopics, sent to
    another broker at that moment, succeeds in under a second, six times."""
    with Quorum(directory, build) as q:
        for v in q.voters:
            ready(v)
        began = time.monotonic()
        fill(q.voters[0])
        filled, took = time.monotonic() - began, []
        for n in range(KILLS):
            leader = q.caught_up()
            other = next(v for v in q.voters if v is not leader)
            size = leader.rss()
            began = time.monotonic()
            leader.kill()
            next_topic(other, f"next-{n}")
            took.append(time.monotonic() - began)
            assert took[-1] < BOUND, f"kill {n}: {took[-1] * 1000:.0f} ms"
            ready(leader.start())
        q.caught_up()
        q.stop()
        return (f"the next topic after {', '.join(f'{t * 1000:.0f}' for t in took)} ms; {PARTITIONS} partitions made in "
                f"{filled:.1f} s, {size >> 20} MiB")


class Client(threading.Thread):
    """librdkafka, which creates one topic after the other at one broker."""

    def __init__(self, broker):
        super().__init__()
        self.broker, self.made, self.error, self.longest = broker, 0, None, 0.0
        self.over = threading.Event()

    def run(self):
        admin = AdminClient({"bootstrap.servers": self.broker.bootstrap, "log_level": 0, "error_cb": lambda e: None})
        while not self.over.is_set():
            topic, began = f"c{self.broker.id}-{self.made}", time.monotonic()
            try:
                for f in admin.create_topics([NewTopic(topic, 3, 1)]).values():
                    f.result(60)
            except Exception as e:  # is the client's error, whatever it is
                self.error = f"{topic} after {time.monotonic() - began:.1f} s: {e}"
                return
            self.longest = max(self.longest, time.monotonic() - began)
            self.made += 1

    def more(self, n=5):
        """So many more topics, begun after now."""
        goal = self.made + 1 + n
        soon(f"topics at broker {self.broker.id}", 30, lambda: self.made >= goal or self.error)


def active(c):
    """The epoch of who led last, and that controller."""
    epochs = [(int(LEADS.findall(m.said_ever())[-1]), m) for m in c.controllers if LEADS.search(m.said_ever())]
    return max(epochs, key=lambda e: e[0])


def under_way(directory, build, end, again):
    """librdkafka creates topics at two brokers, while end() and again() befall the three controllers, which are processes of
    their own: the active one, a follower, and both. No request ends with an error, and every topic is there."""
    with Apart(directory, 3, 2, build) as c:
        clients = [Client(b) for b in c.brokers]
        try:
            for client in clients:
                client.start()
                client.more()
            for victims in ("active", "follower", "active", "both", "active", "both"):
                epoch, leader = active(c)
                follower, third = [m for m in c.controllers if m is not leader]
                gone = {"active": [leader], "follower": [follower], "both": [leader, follower]}[victims]
                since = len(third.said_ever())
                for m in gone:
                    end(m)
                if victims == "both":
                    soon("the third one is alone", 20, lambda: "nobody is known to lead" in third.said_ever()[since:])
                elif victims == "active":
                    soon("another one leads", 20, lambda: active(c)[0] > epoch)
                for client in clients if victims != "both" else []:
                    client.more()  # with a majority
                for m in gone:
                    again(m)
                for client in clients:
                    client.more()
        finally:
            for client in clients:
                client.over.set()
            for m in c.controllers:
                if m.alive():
                    m.process.send_signal(signal.SIGCONT)
            for client in clients:
                if client.is_alive():
                    client.join(90)
        assert not any(x.error for x in clients), [x.error for x in clients]
        names = {f"c{x.broker.id}-{n}" for x in clients for n in range(x.made)}
        for broker in (0, 1):
            soon("every topic at every broker", 20, lambda b=broker: names <= set(c.topics(b)))
        c.same_everywhere()
        c.stop()
        return f"{len(names)} topics; the longest took {max(x.longest for x in clients) * 1000:.0f} ms"


def killed(directory, build="opt"):
    """With kill -9."""
    return under_way(directory, build, Member.kill, lambda m: m.start().ready())


def paused(directory, build="opt"):
    """With SIGSTOP and SIGCONT."""
    return under_way(directory, build, lambda m: m.process.send_signal(signal.SIGSTOP),
                     lambda m: m.process.send_signal(signal.SIGCONT))
