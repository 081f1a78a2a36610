"""Requests so plain that their time is the broker's: Metadata version 1 and Produce version 3, over a bare socket."""
import socket
import struct
import time


def crc32c(data):
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF


def text(s):
    return struct.pack(">h", len(s)) + s.encode()


def request(key, version, body):
    out = struct.pack(">hhi", key, version, 1) + text("probe") + body
    return struct.pack(">i", len(out)) + out


def batch(value):
    record = b"\0\0\0\x01" + bytes([2 * len(value)]) + value + b"\0"
    records = bytes([2 * len(record)]) + record
    now = int(time.time() * 1000)
    tail = struct.pack(">hiqqqhii", 0, 0, now, now, -1, -1, -1, 1) + records
    return struct.pack(">qiibI", 0, 9 + len(tail), -1, 2, crc32c(tail)) + tail


def ask(port, message, timeout=30):
    """The answer without its length and correlation id; None if there was none."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=timeout) as s:
            s.sendall(message)
            got = b""
            while len(got) < 4 or len(got) < 4 + struct.unpack(">i", got[:4])[0]:
                more = s.recv(1 << 20)
                if not more:
                    return None
                got += more
            return got[8:]
    except OSError:
        return None


METADATA_BROKERS = request(3, 1, struct.pack(">i", 0)) # no topics


def metadata_answers(port):
    """True once the broker names itself."""
    out = ask(port, METADATA_BROKERS)
    return out is not None and struct.unpack(">i", out[:4])[0] > 0


def partitions_led(port, topics):
    """How many partitions of these topics have a leader, each with one replica."""
    out = ask(port, request(3, 1, struct.pack(">i", len(topics)) + b"".join(text(t) for t in topics)))
    if out is None:
        return 0
    brokers, at, led = struct.unpack_from(">i", out)[0], 4, 0
    for _ in range(brokers):
        at += 4
        at += 2 + struct.unpack_from(">h", out, at)[0] + 4
        rack = struct.unpack_from(">h", out, at)[0]
        at += 2 + max(rack, 0)
    at += 4
    n_topics = struct.unpack_from(">i", out, at)[0]
    at += 4
    for _ in range(n_topics):
        error, length = struct.unpack_from(">hh", out, at)
        at += 4 + length + 1
        n = struct.unpack_from(">i", out, at)[0]
        at += 4
        if error == 0 and n > 0:
            rows = struct.iter_unpack(">hiiiiii", out[at:at + 26 * n])
            led += sum(1 for row in rows if row[0] == 0 and row[2] >= 0)
        at += 26 * n
    return led


def produced(port, topic, partition=0):
    """True if one record was acknowledged."""
    records = batch(b"probe")
    body = struct.pack(">hhii", -1, 1, 30000, 1) + text(topic) + struct.pack(">iii", 1, partition, len(records)) + records
    out = ask(port, request(0, 3, body))
    if out is None:
        return False
    at = 4 + 2 + len(topic) + 4 + 4
    return struct.unpack_from(">h", out, at)[0] == 0


def until(what, limit=300, step=0.001):
    """Seconds until what() is true."""
    start = time.monotonic()
    while not what():
        if time.monotonic() - start > limit:
            raise RuntimeError(f"{what} wasn't true after {limit} s")
        time.sleep(step)
    return time.monotonic() - start
