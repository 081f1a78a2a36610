"""Nodes that tests start: a port of their own on 127.0.0.1, a directory of their own, ended by their process id."""
import glob
import os
import shutil
import signal
import socket
import subprocess
import time

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


def free_ports(n):
    socks = [socket.socket() for _ in range(n)]
    try:
        for s in socks:
            s.bind(("127.0.0.1", 0))
        return [s.getsockname()[1] for s in socks]
    finally:
        for s in socks:
            s.close()


class Node:
    """A process that serves clients. `with node:` runs it; what it printed is in self.output."""

    def __init__(self, name, directory):
        self.name, self.dir = name, directory
        self.data = os.path.join(directory, "data")
        self.output = os.path.join(directory, "output")
        self.port = free_ports(1)[0]
        self.bootstrap = f"127.0.0.1:{self.port}"
        self.process = None
        os.makedirs(directory, exist_ok=True)

    def command(self):
        raise NotImplementedError

    def environment(self):
        return dict(os.environ)

    def start(self, wait=60):
        with open(self.output, "ab") as out:
            self.process = subprocess.Popen(self.command(), stdin=subprocess.DEVNULL, stdout=out, stderr=out,
                                            env=self.environment(), cwd=self.dir)
        end = time.monotonic() + wait
        while time.monotonic() < end:
            if self.process.poll() is not None:
                raise RuntimeError(f"{self.name} ended with {self.process.returncode}: {self.tail()}")
            try:
                socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
                return self
            except OSError:
                time.sleep(0.05)
        self.kill()
        raise RuntimeError(f"{self.name} doesn't listen after {wait} s: {self.tail()}")

    def stop(self, wait=60):
        """An orderly end. Returns the exit code, None if it had to be killed."""
        if self.process is None:
            return 0
        self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(wait)
        except subprocess.TimeoutExpired:
            self.kill()
            return None
        finally:
            self.process = None

    def kill(self):
        self.process.kill()
        self.process.wait()

    def tail(self):
        with open(self.output, errors="replace") as f:
            return f.read()[-3000:]

    def __enter__(self):
        return self.start()

    def __exit__(self, *_):
        self.stop()

    def partition(self, name):
        """The directory of a partition, wherever below the data directory it lies."""
        found = glob.glob(os.path.join(glob.escape(self.data), "**", glob.escape(name)), recursive=True)
        if len(found) != 1:
            raise RuntimeError(f"{self.name}: {len(found)} directories {name}")
        return found[0]


class Weir(Node):
    def __init__(self, directory, build="opt", name="weir", settings=()):
        super().__init__(name, directory)
        self.build, self.settings = build, settings

    def command(self):
        out = [os.path.join(ROOT, "build", self.build, "weir"), "server", "--data", self.data, "--port", str(self.port)]
        for s in self.settings:
            out += ["--set", s]
        return out

    def environment(self):
        return {**os.environ, "ASAN_OPTIONS": "abort_on_error=0:exitcode=99:detect_leaks=1",
                "UBSAN_OPTIONS": "print_stacktrace=1:halt_on_error=1"}


def fresh(directory):
    shutil.rmtree(directory, ignore_errors=True)
    os.makedirs(directory)
    return directory
