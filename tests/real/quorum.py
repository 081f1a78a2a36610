"""Three voters in three processes: they form one quorum, and lose nothing of it that they acknowledged."""
import base64
import os
import re
import signal
import socket
import struct
import subprocess
import time
from contextlib import ExitStack

from confluent_kafka.admin import AdminClient, NewTopic

import disk
import wire
from node import Node, free_port
from room import Image, Tmpfs

CLUSTER = "realquorumrealquorumrg"
ELECTION_MS = 1000  # more than a busy machine holds up a process; who is killed is replaced sooner all the same
LEADS = re.compile(r"this node leads the metadata in epoch (\d+)")
CREATE_TOPICS, DESCRIBE_QUORUM, RAFT_HELLO, RAFT = 19, 55, 0x7000, 0x7001


class Voter(Node):
    """One of them: broker and controller."""

    def __init__(self, directory, node_id, ports, build, settings=()):
        super().__init__(os.path.join(directory, str(node_id)), build)
        self.id, self.controller = node_id, ports[node_id]
        self.properties = os.path.join(self.dir, "server.properties")
        voters = ",".join(f"{i}@127.0.0.1:{p}" for i, p in ports.items())
        with open(self.properties, "w") as f:
            f.write(f"process.roles=broker,controller\nnode.id={node_id}\nlog.dirs={self.data}\n"
                    f"controller.listener.names=CONTROLLER\ncontroller.quorum.voters={voters}\n"
                    f"quorum.election.ms={ELECTION_MS}\n"
                    f"listeners=PLAINTEXT://127.0.0.1:{self.port},CONTROLLER://127.0.0.1:{self.controller}\n")
            f.writelines(f"{s}\n" for s in settings)
        done = subprocess.run([self.binary, "storage", "format", "-t", CLUSTER, "-c", self.properties],
                              capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr

    def start(self, wait=30):
        """Doesn't wait: a voter alone is ready for nobody."""
        self.began = os.path.getsize(self.output) if os.path.exists(self.output) else 0
        with open(self.output, "ab") as out:
            self.process = subprocess.Popen([self.binary, "server", "--config", self.properties],
                                            stdin=subprocess.DEVNULL, stdout=out, stderr=out, cwd=self.dir)
        return self

    def ask(self, request):
        """An answer of the controller's listener, without its header's correlation."""
        with socket.create_connection(("127.0.0.1", self.controller), timeout=5) as s:
            s.sendall(request)
            size = struct.unpack(">i", exactly(s, 4))[0]
            return exactly(s, size)[4:]


def exactly(sock, n):
    out = b""
    while len(out) < n:
        got = sock.recv(n - len(out))
        if not got:
            raise ConnectionError("closed")
        out += got
    return out


def until(what, seconds, check):
    """The first true answer of check(); what isn't there yet, or can't be asked, is asked again."""
    end, why = time.monotonic() + seconds, None
    while time.monotonic() < end:
        try:
            got = check()
            if got:
                return got
        except (OSError, AssertionError) as e:
            why = e
        time.sleep(0.01)
    raise AssertionError(f"not within {seconds} s: {what} {why or ''}")


def describe(voter):
    """What DescribeQuorum 1 says on the controller's listener: leader, epoch, high watermark, and by voter the end of its
    log, when it was heard last and when it had all. None where another one leads."""
    body = b"\2" + b"\x13__cluster_metadata" + b"\2" + struct.pack(">i", 0) + b"\0\0\0"
    a = voter.ask(wire.request(DESCRIBE_QUORUM, 1, body, flexible=True))
    at = 1
    error = struct.unpack_from(">h", a, at)[0]
    if error:
        return None
    at += 2 + 1 + 19 + 1 + 4
    error, leader, epoch, high = struct.unpack_from(">hiiq", a, at)
    assert error == 0, error
    at += 18
    voters, at = {}, at + 1
    for _ in range(a[at - 1] - 1):
        node, end, heard, caught_up = struct.unpack_from(">iqqq", a, at)
        voters[node] = (end, heard, caught_up)
        at += 28 + 1
    return leader, epoch, high, voters


class Quorum:
    def __init__(self, directory, build="opt", n=3, settings=None):
        """settings: more lines of server.properties, by node."""
        ports = {i: free_port() for i in range(1, n + 1)}
        self.voters = [Voter(directory, i, ports, build, (settings or {}).get(i, ())) for i in ports]

    def __enter__(self):
        for v in self.voters:
            v.start()
        return self

    def __exit__(self, *ended):
        for v in self.voters:
            if v.alive():
                v.process.send_signal(signal.SIGCONT)
            v.kill()

    def alive(self):
        return [v for v in self.voters if v.alive()]

    def leader(self, seconds=20, but=None):
        """Who leads, as itself says and a majority confirms."""
        def look():
            for v in self.alive():
                if v is not but and describe(v):
                    return v
            return None
        return until("a leader", seconds, look)

    def caught_up(self, seconds=20):
        """Every voter that lives has all that the leader has."""
        leader = self.leader(seconds)

        def look():
            d = describe(leader)
            return d and all(d[3][v.id][0] == d[3][leader.id][0] for v in self.alive())
        until("every voter has caught up", seconds, look)
        return leader

    def stop(self):
        for v in self.alive():
            v.stop()


def create(voter, topic):
    """By the controller's listener: the node that leads decides it, whatever brokers do meanwhile."""
    body = struct.pack(">i", 1) + wire.text(topic) + struct.pack(">ihiii?", 2, 1, 0, 0, 20000, False)
    a = voter.ask(wire.request(CREATE_TOPICS, 4, body))
    at = 8 + 2 + len(topic)
    error = struct.unpack_from(">h", a, at)[0]
    assert error == 0, f"{topic}: error {error}"


def topics(voter):
    return set(AdminClient({"bootstrap.servers": voter.bootstrap, "log_level": 0,
                            "error_cb": lambda e: None}).list_topics(timeout=20).topics)


def ready(voter, seconds=20):
    until(f"node {voter.id} serves clients", seconds, lambda: "ready for clients" in voter.said())
    return voter


def form(directory, build="opt"):
    """Three nodes become one cluster; what one of them takes all of them have; all end well."""
    with Quorum(directory, build) as q:
        leader = ready(q.leader())
        create(leader, "first")
        assert "first" in topics(leader)
        q.caught_up()
        before = describe(leader)
        others = [v.id for v in q.voters if v is not leader]
        until("times that go on without a record", 10, lambda: all(
            describe(leader)[3][i][2] > before[3][i][2] and describe(leader)[3][i][1] > before[3][i][1] for i in others))
        after = describe(leader)
        assert after[0] == leader.id and after[2] == after[3][leader.id][0], after
        for v in q.voters:
            assert (describe(v) is not None) == (v is leader), v.id
        q.stop()
        return f"node {leader.id} led, offset {after[2]}"


def kill_leader(directory, build="opt"):
    """The one that leads is killed, again and again: another leads with all that was acknowledged, and the dead one comes
    back and follows."""
    with Quorum(directory, build) as q:
        leader, took = ready(q.leader()), []
        for n in range(3):
            create(leader, f"t{n}")
            leader.kill()
            began = time.monotonic()
            new = q.leader(but=leader)
            took.append(time.monotonic() - began)
            assert topics(ready(new)) >= {f"t{i}" for i in range(n + 1)}
            leader.start()
            leader = ready(q.caught_up())
        assert any("stands for election" in v.said_ever() for v in q.voters)
        q.stop()
        return "another led after " + ", ".join(f"{t * 1000:.0f}" for t in took) + " ms"


def kill_majority(directory, build="opt"):
    """One of three decides nothing; when the others are back, all that was acknowledged is there."""
    with Quorum(directory, build) as q:
        leader = ready(q.leader())
        create(leader, "before")
        rest = q.caught_up() and [v for v in q.voters if v is not leader]
        rest[0].kill()
        create(leader, "with-two")
        leader.kill()
        alone = rest[1]
        until("it knows that both are dead", 10, lambda: alone.said().count("its port refuses") >= 2)
        end = time.monotonic() + 2
        while time.monotonic() < end:
            assert not describe(alone), "one of three leads"
        for v in (leader, rest[0]):
            v.start()
        assert topics(ready(q.caught_up())) >= {"before", "with-two"}
        alone.kill()  # the other way round: the leader, if it is that one, and with it the majority
        ready(q.leader())
        create(q.leader(), "after")
        alone.start()
        q.caught_up()
        q.stop()


def pause_leader(directory, build="opt"):
    """A leader that sleeps is followed by another; when it wakes it leads no more, and has what it slept through."""
    with Quorum(directory, build) as q:
        old = ready(q.leader())
        create(old, "before")
        old.process.send_signal(signal.SIGSTOP)
        began = time.monotonic()
        new = until("another leader", 20, lambda: next(
            (v for v in q.voters if v is not old and describe(v)), None))
        took = time.monotonic() - began
        create(ready(new), "meanwhile")
        assert "stands for election" not in new.said(), "a paused node was taken for a dead one"
        old.process.send_signal(signal.SIGCONT)
        until("the old one follows", 20, lambda: f"node {new.id} leads the metadata" in old.said())
        assert q.caught_up() is new and not describe(old)
        assert topics(new) >= {"before", "meanwhile"}
        q.stop()
        return f"another led after {took * 1000:.0f} ms"


def pause_follower(directory, build="opt"):
    """A follower that sleeps holds up nobody, and neither does its awakening: the leader stays."""
    with Quorum(directory, build) as q:
        leader = ready(q.leader())
        epoch = describe(leader)[1]
        asleep = next(v for v in q.voters if v is not leader)
        asleep.process.send_signal(signal.SIGSTOP)
        for n in range(20):
            create(leader, f"t{n}")
        behind = describe(leader)[3][asleep.id][0]
        assert behind < describe(leader)[2], "it answers in its sleep"
        asleep.process.send_signal(signal.SIGCONT)
        assert q.caught_up() is leader and describe(leader)[1] == epoch
        q.stop()


def recover_one(directory, build="opt"):
    """Two of three are gone for good: the third is recovered, on its word alone, leads with what it has and takes more; one that
    comes back with its old disk changes nothing."""
    with Quorum(directory, build) as q:
        create(ready(q.leader()), "before")
        q.caught_up()
        left, *gone = q.voters
        recover = [left.binary, "quorum", "recover", "--config", left.properties]
        done = subprocess.run(recover, capture_output=True, text=True)
        assert done.returncode == 1 and "stop the node first" in done.stderr, done
        for v in q.voters:
            v.kill()
        done = subprocess.run(recover, capture_output=True, text=True)
        assert done.returncode == 0 and "Nothing was written" in done.stdout and "Lost: " in done.stdout, done
        done = subprocess.run([*recover, "--give-up-the-other-voters"], capture_output=True, text=True)
        assert done.returncode == 0 and "is the only voter" in done.stdout, done
        left.start()
        assert q.leader() is left
        until("all that there was", 20, lambda: "before" in topics(ready(left)))
        create(left, "after")
        epoch = describe(left)[1]
        assert epoch > 1000 and list(describe(left)[3]) == [left.id], describe(left)
        gone[0].start()
        until("they have met", 20, lambda: f"controller {left.id}: connected" in gone[0].said())
        end = time.monotonic() + 3
        while time.monotonic() < end:
            assert describe(left)[1] == epoch and "this node leads" not in gone[0].said()
            time.sleep(0.1)
        create(left, "then")
        gone[0].kill()
        assert topics(left) >= {"before", "after", "then"}
        done = subprocess.run([left.binary, "metadata", "verify", left.data], capture_output=True, text=True)
        assert done.returncode == 0, done
        left.stop()


def restart_all(directory, build="opt"):
    """All three stop in order, and are killed at once: what they were is what they are."""
    with Quorum(directory, build) as q:
        kept = set()
        for n, end in enumerate((Quorum.stop, lambda q: [v.kill() for v in q.voters], Quorum.stop)):
            leader = ready(q.leader())
            assert topics(leader) >= kept, kept - topics(leader)
            epoch = describe(leader)[1]
            create(leader, f"t{n}")
            kept.add(f"t{n}")
            end(q)
            for v in q.voters:
                v.start()
            assert describe(q.leader())[1] > epoch, "an epoch came twice"
        assert topics(ready(q.caught_up())) >= kept
        q.stop()


def disk_breaks(directory, build="opt"):
    """The disk of one voter's metadata dies, the leader's first: the others go on, the broker of that node too, with news from
    them, and when the disk is back the node votes again, all by itself."""
    with ExitStack() as stack:
        disks = {i: stack.enter_context(Image(os.path.join(directory, f"disk{i}"), 64)) for i in (1, 2, 3)}
        q = stack.enter_context(Quorum(directory, build, settings={
            i: [f"metadata.log.dir={d.path}/meta"] for i, d in disks.items()}))
        leader = ready(q.leader())
        for v in q.voters:
            ready(v)
        took = []
        for n, broken in enumerate((leader, None)):
            broken = broken or next(v for v in q.voters if v is not leader and v is not q.leader())
            q.caught_up()
            disks[broken.id].die()
            began = time.monotonic()
            client = AdminClient({"bootstrap.servers": broken.bootstrap, "log_level": 0, "error_cb": lambda e: None})
            client.create_topics([NewTopic(f"t{n}", 1, 1)])[f"t{n}"].result(20)
            took.append(time.monotonic() - began)
            until("it rests", 10, lambda: "RESTS" in broken.said())
            assert q.leader() is not broken
            create(q.leader(), f"u{n}")
            until("its broker has the news", 10, lambda: {f"t{n}", f"u{n}"} <= topics(broken))
            assert broken.said().count("stopped while") == 1 and broken.alive(), broken.said()
            disks[broken.id].back()
            until("it is back", 40, lambda: "takes part in the quorum" in broken.said())
            q.caught_up()
            assert topics(broken) >= {f"{name}{i}" for name in "tu" for i in range(n + 1)}
        other = next(v for v in q.voters if v is not leader and v is not broken)
        other.kill()  # the two whose disks were dead are a majority now
        create(q.leader(), "after")
        other.start()
        q.caught_up()
        q.stop()
        return "a topic came about " + " and ".join(f"{t * 1000:.0f} ms" for t in took) + " after a disk died"


def disk_full_at_start(directory, build="opt"):
    """One voter of three starts while there is no room for its metadata, not even its reserve: its broker serves with what it hears
    from the others, and the node votes again when there is room, all by itself."""
    with Tmpfs(os.path.join(directory, "small"), 8) as small, Quorum(
            directory, build, settings={1: [f"metadata.log.dir={small.path}/meta"]}) as q:
        full = q.voters[0]
        create(ready(q.leader()), "before")
        q.caught_up()
        full.kill()
        missed = {f"missed{n}" for n in range(60)}  # more than a block that is begun has room for
        for name in missed:
            create(q.leader(), name)
        os.remove(os.path.join(small.path, "meta", "weir-reserve"))
        disk.fill_up(os.path.join(small.path, "others"))
        full.start()
        until("its broker has the news", 20, lambda: missed <= topics(ready(full)))
        assert "RESTS" in full.said(), full.said()
        client = AdminClient({"bootstrap.servers": full.bootstrap, "log_level": 0, "error_cb": lambda e: None})
        client.create_topics([NewTopic("by-it", 1, 1)])["by-it"].result(20)
        assert full.alive() and q.leader() is not full
        os.remove(os.path.join(small.path, "others"))
        until("it is back", 40, lambda: "takes part in the quorum" in full.said())
        q.caught_up()
        q.voters[1].kill()  # its vote is needed now
        create(q.leader(), "after")
        q.voters[1].start()
        q.caught_up()
        q.stop()


def hello(cluster=CLUSTER, node=2, voter=1, directory=b"\7" * 16):
    text = cluster.encode()
    return wire.request(RAFT_HELLO, 0, bytes([len(text) + 1]) + text + struct.pack(">i", node) + directory * 2 +
                        struct.pack(">i", voter) + b"\1" + struct.pack(">H", 0) + b"\0", flexible=True)


def strangers(directory, build="asan"):
    """Who isn't the voter that he says he is isn't heard, and a voter who says what doesn't read is cut off."""
    with Quorum(directory, build) as q:
        first, second = q.voters[:2]
        ready(q.leader())
        until("they have met", 10, lambda: "controller 2: connected" in first.said())
        second.kill()
        message = wire.request(RAFT, 0, b"\5junk\0", flexible=True)
        for said, bad in (("of cluster", hello(cluster="another")), ("means node 9", hello(voter=9)),
                          ("says that it is this node", hello(node=1)),
                          ("doesn't say which node", hello(directory=bytes(16)))):
            error = struct.unpack_from(">h", first.ask(bad), 1)[0]
            assert error > 0, said
            until(said, 5, lambda said=said: said in first.said())
        assert struct.unpack_from(">h", first.ask(message), 1)[0] > 0, "a message without a hello was taken"
        own = uuid_of(second)
        with socket.create_connection(("127.0.0.1", first.controller), timeout=5) as s:
            s.sendall(hello(directory=own))
            assert struct.unpack_from(">h", exactly(s, struct.unpack(">i", exactly(s, 4))[0]), 5)[0] == 0
            s.sendall(message)
            assert not s.recv(1), "junk was answered"
        until("it is said", 5, lambda: "dropped a message from node 2" in first.said())
        second.start()
        q.caught_up()
        q.stop()


def uuid_of(voter):
    with open(os.path.join(voter.data, "meta.properties")) as f:
        text = re.search(r"directory.id=(\S+)", f.read()).group(1)
    return base64.urlsafe_b64decode(text + "==")
