#!/usr/bin/env python3
"""Rules that a machine can check; `make tidy` builds, then runs this. tests/tidy_test.py shows that each rule bites.

    tidy.py [--build DIR] [--update]

--update writes tests/tidy.allow anew: the functions and files that are longer than they should be, each with its length
today. They may only shrink: a longer one fails, and so does a row that is no longer needed."""
import argparse
import os
import re
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "clients"))
from tally import Tally  # noqa: E402

FUNCTION_MAX, FILE_MAX = 70, 800

# A folder includes from itself and from those named here.
LAYERS = {"base": [], "proto": ["base"], "log": ["base", "proto"], "metadata": ["base", "proto"],
          "quorum": ["base", "proto", "log", "metadata"], "broker": ["base", "proto", "log", "metadata", "quorum"],
          "tools": ["base", "proto", "log", "metadata", "quorum", "broker"],
          "tests": ["base", "proto", "log", "metadata", "quorum", "broker", "tools"]}
PURE = ("base", "proto", "log", "metadata", "quorum", "broker")
GENERATED = {"proto_gen.h": "proto", "records.pb-c.h": "metadata"}

# Headers that one place alone includes.
SEAMS = [(r"uv\.h|uv/.*", r"base/io_uv\w*\.[ch]"),
         (r"raft\.h|raft/.*", r"quorum/.*"),
         (r"protobuf-c/.*|records\.pb-c\.h", r"metadata/record\.c"),
         (r"zstd\w*\.h|lz4\w*\.h|snappy\S*\.h|zlib\.h|isa-l\.h|isa-l/.*|igzip\w*\.h|crc\.h", r"base/codec\w*\.c"),
         (r"openssl/.*", r"broker/net/.*"),
         (r"librdkafka/.*|histedit\.h", r"tools/console/.*"),
         (r"pthread\.h|threads\.h|sys/socket\.h|netinet/.*|fcntl\.h|sys/mman\.h|sys/stat\.h|sys/epoll\.h|dirent\.h",
          r"base/io_uv\w*\.[ch]|tools/.*|tests/.*")]

# What an object of a pure folder may take from outside: functions of memory and text alone. All else is the world.
ALLOWED = re.compile(
    r"mem(cpy|move|set|cmp|chr|rchr|mem)|str(len|nlen|cmp|ncmp|casecmp|ncasecmp|chr|rchr|str|spn|cspn|pbrk)|bcmp|"
    r"(__)?v?snprintf(_chk)?|(__isoc99_)?sscanf|strto(l|ul|ll|ull|d|f)|__isoc23_strto\w+|qsort|bsearch|abs|labs|"
    r"(ceil|floor|log2?|log10|exp2?|pow|sqrt|round|lround|llround|fmod|fabs|ldexp|frexp|nextafter)f?|"
    r"__(mem|str)\w+_chk|__stack_chk_fail|__assert_fail|_GLOBAL_OFFSET_TABLE_|__ctype_\w+_loc|"
    r"__(popcount|clz|ctz|u?div|u?mod|u?mul)\w*i\d|__(start|stop)_\w+")
# … and these, each in its place.
ALLOWED_AT = [(r"base/mem", r"malloc|calloc|realloc|free|aligned_alloc|posix_memalign|malloc_usable_size"),
              (r"base/(mem|check)", r"abort|fprintf|__fprintf_chk|stderr|fflush|fwrite|fputs|fputc"),
              (r"base/codec\w*", r"ZSTD_\w+|LZ4F?_\w+|LZ4\w+|XXH\w+|snappy_\w+|inflate\w*|deflate\w*|crc32\w*|isal_\w+"),
              (r"metadata/record|build/gen/records\.pb-c", r"protobuf_c_\w+"),
              (r"broker/config_value", r"reg(comp|exec|free)"),  # a check of text, that keeps nothing
              (r"quorum/\w+", r"raft_\w+")]
# base/io_uv* may do everything, but for what libuv would do behind our back.
BANNED_UV = re.compile(r"uv_(fs_\w+|queue_work|read_start|write2?|try_write2?|tcp_\w+|pipe_\w+|udp_\w+|getaddrinfo|"
                       r"random|spawn)")

