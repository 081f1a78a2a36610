"""Three voters of a setting in three processes, and one of them comes back with an empty disk."""
import os
import shutil
import struct
import subprocess
import time

import wire
from quorum import CLUSTER, DESCRIBE_QUORUM, Quorum, create, ready, topics, until, uuid_of


def directories(voter):
    """The directory of each voter, as DescribeQuorum 2 says it. None where another one leads."""
    body = b"\2" + b"\x13__cluster_metadata" + b"\2" + struct.pack(">i", 0) + b"\0\0\0"
    a = voter.ask(wire.request(DESCRIBE_QUORUM, 2, body, flexible=True))
    if struct.unpack_from(">h", a, 1)[0]:
        return None
    at = 3 + max(a[3], 1) + 1 + 19 + 1 + 4  # error, its message, topics, the name, partitions, the index
    error = struct.unpack_from(">h", a, at)[0]
    if error:
        return None
    at += 2 + max(a[at + 2], 1) + 16
    voters, at = {}, at + 1
    for _ in range(a[at - 1] - 1):
        voters[struct.unpack_from(">i", a, at)[0]] = a[at + 4:at + 20]
        at += 4 + 16 + 24 + 1
    return voters


def leads(voter):
    try:
        return directories(voter)
    except OSError:  # it takes no requests yet
        return None


def empty(voter):
    """All that it had is gone, and its directory is formatted again: another disk."""
    shutil.rmtree(voter.data)
    os.mkdir(voter.data)
    done = subprocess.run([voter.binary, "storage", "format", "-t", CLUSTER, "-c", voter.properties],
                          capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def noted(q):
    """All three vote from the directories that they have now, as the leader says."""
    def look():
        said = next(filter(None, (directories(v) for v in q.alive())), None)
        return said == {v.id: uuid_of(v) for v in q.voters}
    until("all voters are noted with their directories", 60, look)


def emptied(directory, build="opt"):
    """A follower's disk and then the leader's is emptied: each is a voter again by itself, with a line of the leader's for each
    step; then the quorum bears the loss of another one."""
    with Quorum(directory, build) as q:
        create(ready(q.leader()), "first")
        noted(q)
        for round, led in enumerate((False, True)):
            leader = q.caught_up()
            gone = leader if led else next(v for v in q.voters if v is not leader)
            gone.kill()
            empty(gone)
            create(ready(q.leader(but=gone)), f"without-{round}")
            gone.start()
            noted(q)
            for step in ("came with directory", "the old directory is out", "has caught up and votes"):
                until(step, 30, lambda step=step: "".join(v.said_ever() for v in q.voters).count(step) > round)
            other = next(v for v in q.voters if v is not gone)
            q.caught_up()
            other.kill()
            leader = ready(q.leader(but=other))
            create(leader, f"with-new-{round}")
            assert topics(leader) >= {"first", f"without-{round}", f"with-new-{round}"}
            other.start()
        q.caught_up()
        q.stop()


def emptied_both(directory, build="opt"):
    """Two of three are emptied: they elect nobody, and who is left says why; with one of the old disks back nothing is lost, and the
    other one is replaced."""
    with Quorum(directory, build) as q:
        leader = ready(q.leader())
        create(leader, "kept")
        noted(q)
        q.caught_up()
        others = [v for v in q.voters if v is not leader]
        for v in others:
            v.kill()
        shutil.copytree(others[0].data, others[0].data + ".old", symlinks=True)
        for v in others:
            empty(v)
            v.start()
        until("who is left says why", 20, lambda: "2 of 3 voters have lost their directories" in leader.said_ever())
        end = time.monotonic() + 5
        while time.monotonic() < end:
            for v in q.voters:
                assert not leads(v), f"node {v.id} leads"
        others[0].kill()
        shutil.rmtree(others[0].data)
        os.rename(others[0].data + ".old", others[0].data)
        others[0].start()
        noted(q)
        assert "kept" in topics(ready(q.leader()))
        q.stop()
