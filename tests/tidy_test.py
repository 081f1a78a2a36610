#!/usr/bin/env python3
"""Each rule of tidy.py finds what it should, and leaves alone what it should."""
import os
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import tidy  # noqa: E402
from tally import Tally  # noqa: E402


def tree(directory, files):
    for path, text in files.items():
        full = os.path.join(directory, path)
        os.makedirs(os.path.dirname(full), exist_ok=True)
        with open(full, "w") as f:
            f.write(text)
    return directory, list(files)


def compiled(directory, files):
    """Objects of C sources: path without ending -> object."""
    root, paths = tree(directory, files)
    out = {}
    for p in paths:
        out[p[:-2]] = os.path.join(root, p[:-2] + ".o")
        subprocess.run(["gcc", "-w", "-O1", "-fPIE", "-fdata-sections", "-c", os.path.join(root, p), "-o", out[p[:-2]]],
                       check=True)
    return out


LONG = "int f(void)\n{\n" + "    g();\n" * 70 + "}\n"

# rule, files, what must be found: a part of each problem, in any order
CASES = [
    (tidy.check_settings, {"broker/config.def": 'BROKER(a, "a", INT, "1", LOW, READ_ONLY, ANY, WORKS, "A.")\n'
                                                'BROKER(b, "b", INT, "1", LOW, READ_ONLY, ANY, WORKS, "B.")\n'
                                                'BROKER(c, "c", INT, "1", LOW, READ_ONLY, ANY, LATER("x"), NULL)\n'
                                                'BROKER(d, "d", INT, "1", LOW, READ_ONLY, ANY, WORKS, "D.")\n'
                                                'TOPIC(d, "d", INT, "1", LOW, DYNAMIC, ANY, WORKS, "D.")\n'
                                                'SYNONYM(T_d, C_d, 1)\n',
                           "broker/x.c": "x = config_int(c, C_a) + TOPIC_INT(d);\n"}, ["b is said to work"]),
    (tidy.check_canaries, {"tests/sim/canaries.def": "# on purpose\n"
                                                     "one | a.c |     f(); |     (void)0; | node | 60\n"
                                                     "two | a.c |     g(); |     (void)0; | node | 60\n"
                                                     "no | a.c |     h() |     (void)0; | node | 60\n",
                           "a.c": "    f();\n    g();\n    g();\n    h();\n"},
     ["canary two: its line occurs 2 times", "canary no: its line occurs 0 times"]),
    (tidy.check_directions, {"base/a.c": '#include "proto/wire.h"\n'}, ["base stands below proto"]),
    (tidy.check_directions, {"log/a.c": '#include "metadata/image.h"\n'}, ["log stands below metadata"]),
    (tidy.check_directions, {"quorum/a.c": '#include "broker/node.h"\n'}, ["quorum stands below broker"]),
    (tidy.check_directions, {"base/a.c": "#include <proto_gen.h>\n"}, ["base stands below proto"]),
    (tidy.check_directions, {"broker/a.c": '#include "tests/check.h"\n'}, ["broker stands below tests"]),
    (tidy.check_directions, {"broker/a.c": '#include "base/mem.h"\n#include "broker/x.h"\n#include <proto_gen.h>\n',
                             "tests/a.c": '#include "broker/x.h"\n'}, []),
    (tidy.check_seams, {"broker/a.c": "#include <uv.h>\n"}, ["uv.h"]),
    (tidy.check_seams, {"metadata/image.c": '#include "records.pb-c.h"\n'}, ["records.pb-c.h"]),
    (tidy.check_seams, {"proto/a.c": "#  include <zstd.h>\n"}, ["zstd.h"]),
    (tidy.check_seams, {"broker/a.c": "#include <raft.h>\n"}, ["raft.h"]),
    (tidy.check_seams, {"broker/api/a.c": "#include <openssl/ssl.h>\n"}, ["openssl/ssl.h"]),
    (tidy.check_seams, {"tools/a.c": "#include <librdkafka/rdkafka.h>\n"}, ["librdkafka"]),
    (tidy.check_seams, {"log/a.c": "#include <pthread.h>\n"}, ["pthread.h"]),
    (tidy.check_seams, {"base/io_uv_x.c": "#include <uv.h>\n", "base/codec.c": "#include <zstd.h>\n",
                        "broker/net/tls.c": "#include <openssl/ssl.h>\n", "tests/a.c": "#include <pthread.h>\n"}, []),
    (tidy.check_words, {"base/a.c": "/* TODO */\n"}, ["leaves work"]),
    (tidy.check_words, {"base/a.c": "__attribute__((no_sanitize(\"thread\")))\n"}, ["sanitizer"]),
    (tidy.check_words, {"README.md": "see /home/somebody/x\n"}, ["one machine"]),
    (tidy.check_words, {"README.md": "see build/work/x, homework, ./root/y\n"}, []),
    (tidy.check_lengths, {"base/a.c": LONG}, ["base/a.c f has 72 lines"]),
    (tidy.check_lengths, {"base/a.c": "int x;\n" * 801}, ["base/a.c - has 801 lines"]),
    (tidy.check_lengths, {"base/a.c": LONG, "tests/tidy.allow": "base/a.c f 72\n"}, []),
    (tidy.check_lengths, {"base/a.c": LONG, "tests/tidy.allow": "base/a.c f 71\n"}, ["71 are allowed"]),
    (tidy.check_lengths, {"base/a.c": LONG, "tests/tidy.allow": "base/a.c f 80\n"}, ["has shrunk from 80 to 72"]),
    (tidy.check_lengths, {"base/a.c": "int x;\n", "tests/tidy.allow": "base/a.c f 80\n"}, ["has shrunk from 80 to few"]),
    (tidy.check_dead, {"tests/lost.c": "int x;\n"}, ["tests/lost.c is used by nothing"]),
    (tidy.check_dead, {"base/lost.h": "int x;\n"}, ["base/lost.h is used by nothing"]),
    (tidy.check_dead, {"tests/lost.py": "x = 1\n"}, ["tests/lost.py is used by nothing"]),
    (tidy.check_dead, {"tests/check.c": "", "Makefile": "x: tests/check.c\n", "base/a.c": '#include "base/a.h"\n',
                       "base/a.h": "", "tests/unit/a.c": "", "tests/b.py": "", "tests/zeta.py": "import b\nzeta"}, ["zeta.py"]),
]

