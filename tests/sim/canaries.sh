#!/bin/bash
# Each row of canaries.def: one line of the product is replaced in a copy, its object rebuilt, the simulator relinked, and
# some seed must fail. A line that doesn't occur exactly once fails; `check` as an argument looks at nothing else, a name
# runs that one alone. V=opt is faster, without sanitizers.
set -euo pipefail
cd "$(dirname "$0")/../.."
only=${1:-}
v=${V:-asan}
out=build/$v/canary
failed=0
mkdir -p $out
trim() { sed 's/^ //; s/ $//' <<<"$1"; } # the blanks around the bars; an indented line keeps its own

build() { # file, copy
    local object=build/$v/${1%.c}.o make="make --no-print-directory V=$v -n"
    local cc ld
    cc=$($make -W "$1" "$object" | grep -o 'gcc .* -c .*' | head -1)
    ld=$($make -W tests/sim/main.c "build/$v/sim" | grep -o "gcc .* -o build/$v/sim .*" | head -1)
    cc=${cc/-c $1/-c $2}
    eval "${cc/-o $object/-o $out/canary.o} -iquote $(dirname "$1") -MF $out/canary.d"
    # Before the archive: what the canary defines isn't looked for there.
    ld=${ld/-o build\/$v\/sim/-o $out\/sim}
    eval "${ld/build\/$v\/tests\/sim\/main.o/$out\/canary.o build\/$v\/tests\/sim\/main.o}"
}

while IFS='|' read -r name file line with scenario seeds; do
    [[ $name == \#* || -z $name ]] && continue
    name=$(trim "$name") file=$(trim "$file") scenario=$(trim "$scenario") seeds=$(trim "$seeds")
    [[ -n $only && $only != check && $only != "$name" ]] && continue
    line=${line# } line=${line% } with=${with# } with=${with% }
    if [ "$(grep -Fxc -- "$line" "$file")" != 1 ]; then
        echo "FAIL canary $name: its line doesn't occur exactly once in $file"
        failed=1
        continue
    fi
    [ "$only" = check ] && continue
    LINE=$line WITH=$with awk '$0 == ENVIRON["LINE"] {print ENVIRON["WITH"]; next} {print}' "$file" >$out/canary.c
    build "$file" $out/canary.c
    caught=
    for ((seed = 1; seed <= seeds && ! ${#caught}; seed += 10)); do
        $out/sim 10 $seed "$scenario" >$out/log 2>&1 || caught=$(grep -m1 -o "^FAIL $scenario, seed [0-9]*" $out/log || true)
    done
    if [ -n "$caught" ]; then
        echo "caught $name: ${caught#FAIL } ($(grep -m1 -E 'judge:|assertion' $out/log | cut -c1-100))"
    else
        echo "FAIL canary $name: not caught within $seeds seeds"
        failed=1
    fi
done <tests/sim/canaries.def
exit $failed
