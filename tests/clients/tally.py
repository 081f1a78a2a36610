"""Counts tests. A failure is printed with its reason at once; what passed is only counted."""
import os
import re
import subprocess
import sys


class Tally:
    def __init__(self):
        self.passed = self.failed = self.skipped = 0
        self.strict = os.environ.get("CI") == "true"

    def test(self, name, problem=None):
        """One test's result; `problem` says why it failed."""
        if problem:
            self.failed += 1
            print(f"FAIL {name}: {problem}", flush=True)
        else:
            self.passed += 1

    def skip(self, name, reason):
        """What can't run here. Where nothing may be missing (CI=true) that is a failure."""
        if self.strict:
            self.test(name, f"skipped: {reason}")
        else:
            self.skipped += 1
            print(f"SKIP {name}: {reason}", flush=True)

    def add(self, output):
        """Adds the last `N passed, N failed` line of a program's output. False if it has none."""
        found = re.findall(r"^(\d+) passed, (\d+) failed(?:, (\d+) skipped)?$", output, re.M)
        if found:
            self.passed, self.failed = self.passed + int(found[-1][0]), self.failed + int(found[-1][1])
            self.skipped += int(found[-1][2] or 0)
        return bool(found)

    def end(self):
        """The last line; returns the exit code."""
        skipped = f", {self.skipped} skipped" if self.skipped else ""
        print(f"{self.passed} passed, {self.failed} failed{skipped}", flush=True)
        return 1 if self.failed or not self.passed else 0


def run_client(command, bootstrap, prefix, codecs, records, err, limit=180):
    """Runs a client (records.py). Returns its facts: check -> list of lines, without the check's name."""
    with open(err, "wb") as e:
        try:
            done = subprocess.run([*command, bootstrap, prefix, ",".join(codecs), records], stdin=subprocess.DEVNULL,
                                  stdout=subprocess.PIPE, stderr=e, timeout=limit)
            out, end = done.stdout, None if done.returncode == 0 else f"the client ended with {done.returncode}, see {err}"
        except subprocess.TimeoutExpired as t:
            out, end = t.stdout or b"", f"the client wasn't done after {limit} s"
    facts = {}
    for s in out.decode(errors="replace").splitlines():
        check, _, rest = s.partition("\t")
        facts.setdefault(check, []).append(rest)
    return facts, end


def checks(codecs, reads=True):
    """The checks that a client promises."""
    out = ["create"]
    for c in codecs:
        out += [f"produce-{c}", f"idem-{c}", f"time-{c}", f"ends-{c}"]
        out += [f"read-{c}", f"read-idem-{c}", f"offset-{c}"] if reads else []
    return out


def compare(expected, got, end=None):
    """Why two lists of lines differ, or None."""
    if expected is None:
        return "nothing to compare with"
    if got is None:
        return end or "the client told nothing"
    if got and got[0].startswith("ERROR"):
        return got[0]
    if expected == got:
        return None
    for a, b in zip(expected, got):
        if a != b:
            return f"expected {a[:200]!r}, got {b[:200]!r}"
    return f"expected {len(expected)} lines, got {len(got)}"


if __name__ == "__main__":
    # tally.py FILE...: sums up the last lines of several outputs.
    total = Tally()
    for path in sys.argv[1:]:
        with open(path, errors="replace") as f:
            if not total.add(f.read()):
                total.test(path, "it has no line `N passed, N failed`")
    sys.exit(total.end())
