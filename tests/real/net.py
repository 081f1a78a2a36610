"""Machines of their own for processes: a network namespace each, joined by a bridge; what one sends to another can get
lost without a word, in either direction."""
import ctypes
import os
import subprocess
import threading

from room import Skip

NOBODY = "02:00:00:00:00:ee"  # a frame to this address reaches nobody, and nobody says so
CLONE_NEWNET = 0x40000000


def ip(*words, check=True):
    done = subprocess.run(["ip", *words], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if check and done.returncode:
        raise Skip(f"needs root and network namespaces: ip {' '.join(words)}: {done.stdout.strip()}")


class Net:
    """Machines 1 to n with the addresses 10.213.78.1 to n."""

    def __init__(self, n):
        self.ids, self.hub, self.lost = range(1, n + 1), f"weir{os.getpid()}hub", set()

    def space(self, i):
        return f"weir{os.getpid()}n{i}"

    @staticmethod
    def address(i):
        return f"10.213.78.{i}"

    @staticmethod
    def mac(i):
        return f"02:00:00:00:00:{i:02x}"

    def __enter__(self):
        try:
            ip("netns", "add", self.hub)
            ip("-n", self.hub, "link", "add", "br0", "type", "bridge")
            ip("-n", self.hub, "link", "set", "br0", "up")
            for i in self.ids:
                ip("netns", "add", self.space(i))
                ip("-n", self.space(i), "link", "add", "eth0", "address", self.mac(i), "type", "veth", "peer", "name",
                   f"p{i}", "netns", self.hub)
                ip("-n", self.hub, "link", "set", f"p{i}", "master", "br0", "up")
                for words in (("addr", "add", f"{self.address(i)}/24", "dev", "eth0"), ("link", "set", "lo", "up"),
                              ("link", "set", "eth0", "up")):
                    ip("-n", self.space(i), *words)
                for j in self.ids:
                    if j != i:
                        self.send(i, j, True)
        except Skip:
            self.__exit__()
            raise
        return self

    def __exit__(self, *ended):
        for space in [self.space(i) for i in self.ids] + [self.hub]:
            ip("netns", "del", space, check=False)

    def send(self, i, j, arrives):
        """Whether what i sends to j arrives."""
        ip("-n", self.space(i), "neigh", "replace", self.address(j), "lladdr", self.mac(j) if arrives else NOBODY,
           "dev", "eth0", "nud", "permanent")
        (self.lost.discard if arrives else self.lost.add)((i, j))

    def cut(self, some, others):
        """Nothing passes between the two groups, either way."""
        for i in some:
            for j in others:
                self.send(i, j, False)
                self.send(j, i, False)

    def heal(self):
        for i, j in list(self.lost):
            self.send(i, j, True)

    def on(self, i, what):
        """What the function answers on machine i: the sockets that it makes are there, and so are its threads."""
        out = []

        def run():
            try:
                libc = ctypes.CDLL(None, use_errno=True)
                with open(f"/var/run/netns/{self.space(i)}") as there:
                    assert libc.setns(there.fileno(), CLONE_NEWNET) == 0, os.strerror(ctypes.get_errno())
                out.append((what(), None))
            except Exception as e:  # of whoever asked for it
                out.append((None, e))

        t = threading.Thread(target=run)
        t.start()
        t.join()
        if out[0][1]:
            raise out[0][1]
        return out[0][0]
