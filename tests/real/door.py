"""Hostile bytes at the controllers' own door: refused with a reason in the log, while the cluster goes on."""
import itertools
import re
import struct

import wire
from brokers import Maker
from hostile import KEYS, made_requests, seed, throw
from quorum import CLUSTER, CREATE_TOPICS, DESCRIBE_QUORUM, RAFT, Quorum, describe, hello, ready, until, uuid_of
from wire import Raw

ADD, REMOVE, UPDATE, FETCH_SNAPSHOT, ENVELOPE = 80, 81, 82, 59, 58
VOTE, APPEND, STANDING, KINDS = 1, 3, 9, range(0, 13)


class Door:
    """What throw() and Raw need of a node: the controllers' port in place of the clients'."""

    def __init__(self, voter):
        self.voter, self.port = voter, voter.controller


def raft(kind, body):
    """A message between voters: its kind, version 0, the row."""
    size, out = len(body) + 2 + 1, b""
    while size > 127:
        out += bytes([size & 127 | 128])
        size >>= 7
    return wire.request(RAFT, 0, out + bytes([size]) + bytes([kind, 0]) + body + b"\0", flexible=True)


def vote(term, sender, to, disrupt=False):
    """A candidate's request, with a log of that term and longer than all. disrupt: it says that its leader told it to stand, else
    its own timer has run out."""
    return raft(VOTE, struct.pack(">qiiqq??", term, sender, to, 1 << 40, term, disrupt, False) + b"\0")


def claims(term, sender, to):
    """What raises the term of whoever believes it: votes, a leader's heartbeat, and a question whether it still is a voter."""
    head = struct.pack(">qii", term, sender, to)
    return [vote(term, sender, to), vote(term, sender, to, disrupt=True),
            raft(APPEND, head + struct.pack(">qqq", 0, 0, 0) + b"\1\0"), raft(STANDING, head + b"\0")]


def refused(door, *frames):
    """The last of these frames, on one connection, is answered with an error, or ends the connection."""
    with Raw(door) as c:
        for frame in frames[:-1]:
            c.ask(frame)
        try:
            answer = c.ask(frames[-1])
        except OSError:
            return True
        return struct.unpack_from(">h", answer, 5)[0] > 0


def wrong_hellos(voter, other, third):
    """What the log says -> the hello that must not be taken."""
    mine = uuid_of(other)
    return {"it is of cluster another": hello("another", other.id, voter.id, mine),
            "it means node 9": hello(node=other.id, voter=9, directory=mine),
            "it says that it is this node": hello(node=voter.id, voter=voter.id, directory=mine),
            "it speaks from this node's directory": hello(node=77, voter=voter.id, directory=uuid_of(voter)),
            f"but node {other.id} is connected from": hello(node=other.id, voter=voter.id, directory=uuid_of(third)),
            "doesn't say which node it is": hello(node=other.id, voter=voter.id, directory=bytes(16))}


def strange(voter, others):
    """Wrong hellos, votes without one and behind a wrong one, and of a node that is no voter."""
    door, term = Door(voter), 1 << 20
    for said, bad in wrong_hellos(voter, *others).items():
        assert refused(door, bad), said
        until(said, 5, lambda said=said: re.search("refused a connection of controller.*" + said, voter.said()))
        assert refused(door, bad, vote(term, others[0].id + 1, voter.id + 1)), "a vote behind a wrong hello was taken"
    for other in others:
        assert refused(door, vote(term, other.id + 1, voter.id + 1)), "a vote before the hello was taken"
    assert refused(door, raft(APPEND, b"\xff" * 60)), "an append before the hello was taken"
    for sender in (77, 78, others[0].id + 1):
        with Raw(door) as c:  # it may follow; while the leader lives it isn't believed, nor taken for another one
            c.ask(hello(node=77, voter=voter.id, directory=b"\7" * 16))
            for claim in claims(term, sender, voter.id + 1):
                c.send(claim)
            c.drain(0.2)
    assert "dropped a message" not in voter.said(), "these messages didn't read: they prove nothing"


