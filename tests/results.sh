#!/bin/bash
# results.sh NAME COMMAND...: runs a part of the tests, keeps its output in build/results/NAME and shows it, but for the
# lines that nodes log. A part that gives no line `N passed, N failed` is one test: its exit code. So is one that failed without counting a failure.
name=$1
shift
out=build/results/$name
mkdir -p build/results
began=$(date +%s)
echo "$name:"
"$@" </dev/null 2>&1 | tee "$out" | grep -a --line-buffered -vE '^[0-9]{4}-[0-9]{2}-[0-9]{2}T'
code=${PIPESTATUS[0]}
counted=$(grep -aE '^[0-9]+ passed, [0-9]+ failed(, [0-9]+ skipped)?$' "$out" | tail -1)
if [ -z "$counted" ]; then
    [ "$code" = 0 ] && counted='1 passed, 0 failed' || counted='0 passed, 1 failed'
    echo "$counted" | tee -a "$out"
elif [ "$code" != 0 ] && [[ $counted =~ ' 0 failed' ]]; then
    echo "exit code $code"
    echo "${counted/ 0 failed/ 1 failed}" | tee -a "$out"
fi
echo "  $name took $(($(date +%s) - began)) s"