WORDS = [(r"\bno_sanitize\b|\bno_sanitize_\w+|__attribute__\(\(disable_sanitizer", "switches a sanitizer off"),
         (r"\b(TODO|FIXME|XXX)\b", "leaves work in the text"),
         (r"(?<![\w.$}])/(work|root|home|Users)/\w", "names a path of one machine")]


def read(root, path):
    with open(os.path.join(root, path), encoding="utf-8", errors="replace") as f:
        return f.read()


def tracked(root):
    out = subprocess.run(["git", "-C", root, "ls-files", "-co", "--exclude-standard"], check=True, capture_output=True,
                         text=True).stdout
    return [p for p in out.splitlines() if os.path.exists(os.path.join(root, p))]


def sources(files):
    return [p for p in files if p.endswith((".c", ".h"))]


def includes(root, path):
    return re.findall(r'^\s*#\s*include\s*[<"]([^>"]+)[>"]', read(root, path), re.M)


def check_directions(root, files):
    for p in sources(files):
        folder = p.split("/")[0]
        for name in includes(root, p) if folder in LAYERS else []:
            to = GENERATED.get(name) or (name.split("/")[0] if "/" in name else None)
            if to in LAYERS and to != folder and to not in LAYERS[folder]:
                yield f"{p} includes {name}: {folder} stands below {to}"


def check_seams(root, files):
    for p in sources(files):
        for name in includes(root, p):
            for header, place in SEAMS:
                if re.fullmatch(header, name) and not re.fullmatch(place, p) and not p.startswith("tests/"):
                    yield f"{p} includes {name}, which only {place} may"


def check_words(root, files):
    for p in files:
        if p.endswith((".c", ".h", ".py", ".sh", ".mk", ".md", ".java", ".go", ".js", ".def", ".msg", "Makefile", "run")) \
                and not p.startswith("tests/tidy"):
            for n, line in enumerate(read(root, p).splitlines(), 1):
                for word, why in WORDS:
                    if re.search(word, line):
                        yield f"{p}:{n} {why}: {line.strip()[:80]}"


def functions(text):
    """(name, lines) of each function: its body begins and ends with a brace in the first column."""
    lines = text.splitlines()
    begin, name = None, None
    for n, line in enumerate(lines):
        if line == "{":
            begin = n
            head = " ".join(lines[max(0, n - 8):n])
            calls = re.findall(r"(\w+)\s*\(", head.split(";")[-1].split("}")[-1])
            name = calls[0] if calls else "?"
            if name == "TEST" or name.startswith("TEST_"):
                name = "_".join(re.findall(r"\w+", head[head.rindex(name) + len(name):])[:2])
        elif line == "}" and begin is not None:
            yield name, n - begin + 1
            begin = None


def too_long(root, files):
    """What is longer than it should be: (path, function or -) -> lines."""
    out = {}
    for p in sources(files):
        text = read(root, p)
        if text.count("\n") > FILE_MAX:
            out[p, "-"] = text.count("\n")
        for name, n in functions(text):
            if n > FUNCTION_MAX:
                out[p, name] = max(n, out.get((p, name), 0))
    return out


def allowed(root):
    try:
        rows = [s.split() for s in read(root, "tests/tidy.allow").splitlines() if s and not s.startswith("#")]
    except FileNotFoundError:
        rows = []
    return {(p, name): int(n) for p, name, n in rows}


def check_lengths(root, files):
    found, rows = too_long(root, files), allowed(root)
    for (p, name), n in found.items():
        most = rows.get((p, name), FILE_MAX if name == "-" else FUNCTION_MAX)
        if n > most:
            yield f"{p} {name} has {n} lines, {most} are allowed"
    for (p, name), n in rows.items():
        if found.get((p, name), 0) < n:
            yield f"{p} {name} has shrunk from {n} to {found.get((p, name), 'few')} lines: run tests/tidy.py --update"


