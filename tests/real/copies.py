"""Copies of the metadata that are old, damaged or rotten, and where replicas are placed."""
import collections
import os
import re

from confluent_kafka.admin import NewTopic

from apart import LOG, Apart, Member
from quorum import Quorum, create, ready, topics, until

RACKS, BROKERS, PARTITIONS, REPLICAS = 2, 6, 10, 3
SMALL = ("metadata.log.max.record.bytes.between.snapshots=5000", "metadata.log.segment.bytes=8388608",
         "metadata.log.segment.ms=200", "metadata.max.retention.bytes=1000")


def files(member, suffix):
    return sorted(n for n in os.listdir(os.path.join(member.data, LOG)) if n.endswith(suffix))


def begins(member):
    """The first offset that is still in its log."""
    return int(files(member, ".log")[0].split(".")[0])


def flip(path, at):
    with open(path, "r+b") as f:
        f.seek(at)
        byte = f.read(1)
        f.seek(at)
        f.write(bytes([byte[0] ^ 4]))


def week(directory, build="opt"):
    """A broker is away for so many changes that no controller's log holds what it has last seen any more: it keeps its old
    copy, is brought up by a snapshot and the log behind it, and serves what all others do."""
    with Apart(directory, 3, 2, build, SMALL) as c:
        c.create("before")
        c.same_everywhere()
        away = c.brokers[1]
        away.kill()
        n = 0
        while min(begins(m) for m in c.controllers) < 500:
            for i in range(20):
                c.create(f"t{n + i}", broker=0)
            n += 20
            assert n <= 4000, f"controllers keep all of their logs: they begin at {[begins(m) for m in c.controllers]}"
        away.start().ready()
        said = re.search(r"took over the snapshot.*", away.said())
        assert said, away.said()[-2000:]
        names = {"before"} | {f"t{i}" for i in range(n)}
        until("it knows all", 20, lambda: names <= set(c.topics(1)))
        c.create("after", broker=1)
        until("both know it", 10, lambda: all("after" in c.topics(b) for b in (0, 1)))
        c.stop()
        return f"{n} topics meanwhile, controllers' logs begin at {[begins(m) for m in c.controllers]}; it {said.group()}"


def with_settings(q, settings):
    for v in q.voters:
        with open(v.properties, "a") as f:
            f.write("".join(s + "\n" for s in settings))
    return q


def damaged(directory, build="opt"):
    """The newest snapshot of one voter of three has rotted while it was down: it says so, goes on from the one before and
    its log, and is what the others are."""
    with with_settings(Quorum(directory, build), SMALL) as q:
        leader = ready(q.leader())
        victim = next(v for v in q.voters if v is not leader)
        n = 0
        while len(files(victim, ".checkpoint")) < 2:
            create(leader, f"t{n}")
            n += 1
            assert n < 2000, "it writes no snapshots"
        q.caught_up()
        victim.stop()
        newest = files(victim, ".checkpoint")[-1]
        flip(os.path.join(victim.data, LOG, newest), 200)
        ready(victim.start())
        assert f"{newest} is damaged and set aside" in victim.said(), victim.said()[-2000:]
        assert newest + ".damaged" in os.listdir(os.path.join(victim.data, LOG))
        create(q.caught_up(), "after")
        names = {f"t{i}" for i in range(n)} | {"after"}
        until("it knows all", 20, lambda: names <= topics(victim))
        q.stop()
        return f"{newest} of {n} topics was passed over"


def rotten(directory, build="opt"):
    """A committed batch has rotted in one log of three: that node ends with file and position and touches nothing, the
    others go on, and when the batch is as it was the node takes part again."""
    with Quorum(directory, build) as q:
        leader = ready(q.leader())
        for n in range(50):
            create(leader, f"t{n}")
        q.caught_up()
        victim = next(v for v in q.voters if v is not leader)
        victim.stop()
        path = max((os.path.join(victim.data, LOG, n) for n in files(victim, ".log")), key=os.path.getsize)
        size, at = os.path.getsize(path), os.path.getsize(path) // 2
        flip(path, at)
        victim.start()
        until("it ends", 20, lambda: not victim.alive())
        found = re.search(re.escape(os.path.basename(path)) + r": the batch at position (\d+), offset \d+, is damaged",
                          victim.said())
        assert found and int(found.group(1)) <= at and victim.process.returncode != 0, victim.said()[-2000:]
        assert os.path.getsize(path) == size
        create(q.leader(), "meanwhile")
        flip(path, at)
        ready(victim.start())
        create(q.caught_up(), "after")
        q.stop()
        return f"{found.group()}"


def textbook(directory, build="opt"):
    """Six brokers in two racks, ten partitions, three replicas each: every partition is in both racks, and leaders and
    replicas are spread evenly over brokers."""
    with Apart(directory, 1, 0, build) as c:
        voters = {1: c.controllers[0].port}
        for i in range(1, BROKERS + 1):
            rack = f"rack-{(i - 1) % RACKS}"
            broker = Member(directory, 100 + i, "broker", voters, build, (f"broker.rack={rack}",))
            c.brokers.append(broker)
            c.members.append(broker.start())
        for b in c.brokers:
            b.ready()
        until("all are known", 10, lambda: len(c.brokers_known()) == BROKERS)
        admin = c.admin()
        for future in admin.create_topics([NewTopic("textbook", PARTITIONS, REPLICAS)]).values():
            future.result(30)
        until("all know it", 10, lambda: all("textbook" in c.topics(b) for b in range(BROKERS)))
        partitions = c.topics()["textbook"].partitions.values()
        leaders = collections.Counter(p.leader for p in partitions)
        replicas = collections.Counter(r for p in partitions for r in p.replicas)
        assert len(partitions) == PARTITIONS
        for p in partitions:
            assert len(set(p.replicas)) == REPLICAS and p.leader == p.replicas[0] and set(p.isrs) == set(p.replicas), p
            assert len({r % RACKS for r in p.replicas}) == RACKS, f"partition {p.id} is in one rack: {p.replicas}"
        for what, counts, n in (("leaders", leaders, PARTITIONS), ("replicas", replicas, PARTITIONS * REPLICAS)):
            assert len(counts) == BROKERS, f"{what}: {counts}"
            assert max(counts.values()) - min(counts.values()) <= 1 and sum(counts.values()) == n, f"{what}: {counts}"
        for b in range(BROKERS):
            assert {p.id: p.replicas for p in c.topics(b)["textbook"].partitions.values()} == \
                {p.id: p.replicas for p in partitions}
        c.stop()
        return f"leaders {sorted(leaders.values())}, replicas {sorted(replicas.values())}"
