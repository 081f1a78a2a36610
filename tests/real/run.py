#!/usr/bin/python3
"""The bad day: real processes, real disks, real sockets. Kills, full and failing disks, signals, hostile clients.

    run.py [--only PATTERN] [--keep] [--tsan]        ROUNDS=n kills (10), SEED=n of the hostile bytes

Each check is a function with one node, or several, of its own; what it returns is printed behind its name."""
import argparse
import fnmatch
import os
import shutil
import sys
import tempfile
import time
import traceback

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import checks  # noqa: E402
import room  # noqa: E402


def run(name, check, keep):
    """'passed', 'failed' or 'skipped'."""
    directory = tempfile.mkdtemp(prefix=f"weir-real-{name}-")
    began = time.monotonic()
    result, why = "passed", ""
    try:
        why = check(directory) or ""
    except room.Skip as e:
        result, why = "skipped", str(e)
    except Exception as e:  # whatever a check meets is its failure
        result, why = "failed", f"{e}\n{traceback.format_exc()}" if not isinstance(e, AssertionError) else str(e)
    print(f"{result:8}{name:24}{time.monotonic() - began:6.1f} s  {why}", flush=True)
    if not keep and result != "failed":
        shutil.rmtree(directory, ignore_errors=True)
    return result


def main():
    a = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    a.add_argument("--only", default="*", help="names of checks, with * and ?")
    a.add_argument("--keep", action="store_true", help="keep what the checks wrote")
    a.add_argument("--tsan", action="store_true", help="the checks of a node built with ThreadSanitizer")
    args = a.parse_args()
    table = checks.TSAN if args.tsan else checks.ALL
    results = [run(name, check, args.keep) for name, check in table.items() if fnmatch.fnmatch(name, args.only)]
    skipped = f", {results.count('skipped')} skipped" if "skipped" in results else ""
    print(f"{results.count('passed')} passed, {results.count('failed')} failed{skipped}")
    sys.exit("failed" in results or not results)


if __name__ == "__main__":
    main()