def compact(text):
    size, out = len(text) + 1, b""
    while size > 127:
        out += bytes([size & 127 | 128])
        size >>= 7
    return out + bytes([size]) + text


def places(*listeners):
    """Listeners of a voter: name, host, port."""
    return bytes([len(listeners) + 1]) + b"".join(
        compact(name.encode()) + compact(host.encode()) + struct.pack(">H", port) + b"\0" for name, host, port in listeners)


def nearly_voters(voter, epoch, r):
    """Changes of voters that are right but for their values, in a cluster of fixed ones."""
    where = (places(), places(("OTHER", "h", 1)), places(("CONTROLLER", "", 0)), places(("CONTROLLER", "x" * 5000, 65535)),
             places(*[("CONTROLLER", "127.0.0.1", 1)] * 100))
    directories = (bytes(16), b"\xff" * 16, r.randbytes(16), uuid_of(voter))
    cluster = compact(CLUSTER.encode())
    for node, directory in itertools.product((-1, -2**31, 2**31 - 1, 77, voter.id), directories):
        key = struct.pack(">i", node) + directory
        yield wire.request(REMOVE, 0, cluster + key + b"\0", flexible=True)
        for at in where:
            for patience in (-1, 0, 1):
                yield wire.request(ADD, 1, cluster + struct.pack(">i", patience) + key + at + b"\0\0", flexible=True)
            for leads in (-1, 0, epoch, 2**31 - 1):
                yield wire.request(UPDATE, 0, cluster + struct.pack(">i", leads) + key + at + struct.pack(">hh", 3, -3) +
                                   b"\0\0", flexible=True)


def nearly_reads(epoch):
    """Questions about the metadata's log, where and in what there is none."""
    name, odd = compact(b"__cluster_metadata"), (-2**63, -1, 0, 1, 50, 2**63 - 1)
    for end, position in itertools.product(odd, odd):
        for leads, most in ((epoch, 2**31 - 1), (-1, 0), (2**31 - 1, -1)):
            yield wire.request(FETCH_SNAPSHOT, 0, struct.pack(">ii", -1, most) + b"\2" + name + b"\2" + struct.pack(
                ">iiqi", 0, leads, end, min(epoch, 9)) + b"\0" + struct.pack(">q", position) + b"\0\0\0", flexible=True)
            for replica in (-1, 2, 77, -2**31):
                yield wire.request(wire.FETCH, 12, struct.pack(">iiiibii", replica, 0, 0, most, 0, 0, -1) + b"\2" + name +
                                   b"\2" + struct.pack(">iiqiqi", 0, leads, end, epoch, position, most) +
                                   b"\0\0\1\1\0", flexible=True)
    for partition in (-1, 1, 2**31 - 1):
        yield wire.request(DESCRIBE_QUORUM, 2, b"\2" + name + b"\2" + struct.pack(">i", partition) + b"\0\0\0", flexible=True)


def envelope(inside):
    return wire.request(ENVELOPE, 0, compact(inside) + compact(b"") + compact(b"\x7f\0\0\1") + b"\0", flexible=True)


def nearly_forwarded(r):
    """What a broker passes on: nothing, a piece, junk, itself."""
    topic = wire.request(CREATE_TOPICS, 4, struct.pack(">i", 1) + wire.text("t") + struct.pack(">i", 1))[4:]
    raw = [topic[:n] for n in range(len(topic))] + [r.randbytes(n) for n in (1, 8, 9, 10, 300, 70000)]
    for inside in raw + [envelope(topic)[4:], hello()[4:], raft(VOTE, b"")[4:]]:
        yield envelope(inside)


def nearly(voter, epoch, r):
    """Each is refused, or answered with nothing, at both doors."""
    frames = [*nearly_voters(voter, epoch, r), *nearly_reads(epoch), *nearly_forwarded(r)]
    for at in (Door(voter), voter):
        for some in itertools.zip_longest(*[iter(frames)] * 8, fillvalue=b""):
            throw(at, b"".join(some), 0.004)
    return 2 * len(frames)


