#!/bin/bash
# `weir dump` prints what Kafka's DumpLogSegments prints of the same files. test_dump.sh PATH-OF-WEIR
set -eu
weir=$(realpath "$1")
cd "$(dirname "$0")/dump"
got=$(mktemp)
trap 'rm -f "$got"' EXIT
grep '^### ' expected.txt | while read -r _ file flags; do
    echo "### $file $flags"
    # shellcheck disable=SC2086 # flags are words
    "$weir" dump --files "$file" $flags 2>/dev/null || true
done >"$got"
diff -u expected.txt "$got" >&2 || { echo "not what Kafka prints" >&2; exit 1; }

# What is wrong is said, and scripts can tell by the exit code.
check() { # check CODE WORDS ARGS…
    local want=$1 words=$2 code=0 said
    shift 2
    said=$("$weir" dump "$@" 2>&1 >/dev/null) || code=$?
    [ "$code" = "$want" ] && [[ "$said" == *"$words"* ]] || { echo "$*: exit $code, \"$said\"" >&2; exit 1; }
}
check 1 "no batch begins at 570" --files 00000000000000000100.log
check 1 "index offset: 110, log offset: 111" --files 00000000000000000100.index --verify-index-only
check 1 "comes after 1700000000021" --files 00000000000000000100.timeindex
check 1 "100.log: offset 107 is followed by 110" --files 00000000000000000100.log --deep-iteration
check 1 "no such file" --files 00000000000000000300.log
check 0 "" --files 00000000000000000113.snapshot
check 2 "which files?" --deep-iteration
check 2 "Java classes" --files x.log --value-decoder-class a.B
"$weir" dump --json --files 00000000000000000100.log --print-data-log 2>/dev/null |
    python3 -c 'import json, sys; v = [json.loads(line) for line in sys.stdin]; assert len(v) == 6 and v[1]["records"][2]["sequence"] == 0'
