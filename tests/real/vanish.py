"""Peers that vanish: no FIN, no RST, only silence, as of a machine that lost its power or its route."""
import ctypes
import os
import socket
import struct
import subprocess
import threading
import time

import kill
import wire
from node import Node, free_port
from room import Skip

NS, HERE, THERE = f"weir{os.getpid()}", "10.213.77.1", "10.213.77.2"
BOUND = 60  # seconds in which a connection that can't deliver must end


def ip(*words, check=True):
    done = subprocess.run(["ip", *words], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if check and done.returncode:
        raise Skip(f"needs root and network namespaces: ip {' '.join(words)}: {done.stdout.strip()}")


class Far:
    """A network of its own behind a pair of interfaces."""

    def __enter__(self):
        ip("netns", "add", NS)
        try:
            ip("link", "add", NS, "type", "veth", "peer", "name", "far", "netns", NS)
            ip("addr", "add", f"{HERE}/30", "dev", NS)
            ip("link", "set", NS, "up")
            ip("-n", NS, "addr", "add", f"{THERE}/30", "dev", "far")
            ip("-n", NS, "link", "set", "far", "up")
        except Skip:
            self.__exit__()
            raise
        return self

    def connect(self, port):
        """A socket that lives over there; only the thread that makes it goes there for that."""
        out = []

        def run():
            libc = ctypes.CDLL(None, use_errno=True)
            with open(f"/var/run/netns/{NS}") as there:
                assert libc.setns(there.fileno(), 0x40000000) == 0, os.strerror(ctypes.get_errno())
            out.append(socket.create_connection((HERE, port), timeout=10))

        t = threading.Thread(target=run)
        t.start()
        t.join()
        return out[0]

    def vanish(self):
        """Nothing from there arrives any more."""
        ip("-n", NS, "route", "del", "10.213.77.0/30")
        ip("-n", NS, "route", "add", "blackhole", "10.213.77.0/30")

    def __exit__(self, *ended):
        ip("netns", "del", NS, check=False)
        ip("link", "del", NS, check=False)


def ask_much(sock, topic):
    """So many answers that they fill both kernels' buffers and wait in the node."""
    sock.setblocking(False)
    try:
        for _ in range(200):
            sock.send(wire.fetch(topic, 0, 50 << 20))
    except OSError:
        pass


def peers(node, port):
    """The node's established connections from over there."""
    with open(f"/proc/{node.process.pid}/net/tcp") as f:
        rows = [line.split() for line in f.readlines()[1:]]
    there = "%08X" % struct.unpack("<I", socket.inet_aton(THERE))[0]
    return [r for r in rows if r[1].endswith(":%04X" % port) and r[2].startswith(there) and r[3] == "01"]


def half_open(directory):
    """Replies to peers that vanished end with their connections in bounded time; a client that lives and doesn't read stays."""
    port = free_port()
    with Far() as far, Node(directory, settings=[
            f"listeners=PLAINTEXT://0.0.0.0:{port},CONTROLLER://127.0.0.1:0",
            f"advertised.listeners=PLAINTEXT://127.0.0.1:{port}"]) as node:
        node.port, node.bootstrap = port, f"127.0.0.1:{port}"
        kill.create(node, {"much": {}}, 1)
        with wire.Raw(node) as c:
            for _ in range(40):
                assert wire.produce_error(c.ask(wire.produce("much", wire.batch(wire.record(0, os.urandom(500000))))))[0] == 0
        held = [far.connect(port) for _ in range(20)]
        deaf = wire.Raw(node)
        for s in held:  # what waits in the listener isn't a descriptor of the node's yet
            s.sendall(wire.request(wire.API_VERSIONS, 0, b""))
            assert s.recv(65536), "a connection ended"
        before = node.fds() - len(held)
        for s in held + [deaf.sock]:
            ask_much(s, "much")
        time.sleep(1)
        far.vanish()
        began = time.monotonic()
        while peers(node, port):
            assert time.monotonic() - began < BOUND, f"{len(peers(node, port))} connections after {BOUND} s"
            assert wire.well(node) < 1
            time.sleep(0.5)
        took = time.monotonic() - began
        assert took > 20, f"ended after {took:.0f} s: that may be a short interruption"
        assert node.fds() <= before + 2, f"{node.fds()} descriptors, {before} before"
        deaf.sock.settimeout(5)
        assert len(deaf.answer()) > 1000, "a client that lives has been closed too"
        deaf.close()
        for s in held:
            s.close()
        wire.well(node)
        node.stop()
        return f"{len(held)} connections ended {took:.0f} s after their peers vanished"
