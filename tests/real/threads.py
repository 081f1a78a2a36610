"""num.io.threads changes under load: partitions move between loops, and clients notice nothing but a short wait."""
import itertools
import subprocess
import time

import kill

TOPICS = {"kept": {}, "durable": {"log.durable": "true"}}
STEPS = (4, 2, 1, 2, 4, 8, 16, 8)  # half or double, from the default of 8


def change(node, n):
    done = subprocess.run([node.binary, "configs", "--bootstrap-server", node.bootstrap, "--alter", "--entity-type",
                           "brokers", "--entity-default", "--add-config", f"num.io.threads={n}"],
                          capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr


def moved(node, times, seconds=20):
    end = time.monotonic() + seconds
    while node.said().count("partitions have moved") < times:
        assert time.monotonic() < end, f"partitions don't move: {node.said()[-2000:]}"
        time.sleep(0.005)


def under_load(node):
    """No record lost, doubled or out of order, and no gap for those who read along."""
    kill.create(node, TOPICS)
    loads = [kill.Load(node, f"{t}-{'once' if idem else 'many'}", t, idem) for t in TOPICS for idem in (True, False)]
    follows = [kill.Follow(node, t) for t in TOPICS]
    for t in loads + follows:
        t.start()
    slowest = 0
    for i, n in enumerate(itertools.chain(STEPS, STEPS, STEPS)):
        time.sleep(0.2)
        began = time.monotonic()
        change(node, n)
        moved(node, i + 1)
        slowest = max(slowest, time.monotonic() - began)
    time.sleep(0.5)
    for t in loads + follows:
        t.ended.set()
    for t in loads + follows:
        t.join(90)
    for load in loads:
        assert not load.failed, f"{load.name_}: {load.failed[:3]}"
        assert len(load.acked) == load.sent > 500, f"{load.name_}: {len(load.acked)} of {load.sent}"
    for follow in follows:
        assert not follow.wrong, f"{follow.topic}: {follow.wrong[:3]}"
    for topic in TOPICS:
        kill.judge([load for load in loads if load.topic == topic], kill.read_all(node, topic), True)
    return f"{sum(load.sent for load in loads)} records, {3 * len(STEPS)} changes, the slowest in {slowest * 1000:.0f} ms"
