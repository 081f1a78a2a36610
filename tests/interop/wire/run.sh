#!/bin/bash
# Compares our codec with Kafka's own message classes: every message, every version, random values, both ways.
#   tests/interop/wire/run.sh [SEED] [ROUNDS]
set -e -o pipefail
cd "$(dirname "$0")/../../.."
seed=${1:-$RANDOM} rounds=${2:-25}
out=build/interop/wire
mkdir -p $out
echo "seed $seed, $rounds values of each message and version"

make --no-print-directory -s build/opt/wire_gen
if [ ! -e $out/classpath ] || [ tests/interop/wire/pom.xml -nt $out/classpath ]; then
    ask="dependency:build-classpath -Dmdep.outputFile=$PWD/$out/classpath.new"
    mvn -B -q -o -f tests/interop/wire/pom.xml $ask || mvn -B -q -f tests/interop/wire/pom.xml $ask
    mv $out/classpath.new $out/classpath
fi
javac -nowarn -proc:none -cp "$(cat $out/classpath)" -d $out tests/interop/wire/WireDiff.java

status=0
build/opt/wire_gen make $seed $rounds >$out/ours
java -XX:TieredStopAtLevel=1 -cp "$out:$(cat $out/classpath)" WireDiff $out/ours $out/theirs $seed $rounds 2>&1 |
    grep -v '^SLF4J' || status=1
build/opt/wire_gen check $out/theirs || status=1
exit $status
