"""Record batches, right and wrong, of every magic, by Kafka's format and nothing of ours."""
import base64
import gzip
import os
import struct
import sys
import zlib

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "clients"))
from segment import HEADER, crc32c  # noqa: E402

NOW = 1_700_000_000_000


def varint(n):
    n = n << 1 ^ n >> 63
    out = bytearray()
    while n & ~0x7f:
        out.append(n & 0x7f | 0x80)
        n >>= 7
    return bytes(out + bytes([n]))


def record(delta, key, value, when=0, headers=b"\0"):
    def sized(b):
        return varint(-1) if b is None else varint(len(b)) + b
    body = b"\0" + varint(when) + varint(delta) + sized(key) + sized(value) + headers
    return varint(len(body)) + body


def text(data):
    return base64.b64encode(data).decode()


def raw(values=(b"v",), base=0, epoch=-1, magic=2, attributes=0, first=NOW, last=NOW, producer=-1, producer_epoch=-1,
        sequence=-1, count=None, delta=None, records=None, crc=0, tail=b"", key=b"k"):
    """One batch of the newest magic. Each of its fields may lie."""
    body = records if records is not None else b"".join(record(i, key, v) for i, v in enumerate(values))
    body = gzip.compress(body) if attributes & 7 == 1 else body
    count = len(values) if count is None else count
    delta = len(values) - 1 if delta is None else delta
    rest = struct.pack(">hiqqqhii", attributes, delta, first, last, producer, producer_epoch, sequence, count) + body + tail
    head = struct.pack(">qiibI", base, len(rest) + 9, epoch, magic, crc32c(rest) ^ crc)
    assert len(head) + len(rest) == HEADER.size + len(body) + len(tail)
    return head + rest


def batch(*args, **fields):
    return text(raw(*args, **fields))


def old(magic, value=b"v", offset=0):
    """A message of magic 0 or 1."""
    body = struct.pack(">bb", magic, 0) + (struct.pack(">q", NOW) if magic else b"")
    body += struct.pack(">i", 1) + b"k" + struct.pack(">i", len(value)) + value
    body = struct.pack(">I", zlib.crc32(body)) + body
    return text(struct.pack(">qi", offset, len(body)) + body)
