"""The records that every client produces, and the lines in which clients report.

A client is a program:   CLIENT BOOTSTRAP PREFIX CODECS RECORDS
It reads RECORDS, one record a line, and for each codec creates the topics PREFIX-CODEC (produced to without
idempotence) and PREFIX-idem-CODEC (with it), one partition each, never expiring. It produces the records in groups of
GROUP (a group is one batch where the client allows), then reads them back, from the beginning, from each offset of
OFFSETS and from where each timestamp of TIMES leads. It prints a line per fact, fields separated by tabs, the check's
name first:

    create               TOPIC
    produce-CODEC        offset of the first, offset of the last
    idem-CODEC           the same, for the idempotent producer
    read-CODEC           RECORD   (each record of PREFIX-CODEC)
    read-idem-CODEC      RECORD
    offset-CODEC         from, RECORD
    time-CODEC           timestamp, offset, the record's timestamp (where the client tells; else -)
    ends-CODEC           first offset, next offset

RECORD is: offset, timestamp, key, value, headers; in RECORDS the same without the offset. Bytes are hex, null is -.
Headers are name=hex, separated by commas. A check that fails prints one line whose second field is ERROR, and the
client goes on. Whatever else a client prints goes to stderr.
"""

GROUP = 8
OFFSETS = (1, 17, 39)
T0 = 1_700_000_000_000
TIMES = (T0 - 5, T0, T0 + 9_001, T0 + 20_000, T0 + 38_500, T0 + 10_000_000)
CODECS = {"none": 0, "gzip": 1, "snappy": 2, "lz4": 3, "zstd": 4}


def records():
    """40 records: (timestamp, key, value, headers). Nulls, empties, bytes that aren't text, time that steps back."""
    out = []
    for i in range(40):
        key = None if i % 5 == 0 else b"" if i == 1 else f"key-{i % 7}".encode() + b"\xff\x00\xc3\xa9"[:i % 4]
        value = None if i == 11 else b"" if i == 13 else b"weir %03d " % i * (400 if i == 21 else 20)
        headers = [(f"h{j}", b"v%d-%d" % (i, j)) for j in range(i % 4)]
        if i % 9 == 4:
            headers += [("twice", b"1"), ("twice", b"2"), ("empty", b"")]
        if i % 9 == 5:
            headers += [("null", None)]
        when = T0 + i * 1000 - (4500 if i % 10 == 7 else 0)
        out.append((when, key, value, headers))
    return out


def text(b):
    return "-" if b is None else b.hex()


def line(when, key, value, headers):
    return "\t".join((str(when), text(key), text(value), ",".join(f"{n}={text(v)}" for n, v in headers)))


def parse(s):
    def raw(x):
        return None if x == "-" else bytes.fromhex(x)
    when, key, value, headers = s.rstrip("\n").split("\t")
    pairs = [h.split("=") for h in headers.split(",")] if headers else []
    return int(when), raw(key), raw(value), [(n, raw(v)) for n, v in pairs]


def write(path):
    with open(path, "w", encoding="ascii") as f:
        f.writelines(line(*r) + "\n" for r in records())


def load(path):
    with open(path, encoding="ascii") as f:
        return [parse(s) for s in f]
