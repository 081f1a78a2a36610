"""What a broker cost: its CPU time (a cgroup's where there is one, else /proc), that of the kernel's threads, memory."""
import os
import time

PF_KTHREAD = 0x00200000
TICKS = os.sysconf("SC_CLK_TCK")
CGROUPS = ("/sys/fs/cgroup", "/sys/fs/cgroup/unified")


class Meter:
    """Follows one process. It counts from here on; what it did before is not seen."""

    def __init__(self, pid):
        self.pid = pid
        self.group = self._group()

    def _group(self):
        for top in CGROUPS:
            group = os.path.join(top, f"bench-{os.getpid()}-{self.pid}")
            if not os.path.exists(os.path.join(top, "cgroup.controllers")):
                continue
            try:
                os.mkdir(group)
                with open(os.path.join(group, "cgroup.procs"), "w") as f:
                    f.write(str(self.pid))
                return group
            except OSError:
                continue
        return None

    def close(self):
        """After the process has ended."""
        if self.group:
            for _ in range(50):
                try:
                    os.rmdir(self.group)
                    return
                except OSError:
                    time.sleep(0.1)

    def cpu(self):
        """Seconds of user and of system time."""
        if self.group:
            with open(os.path.join(self.group, "cpu.stat")) as f:
                at = dict(line.split() for line in f)
            return int(at["user_usec"]) / 1e6, int(at["system_usec"]) / 1e6
        fields = stat_fields(f"/proc/{self.pid}/stat")
        return int(fields[11]) / TICKS, int(fields[12]) / TICKS

    def resident_mib(self):
        with open(f"/proc/{self.pid}/status") as f:
            for line in f:
                if line.startswith("VmRSS:"):
                    return int(line.split()[1]) / 1024
        return 0.0

    def idle_percent(self, seconds):
        before, start = sum(self.cpu()), time.monotonic()
        time.sleep(seconds)
        return 100 * (sum(self.cpu()) - before) / (time.monotonic() - start)

    def quiet_since(self, calm=0.3, share=0.06, limit=120):
        """When it began to rest: the start of the first `calm` seconds in which it used less than `share` of one CPU."""
        end = time.monotonic() + limit
        while time.monotonic() < end:
            start, before, loud = time.monotonic(), sum(self.cpu()), False
            while not loud and time.monotonic() - start < calm:
                time.sleep(0.02)
                loud = sum(self.cpu()) - before > share * calm
            if not loud:
                return start
        raise RuntimeError("the broker doesn't come to rest")


def stat_fields(path):
    """The fields of a stat file from the state on: [0] is the state, [6] the flags, [11] and [12] the times."""
    with open(path) as f:
        return f.read().rpartition(")")[2].split()


def kernel_threads():
    """Nanoseconds that each kernel thread has run."""
    out = {}
    for name in os.listdir("/proc"):
        if not name.isdigit():
            continue
        try:
            if int(stat_fields(f"/proc/{name}/stat")[6]) & PF_KTHREAD:
                with open(f"/proc/{name}/schedstat") as f:
                    out[name] = int(f.read().split()[0])
        except (OSError, IndexError):
            continue
    return out


def kernel_seconds(before, after):
    return sum(ns - before.get(name, 0) for name, ns in after.items()) / 1e9


class Span:
    """with Span(meter) as s: …   then s.user, s.system, s.kernel, s.seconds. Written data is synced inside of it, so that
    writing it back counts, whoever does it."""

    def __init__(self, meter, sync=True):
        self.meter, self.sync = meter, sync

    def __enter__(self):
        os.sync()
        self.threads, self.start, self.at = kernel_threads(), time.monotonic(), self.meter.cpu()
        return self

    def __exit__(self, *_):
        if self.sync:
            os.sync()
        user, system = self.meter.cpu()
        self.user, self.system = user - self.at[0], system - self.at[1]
        self.kernel = kernel_seconds(self.threads, kernel_threads())
        self.seconds = time.monotonic() - self.start

    @property
    def cpu(self):
        return self.user + self.system


class Reserve:
    """Pages that a virtual machine's host has given already, for what a row will write: a page's first use costs several
    times what copying into it does, and the host takes back what lies free for seconds. They are held as a file in memory
    and freed inside the row's span."""

    def __init__(self):
        self.path = f"/dev/shm/bench-{os.getpid()}"

    def fill(self, size):
        block = bytes(1 << 20)
        with open(self.path, "wb") as f:
            for _ in range(int(size) >> 20):
                f.write(block)

    def release(self):
        if os.path.exists(self.path):
            os.unlink(self.path)


def touch_memory(gib):
    """The same for all that the clients will use: uses `gib` and gives them back."""
    pid = os.fork()
    if pid == 0:
        try:
            block = bytearray(1 << 20)
            keep = [bytes(block) for _ in range(int(gib * 1024))]
            for page in keep:
                page.find(b"x")
        finally:
            os._exit(0)
    os.waitpid(pid, 0)
