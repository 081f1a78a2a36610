#!/bin/bash
# run.sh BUILD SECONDS: first the canary, whose planted bug must be found, then every target for its share of the time.
# What a target finds stays in BUILD/found, the inputs worth keeping in BUILD/corpus.
build=$1 seconds=$2
mkdir -p "$build/found" "$build/canary"

"$build/canary_wire" -max_total_time=60 -artifact_prefix="$build/canary/" >"$build/canary/log" 2>&1
if ! grep -q 'heap-buffer-overflow' "$build/canary/log"; then
    echo "canary: the planted bug was NOT found in 60 s"
    exit 1
fi
echo "canary: the planted bug was found"

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