def check_dead(root, files):
    """A file that nothing builds, includes, imports, runs or names."""
    text = {p: read(root, p) for p in files if not p.endswith((".sum", ".jar"))}
    included = {name for p in sources(files) for name in includes(root, p)}
    for p in files:
        base, folder = os.path.basename(p), p.split("/")[0]
        stem, ending = os.path.splitext(base)
        if ending == ".c":
            alive = folder in LAYERS and folder != "tests" or re.match(r"tests/(unit|unit_uv|wire|sim|fuzz)/", p)
        elif ending in (".h", ".def", ".inc"):
            alive = any(p == i or p.endswith("/" + i) for i in included)
        elif ending in (".py", ".sh", ".java", ".go", ".js"):
            alive = False
        else:
            continue
        word = re.compile(r"\b" + re.escape(stem if ending in (".py", ".java", ".js") else base) + r"\b")
        if ending == ".go":
            word = re.compile(r"\b" + re.escape(os.path.basename(os.path.dirname(p))) + r"\b")
        if not alive and not any(word.search(t) for q, t in text.items() if q != p):
            yield f"{p} is used by nothing"


def objects(build):
    """path without build directory and ending -> file, for product code."""
    out = {}
    for folder in (*PURE, "build/gen"):
        for at, _, names in os.walk(os.path.join(build, folder)):
            for n in names:
                if n.endswith(".o"):
                    full = os.path.join(at, n)
                    out[os.path.relpath(full, build)[:-2]] = full
    return out


def live_objects(root, build):
    """Objects whose source is still there."""
    return {p: o for p, o in objects(build).items()
            if os.path.exists(os.path.join(root, p + ".c")) or p.startswith("build/gen")}


def nm(path, *flags):
    done = subprocess.run(["nm", *flags, path], check=True, capture_output=True, text=True)
    return [s.split() for s in done.stdout.splitlines() if s]


def check_outside(found):
    """Proven on objects, so that no macro or header hides a call."""
    ours = {row[-1] for o in found.values() for row in nm(o, "--defined-only")}
    for p, o in found.items():
        for row in nm(o, "-u"):
            name = row[-1].split("@")[0]
            if p.startswith("base/io_uv"):
                if BANNED_UV.fullmatch(name):
                    yield f"{p}.o calls {name}: libuv only polls and wakes here"
            elif name not in ours and not ALLOWED.fullmatch(name) and not any(
                    re.fullmatch(place, p) and re.fullmatch(names, name) for place, names in ALLOWED_AT):
                yield f"{p}.o calls {name}: the outside comes through base/io.h"


def check_globals(found):
    """Writable data; what is constant once the loader has moved it (.data.rel.ro) isn't."""
    for p, o in found.items():
        if p.startswith("base/io_uv"):
            continue
        done = subprocess.run(["objdump", "-t", o], check=True, capture_output=True, text=True)
        for s in done.stdout.splitlines():
            m = re.match(r"[0-9a-f]+ .{7} (\S+)\s+([0-9a-f]+) (.*)$", s)
            if m and re.match(r"\.(data|bss|tdata|tbss)\b|\*COM\*", m[1]) and not m[1].startswith(".data.rel.ro") \
                    and int(m[2], 16) > 0:
                yield f"{p}.o has a writable global, {m[3].split()[-1]}"


def check_ignored(root, files):
    """An `enum err` that nobody looks at: clang knows the attribute on the type (base/err.h), gcc doesn't."""
    wanted = [p for p in files if p.endswith(".c") and p.split("/")[0] in (*PURE, "tools")]
    for i in range(0, len(wanted), 25):
        done = subprocess.run(["clang", "-std=gnu11", "-D_GNU_SOURCE", "-I.", "-isystem", "build/gen", "-fsyntax-only",
                               "-Wno-everything", "-Werror=unused-result", *wanted[i:i + 25]], cwd=root,
                              capture_output=True, text=True, errors="replace")
        yield from (s for s in done.stderr.splitlines() if "error:" in s)


