#!/usr/bin/env python3
"""The clients that Debian packages (kcat, python3-confluent-kafka) against one node of a build.
   run.py [BUILD]     build/BUILD/weir, by default asan"""
import os
import shutil
import subprocess
import sys

import expect
import records
import segment
from nodes import ROOT, Weir, fresh
from tally import Tally, checks, compare, run_client

HERE = os.path.dirname(os.path.abspath(__file__))
PYTHON = "/usr/bin/python3"


def missing(name):
    if name == "kcat":
        return None if shutil.which("kcat") else "kcat isn't installed"
    done = subprocess.run([PYTHON, "-c", "import confluent_kafka"], capture_output=True)
    return "python3-confluent-kafka isn't installed" if done.returncode else None


def main(build):
    tally, codecs = Tally(), list(records.CODECS)
    base = fresh(os.path.join(ROOT, "build", "clients"))
    path = os.path.join(base, "records")
    records.write(path)
    node = Weir(os.path.join(base, "node"), build)
    with node:
        for name, script in (("kcat", "client_kcat.py"), ("confluent", "client_confluent.py")):
            if missing(name):
                tally.skip(name, missing(name))
                continue
            facts, end = run_client([PYTHON, os.path.join(HERE, script)], node.bootstrap, name, codecs, path,
                                    os.path.join(base, f"{name}.err"))
            expected = getattr(expect, name)(name, codecs)
            for check in checks(codecs):
                tally.test(f"{name}/{check}", compare(expected[check], facts.get(check), end))
            for c, number in records.CODECS.items():
                for topic, idempotent in ((f"{name}-{c}", False), (f"{name}-idem-{c}", True)):
                    try:
                        bad = segment.problem(node.partition(f"{topic}-0"), number, 40, idempotent)
                    except RuntimeError as e:
                        bad = str(e)
                    tally.test(f"{name}/stored-{topic}", bad)
        code = node.stop()
    tally.test("node/stops", f"exit code {code}: {node.tail()}" if code != 0 else None)
    return tally.end()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1] if len(sys.argv) > 1 else "asan"))