def noise(voter, number, r):
    """Frames of wrong lengths, unknown requests, and right ones with wrong contents."""
    door = Door(voter)
    for length in (-1, -2**31, 2**31 - 1, 104857601):
        throw(door, struct.pack(">i", length) + r.randbytes(40), 1)
    until("huge frames are named", 5, lambda: "closed a connection: it announced a frame of 2147483647 bytes" in voter.said())
    for length in (0, 1, 4, 9, 10, 13, 104857600):
        throw(door, struct.pack(">i", length) + r.randbytes(40), 0.01)
    for _ in range(100):
        throw(door, r.randbytes(r.randrange(1, 300)), 0.005)
    for key in KEYS:
        for version in (-1, 0, 1, 32767):
            throw(door, wire.request(key, version, r.randbytes(r.randrange(0, 60)), flexible=r.random() < 0.5), 0.002)
    until("bad requests are named", 5, lambda: re.search(r"closed a connection: .* \(api key \S+, version \S+\)", voter.said()))
    sent = 0
    for frame in made_requests(number, r):
        throw(door, frame, 0.003)
        sent += 2
    return sent


def hostile(directory, build="asan"):
    """Random frames, huge lengths, wrong hellos and votes of nobody, at the active controller and at another one: each is
    refused with a reason, none disturbs: the leader and its epoch stay, and a client's topics are made all the time."""
    number, r = seed()
    with Quorum(directory, build) as q:
        for v in q.voters:
            ready(v)
        leader = q.leader()
        followers = [v for v in q.voters if v is not leader]
        until("all have met", 20, lambda: all(v.said().count(": connected") >= 2 for v in q.voters))
        epoch = describe(leader)[1]
        maker = Maker(followers[0], "meanwhile")
        maker.start()
        try:
            sent = 0
            for voter in (leader, followers[1]):
                before = maker.made
                strange(voter, [v for v in q.voters if v is not voter])
                sent += noise(voter, number, r) + nearly(voter, epoch, r)
                until("topics are made meanwhile", 20, lambda: maker.made > before + 3)
        finally:
            maker.over.set()
            maker.join(60)
        assert not maker.errors, maker.errors
        assert describe(leader)[1] == epoch, f"epoch {epoch} became {describe(leader)[1]}"
        q.caught_up()
        q.stop()
        return f"{sent} requests, {maker.made} topics meanwhile; seed {number}"


def traitor(directory, build="asan"):
    """A voter that is what it says, and talks nonsense to the others: they live, and agree again when it does."""
    number, r = seed()
    with Quorum(directory, build) as q:
        leader = ready(q.leader())
        until("all have met", 20, lambda: all(v.said().count(": connected") >= 2 for v in q.voters))
        bad = next(v for v in q.voters if v is not leader)
        rest = [v for v in q.voters if v is not bad]
        identity = uuid_of(bad)
        bad.kill()
        for voter in rest:
            for n in range(400):
                with Raw(Door(voter)) as c:
                    taken = c.ask(hello(node=bad.id, voter=voter.id, directory=identity))
                    assert struct.unpack_from(">h", taken, 5)[0] == 0, taken
                    head = struct.pack(">qii", r.choice((-1, 0, 1, 2, 3, 100, 2**62)), r.choice((bad.id + 1, 0, -1, 9)),
                                       voter.id + 1)
                    c.send(raft(r.choice(KINDS), head[:r.randrange(0, 17)] if n % 3 == 0 else
                                head + r.randbytes(r.randrange(0, 200))))
                    c.drain(0.005)
            with Raw(Door(voter)) as c:  # what reads, and raises the term: it may, being a voter
                c.ask(hello(node=bad.id, voter=voter.id, directory=identity))
                for claim in claims(100, bad.id + 1, voter.id + 1)[:2]:
                    c.send(claim)
                c.drain(0.05)
            assert voter.alive(), voter.said()[-4000:]
        until("it is named", 5, lambda: f"dropped a message from node {bad.id}" in leader.said_ever())
        bad.start()
        q.caught_up()
        q.stop()
        return f"800 messages, seed {number}"
