#!/bin/bash
# run.sh BUILD SECONDS: first the canaries, whose planted bugs must be found, then every target for its share of the time.
# What a target finds stays in BUILD/found, the inputs worth keeping in BUILD/corpus.
build=$1 seconds=$2
mkdir -p "$build/found" "$build/canary"

for canary in "$build"/canary_*; do
    name=$(basename "$canary")
    "$canary" -max_total_time=60 -max_len=4096 -artifact_prefix="$build/canary/$name-" >"$build/canary/$name.log" 2>&1
    if ! grep -qE 'heap-buffer-overflow|assertion failed' "$build/canary/$name.log"; then
        echo "$name: the planted bug was NOT found in 60 s"
        exit 1
    fi
    echo "$name: the planted bug was found"
done

targets=("$build"/fuzz_*)
share=$((seconds / ${#targets[@]}))
passed=0 failed=0
for target in "${targets[@]}"; do
    name=$(basename "$target")
    mkdir -p "$build/corpus/$name"
    if "$target" -max_total_time=$((share > 0 ? share : 1)) -max_len=4096 -rss_limit_mb=1024 -timeout=10 \
        -artifact_prefix="$build/found/$name-" "$build/corpus/$name" >"$build/found/$name.log" 2>&1; then
        passed=$((passed + 1))
        grep -E '^Done' "$build/found/$name.log" | sed "s/^/$name: /"
    else
        failed=$((failed + 1))
        tail -30 "$build/found/$name.log"
    fi
done
echo "$passed passed, $failed failed"
[ $failed -eq 0 ]