OBJECTS = [
    (tidy.check_outside, "base/a", "#include <time.h>\nlong f(void) { return time(0); }", ["calls time"]),
    (tidy.check_outside, "log/a", "#include <fcntl.h>\nint f(void) { return open(\"x\", 0); }", ["calls open"]),
    (tidy.check_outside, "metadata/a", "#include <stdlib.h>\nint f(void) { return rand(); }", ["calls rand"]),
    (tidy.check_outside, "broker/a", "#include <stdio.h>\nvoid f(void) { printf(\"%d\", 1); }", ["calls printf"]),
    (tidy.check_outside, "broker/b", "#include <stdlib.h>\nchar *f(void) { return getenv(\"x\"); }", ["calls getenv"]),
    (tidy.check_outside, "broker/c", "#define f(x) clock_##x\nlong f(gettime)(int, void *);\nlong g(void) "
                                     "{ return f(gettime)(0, 0); }", ["calls clock_gettime"]),
    (tidy.check_outside, "log/b", "#include <stdlib.h>\nvoid *f(int n) { return malloc(n); }", ["calls malloc"]),
    (tidy.check_outside, "base/mem", "#include <stdlib.h>\nvoid *f(int n) { return malloc(n); }", []),
    (tidy.check_outside, "base/c", "#include <string.h>\nint f(char *s) { return strlen(s) + g(s); }\n"
                                   "int g(char *s) { return memcmp(s, s + 1, *s); }", []),
    (tidy.check_outside, "base/io_uv_x", "int uv_fs_open(void);\nint f(void) { return uv_fs_open(); }", ["uv_fs_open"]),
    (tidy.check_outside, "base/io_uv_y", "int open(void);\nint f(void) { return open(); }", []),
    (tidy.check_globals, "base/a", "int counter = 1;", ["writable global, counter"]),
    (tidy.check_globals, "base/b", "int counter;", ["writable global, counter"]),
    (tidy.check_globals, "base/c", "int f(void) { static int n; return n++; }", ["writable global, n"]),
    (tidy.check_globals, "base/d", "_Thread_local int n;", ["writable global, n"]),
    (tidy.check_globals, "base/e", "static const char *const names[] = {\"a\", \"b\"}; const int k = 3;\n"
                                   "const char *f(int i) { return names[i]; }", []),
]


ERR = "enum __attribute__((warn_unused_result)) err { E_OK };\nenum err f(void);\n"
CASES += [(tidy.check_ignored, {"log/a.c": ERR + "void g(void) { f(); }\n"}, ["log/a.c:3"]),
          (tidy.check_ignored, {"log/a.c": ERR + "int g(void) { return f() != E_OK; }\n"}, [])]


def differs(found, wanted):
    found = list(found)
    ok = len(found) == len(wanted) and all(any(w in f for f in found) for w in wanted)
    return None if ok else f"wanted {wanted}, found {found}"


def main():
    tally = Tally()
    for n, (rule, files, wanted) in enumerate(CASES):
        with tempfile.TemporaryDirectory() as directory:
            tally.test(f"{rule.__name__} {n}", differs(rule(*tree(directory, files)), wanted))
    for rule, path, text, wanted in OBJECTS:
        with tempfile.TemporaryDirectory() as directory:
            tally.test(f"{rule.__name__} {path}", differs(rule(compiled(directory, {path + ".c": text})), wanted))
    with tempfile.TemporaryDirectory() as directory:
        root, files = tree(directory, {"a.c": "int   x;\n", "b.c": "int x;\n"})
        tally.test("check_format", differs(tidy.check_format(root, files), ["a.c isn't"]))
    return tally.end()


if __name__ == "__main__":
    sys.exit(main())
