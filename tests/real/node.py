"""A real node: its process, its directory, its output, what the kernel says about its memory."""
import os
import re
import signal
import socket
import subprocess
import time

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
READY = "ready for clients"


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class Node:
    """One node on a port and in a directory of its own, started and killed as often as a test wants."""

    def __init__(self, directory, build="opt", settings=()):
        self.dir, self.settings = directory, list(settings)
        self.data = os.path.join(directory, "data")
        self.binary = os.path.join(ROOT, "build", build, "weir")
        self.port = free_port()
        self.bootstrap = f"127.0.0.1:{self.port}"
        self.output = os.path.join(directory, "output")
        self.process = None
        self.began = 0  # where in the output this start begins
        os.makedirs(directory, exist_ok=True)

    def start(self, wait=30):
        command = [self.binary, "server", "--data", self.data, "--port", str(self.port)]
        for s in self.settings:
            command += ["--set", s]
        self.began = os.path.getsize(self.output) if os.path.exists(self.output) else 0
        with open(self.output, "ab") as out:
            self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=out, stderr=out, cwd=self.dir)
        end = time.monotonic() + wait
        while READY not in self.said():
            if self.process.poll() is not None or time.monotonic() > end:
                self.kill()
                raise AssertionError(f"the node doesn't start: {self.said()[-3000:]}")
            time.sleep(0.01)
        return self

    def said(self):
        """What it printed since its last start."""
        with open(self.output, errors="replace") as f:
            f.seek(self.began)
            return f.read()

    def said_ever(self):
        with open(self.output, errors="replace") as f:
            return f.read()

    def kill(self):
        if self.process:
            self.process.kill()
            self.process.wait()
            self.process = None

    def stop(self, how=signal.SIGTERM, wait=20):
        """An orderly end: how long it took. A node that ended before, or not well, fails the test."""
        assert self.alive(), f"the node has ended: {self.said()[-3000:]}"
        began = time.monotonic()
        self.process.send_signal(how)
        try:
            code = self.process.wait(wait)
        except subprocess.TimeoutExpired:
            self.kill()
            raise AssertionError(f"no stop within {wait} s: {self.said()[-2000:]}")
        took = time.monotonic() - began
        self.process = None
        assert code == 0, f"exit code {code}: {self.said()[-4000:]}"
        return took

    def alive(self):
        return self.process is not None and self.process.poll() is None

    def rss(self):
        with open(f"/proc/{self.process.pid}/status") as f:
            return int(re.search(r"VmRSS:\s+(\d+)", f.read()).group(1)) * 1024

    def fds(self):
        return len(os.listdir(f"/proc/{self.process.pid}/fd"))

    def __enter__(self):
        return self.start()

    def __exit__(self, *ended):
        self.kill()
