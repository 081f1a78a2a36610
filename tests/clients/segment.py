"""Reads record batches from a partition's segments, by Kafka's format and nothing of ours."""
import glob
import os
import struct

HEADER = struct.Struct(">qiibIhiqqqhii")


def _table():
    out = []
    for i in range(256):
        for _ in range(8):
            i = i >> 1 ^ (0x82F63B78 if i & 1 else 0)
        out.append(i)
    return out


_CRC = _table()


def crc32c(data):
    crc = 0xFFFFFFFF
    for b in data:
        crc = crc >> 8 ^ _CRC[(crc ^ b) & 0xFF]
    return crc ^ 0xFFFFFFFF


def batches(directory):
    """Every batch of the partition's directory, in order, as a dict; raises ValueError where one is wrong."""
    expect = None
    for path in sorted(glob.glob(os.path.join(glob.escape(directory), "*.log"))):
        with open(path, "rb") as f:
            data = f.read()
        at = 0
        while at < len(data):
            if len(data) - at < HEADER.size:
                raise ValueError(f"{path}: {len(data) - at} bytes after the last batch")
            (base, length, epoch, magic, crc, attributes, last, first_time, max_time, producer, producer_epoch,
             sequence, count) = HEADER.unpack_from(data, at)
            end = at + 12 + length
            if end > len(data) or length < HEADER.size - 12:
                raise ValueError(f"{path}: the batch at {at} is {length} bytes long, of {len(data) - at}")
            if magic != 2 or crc32c(memoryview(data)[at + 21:end]) != crc:
                raise ValueError(f"{path}: the batch at {at}: magic {magic}, or its checksum is wrong")
            if expect is not None and base < expect:
                raise ValueError(f"{path}: offset {base} after {expect - 1}")
            expect = base + last + 1
            yield {"offset": base, "epoch": epoch, "codec": attributes & 7, "log_append_time": bool(attributes & 8),
                   "last": base + last, "count": count, "first_time": first_time, "max_time": max_time,
                   "producer": producer, "producer_epoch": producer_epoch, "sequence": sequence}
            at = end


def problem(directory, codec, count, idempotent):
    """Why the partition doesn't hold `count` records, all in batches of this codec; None if it does."""
    try:
        got = list(batches(directory))
    except (ValueError, OSError) as e:
        return str(e)
    if sum(b["count"] for b in got) != count:
        return f"{sum(b['count'] for b in got)} records, not {count}"
    for b in got:
        if b["codec"] != codec:
            return f"the batch at {b['offset']} has codec {b['codec']}, not {codec}"
        if (b["producer"] >= 0) != idempotent:
            return f"the batch at {b['offset']} has producer id {b['producer']}"
        # a client that is started again for each batch has a new producer id each time
        if idempotent and b["producer"] == got[0]["producer"] and b["sequence"] != b["offset"]:
            return f"the batch at {b['offset']} has sequence {b['sequence']}"
    return None
