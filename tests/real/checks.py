"""What is checked, in this order: name -> function of a fresh directory."""
import os

import apart
import brokers
import copies
import disk
import emptied
import door
import hostile
import kill
import quorum
import split
import takeover
import threads
import vanish
import voters
from node import Node


def kill9(directory):
    with Node(directory) as node:
        return kill.kill_rounds(node, int(os.environ.get("ROUNDS", "10")))


def against(check, build):
    """A check against one node, which must stop in order afterwards: its sanitizers speak at the end too."""
    def run(directory):
        with Node(directory, build) as node:
            said = check(node)
            node.stop()
            return said
    return run


ALL = {
    "kill9": kill9,
    "io-threads": against(threads.under_load, "opt"),
    "signals": disk.signals,
    "other-boot": disk.other_boot,
    "disk-full": disk.full,
    "disk-full-all": disk.full_all,
    "disk-full-start": disk.full_start,
    "disk-unsynced": disk.unsynced,
    "disk-dying": disk.dying,
    "disk-moved": disk.swapped,
    "half-open": vanish.half_open,
    **{f"apart-{c.__name__}": c for c in (apart.one_and_two, apart.three_and_two, apart.broker_killed,
                                          apart.controller_killed, apart.away, apart.rotten, apart.waits)},
    **{f"quorum-{c.__name__.replace('_', '-')}": c for c in (
        quorum.form, quorum.kill_leader, quorum.kill_majority, quorum.pause_leader, quorum.pause_follower,
        quorum.restart_all, quorum.recover_one, quorum.strangers, quorum.disk_breaks,
        quorum.disk_full_at_start)},
    **{c.__name__.replace('_', '-'): c for c in (emptied.emptied, emptied.emptied_both)},
    "voters-come-and-go": voters.come_and_go,
    **{f"brokers-{c.__name__}": c for c in (brokers.forward, brokers.fences)},
    **{f"takeover-{c.__name__}": c for c in (takeover.large, takeover.killed, takeover.paused)},
    **{f"copies-{c.__name__}": c for c in (copies.week, copies.damaged, copies.rotten, copies.textbook)},
    **{f"split-{c.__name__.replace('_', '-')}": c for c in (split.combined, split.apart, split.one_way)},
    **{f"door-{c.__name__}": c for c in (door.hostile, door.traitor)},
    **{f"hostile-{c.__name__}": against(c, "asan") for c in (hostile.frames, hostile.bodies, hostile.batches)},
    **{f"hostile-{c.__name__}": against(c, "opt") for c in (hostile.bombs, hostile.slow, hostile.deaf, hostile.idle,
                                                            hostile.huge)},
}

# With ThreadSanitizer a node is some ten times slower.
TSAN = {
    "tsan-restarts": lambda directory: disk.signals(directory, "tsan", 20),
    **{f"tsan-{name}": lambda directory, c=c: c(directory, "tsan") for name, c in (
        ("quorum", quorum.kill_leader), ("voters", voters.come_and_go), ("emptied", emptied.emptied),
        ("disk-breaks", quorum.disk_breaks), ("forward", brokers.forward), ("presence", brokers.fences),
        ("restart-all", quorum.restart_all), ("apart", apart.three_and_two), ("door", door.hostile),
        ("snapshots", apart.away))},
    **{f"tsan-{c.__name__}": against(c, "tsan") for c in (threads.under_load, hostile.batches, hostile.deaf)},
}
