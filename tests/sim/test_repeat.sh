#!/bin/bash
# The same seeds give the same trace, byte for byte, in two processes that differ in environment and addresses.
set -euo pipefail
sim=$1
seeds=${2:-5}
first=$(env -i PAD=x "$sim" "$seeds" 1 -v | sha256sum)
second=$(env -i PAD="$(printf 'y%.0s' {1..5000})" OTHER=1 "$sim" "$seeds" 1 -v | sha256sum)
other=$(env -i "$sim" "$seeds" 2 -v | sha256sum)
if [ "$first" != "$second" ] || [ "$first" = "$other" ]; then
    echo "$seeds seeds gave two traces: $first $second; other seeds: $other"
    exit 1
fi
echo "same seeds, same trace"
