"""As much of the wire as an attacker needs: frames, a record batch, and the few requests that prove a node well."""
import ctypes
import socket
import struct
import time
import zlib

PRODUCE, FETCH, METADATA, API_VERSIONS = 0, 1, 3, 18


def crc32c_table():
    table = []
    for n in range(256):
        for _ in range(8):
            n = (n >> 1) ^ 0x82F63B78 if n & 1 else n >> 1
        table.append(n)
    return table


TABLE = crc32c_table()


def crc32c(data):
    crc = 0xFFFFFFFF
    for byte in data:
        crc = TABLE[(crc ^ byte) & 255] ^ (crc >> 8)
    return crc ^ 0xFFFFFFFF


def varint(n):
    n, out = (n << 1) ^ (n >> 63), b""
    while n > 127:
        out += bytes([n & 127 | 128])
        n >>= 7
    return out + bytes([n])


def record(delta, value):
    body = b"\0" + varint(0) + varint(delta) + varint(-1) + varint(len(value)) + value + varint(0)
    return varint(len(body)) + body


def batch(records, codec=0, count=None, last=None, crc=None, length=None, magic=2):
    """records: the bytes behind the count, compressed or not. What is None is right."""
    count = 1 if count is None else count
    last = count - 1 if last is None else last
    now = int(time.time() * 1000)
    tail = struct.pack(">hiqqqhii", codec, last, now, now, -1, -1, -1, count) + records
    head = struct.pack(">ibI", 0, magic, crc32c(tail) if crc is None else crc)
    return struct.pack(">qi", 0, len(head + tail) if length is None else length) + head + tail


def text(s):
    return struct.pack(">h", len(s)) + s.encode()


def request(key, version, body, correlation=1, flexible=False):
    head = struct.pack(">hhi", key, version, correlation) + text("bad day") + (b"\0" if flexible else b"")
    return struct.pack(">i", len(head) + len(body)) + head + body


def produce(topic, data, acks=-1, partition=0, version=7):
    return request(PRODUCE, version, struct.pack(">hhi", -1, acks, 5000) + struct.pack(">i", 1) + text(topic) +
                   struct.pack(">iii", 1, partition, len(data)) + data)


def fetch(topic, offset=0, most=1 << 20, wait=0, partition=0):
    return request(FETCH, 4, struct.pack(">iiiib", -1, wait, 1, most, 0) + struct.pack(">i", 1) + text(topic) +
                   struct.pack(">iiqi", 1, partition, offset, most))


def produce_error(answer):
    """The one partition's error code and base offset in the answer to produce()."""
    at = 4 + 4
    at += 2 + struct.unpack_from(">h", answer, at)[0] + 4 + 4
    return struct.unpack_from(">hq", answer, at)


class Raw:
    """A connection that sends what it likes."""

    def __init__(self, node, timeout=5):
        self.sock = socket.create_connection(("127.0.0.1", node.port), timeout=timeout)

    def send(self, data):
        self.sock.sendall(data)

    def read(self, n):
        out = b""
        while len(out) < n:
            got = self.sock.recv(n - len(out))
            if not got:
                raise ConnectionError("closed")
            out += got
        return out

    def answer(self):
        return self.read(struct.unpack(">i", self.read(4))[0])

    def ask(self, data):
        self.send(data)
        return self.answer()

    def drain(self, seconds):
        """Reads until the other side closes or nothing comes for so long."""
        self.sock.settimeout(seconds)
        try:
            while self.sock.recv(65536):
                pass
            return True
        except TimeoutError:
            return False
        except OSError:
            return True

    def close(self):
        self.sock.close()

    def __enter__(self):
        return self

    def __exit__(self, *ended):
        self.close()


def well(node, seconds=5):
    """The node answers a new client; how long that took."""
    began = time.monotonic()
    assert node.process.poll() is None, f"the node has ended: {node.said()[-6000:]}"
    with Raw(node, seconds) as c:
        assert c.ask(request(API_VERSIONS, 0, b""))[4:6] == b"\0\0"
        c.ask(request(METADATA, 1, struct.pack(">i", 0)))
    return time.monotonic() - began


def library(name, function, result=ctypes.c_size_t):
    f = getattr(ctypes.CDLL(name), function)
    f.restype = result
    return f


def squeeze(codec, data):
    """data as the codec's compressed form: 1 gzip, 2 snappy, 3 lz4, 4 zstd."""
    room = ctypes.create_string_buffer(len(data) + len(data) // 4 + 65536)
    n, size = ctypes.c_size_t(len(data)), ctypes.c_size_t(len(room))
    if codec == 1:
        c = zlib.compressobj(9, zlib.DEFLATED, 31)
        return c.compress(data) + c.flush()
    if codec == 2:
        assert library("libsnappy.so.1", "snappy_compress", ctypes.c_int)(data, n, room, ctypes.byref(size)) == 0
        return room.raw[:size.value]
    if codec == 3:
        independent = struct.pack("IIIIQIIiIIIII", 4, 1, *[0] * 11) + bytes(8)  # blocks of 64 KB, as Kafka wants them
        made = library("liblz4.so.1", "LZ4F_compressFrame")(room, size, data, n, independent)
        return room.raw[:made]
    made = library("libzstd.so.1", "ZSTD_compress")(room, size, data, n, ctypes.c_int(9))
    return room.raw[:made]