# Settings that work though no code reads them by their number: why.
UNREAD = {
    "config.providers": "env and file are built in, and nothing else can be named",
    "leader.replication.throttled.rate": "nothing replicates yet", "follower.replication.throttled.rate": "nor that",
    "replica.alter.log.dirs.io.max.bytes.per.second": "replicas don't move yet",
    "leader.replication.throttled.replicas": "nor these", "follower.replication.throttled.replicas": "nor these",
    "min.insync.replicas": "never above the count of replicas, which is one",
    "unclean.leader.election.enable": "there is one replica",
    "remote.storage.enable": "refused when it is true", "remote.log.copy.disable": "nothing is tiered",
    "remote.log.delete.on.disable": "nothing is tiered", "local.retention.ms": "nothing is tiered",
    "local.retention.bytes": "nothing is tiered",
}


def check_settings(root, files):
    """A row of config.def that says WORKS is read: by its number, or as the topic's setting that it stands in for."""
    table = read(root, "broker/config.def")
    code = "".join(read(root, p) for p in files if re.match(r"(broker|log|metadata|quorum|tools)/.*\.[ch]$", p))
    code = re.sub(r"\bTOPIC_INT\((\w+)\)", r"T_\1", code)
    used = set(re.findall(r"\b[CT]_[a-z0-9_]+", code))
    used |= {by for of, by in re.findall(r"^SYNONYM\((\w+), (\w+),", table, re.M) if of in used}
    for kind, name, text, rest in re.findall(r'^(BROKER|TOPIC)\((\w+), "([^"]+)"(.*?)(?=^[A-Z]+\(|^/\*|\Z)', table, re.M | re.S):
        read_here = f"{'C' if kind == 'BROKER' else 'T'}_{name}" in used
        if "WORKS" in rest and not read_here and text not in UNREAD:
            yield f"{text} is said to work, and no code reads it"


def check_canaries(root, files):
    """Each replaces a line that is there once; else nobody would notice that a bug isn't looked for any more."""
    for row in read(root, "tests/sim/canaries.def").splitlines() if "tests/sim/canaries.def" in files else []:
        if row and not row.startswith("#"):
            name, path, line = row.split("|")[:3]
            n = read(root, path.strip()).splitlines().count(line[1:-1])
            if n != 1:
                yield f"canary {name.strip()}: its line occurs {n} times in {path.strip()}"


def check_format(root, files):
    wanted = sources(files)
    done = subprocess.run(["clang-format", "--dry-run", "-Werror", *wanted], cwd=root, capture_output=True, text=True)
    if done.returncode:
        for p in sorted({s.split(":")[0] for s in done.stderr.splitlines() if ": error:" in s}) or [done.stderr[:200]]:
            yield f"{p} isn't as clang-format -i leaves it"


def main():
    ask = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ask.add_argument("--build", default="build/opt")
    ask.add_argument("--update", action="store_true")
    args = ask.parse_args()
    root = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    files = tracked(root)
    if args.update:
        with open(os.path.join(root, "tests/tidy.allow"), "w") as f:
            f.write("# Longer than they should be, and how long today (- is the whole file). Only ever shorter.\n")
            f.writelines(f"{p} {name} {n}\n" for (p, name), n in sorted(too_long(root, files).items()))
    tally, found = Tally(), live_objects(root, os.path.join(root, args.build))
    tally.test("objects", None if len(found) > 50 else f"only {len(found)} objects in {args.build}: build first")
    for name, problems in (("directions", check_directions(root, files)), ("seams", check_seams(root, files)),
                           ("words", check_words(root, files)), ("lengths", check_lengths(root, files)),
                           ("dead files", check_dead(root, files)), ("outside", check_outside(found)),
                           ("globals", check_globals(found)), ("ignored errors", check_ignored(root, files)),
                           ("settings", check_settings(root, files)), ("canaries", check_canaries(root, files)),
                           ("format", check_format(root, files))):
        problems = list(problems)
        for p in problems:
            print(f"  {p}")
        tally.test(name, f"{len(problems)} problems" if problems else None)
    return tally.end()


if __name__ == "__main__":
    sys.exit(main())
