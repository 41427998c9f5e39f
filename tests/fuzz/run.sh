#!/bin/bash
# Fuzzes the targets of tests/fuzz/fuzz.h with libFuzzer, ASan and UBSan: each from its corpus, by default a fixed number of
# runs that together take about a minute.
#
#   tests/fuzz/run.sh                              all of them
#   tests/fuzz/run.sh http1_request vary           these
#   FUZZ_SECONDS=600 tests/fuzz/run.sh             for so long each ("make fuzz")
#   FUZZ_SEED=1 …                                  draws as that run did; each run prints its seed
#   FUZZ_BUILD=/tmp/weir-fuzz …                    builds there, and only what has changed
#
# What makes one fail is kept in the folder that is named then; put it into tests/fuzz/regressions/TARGET/ with the
# correction. Ends with "N passed, N failed".
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
seconds=${FUZZ_SECONDS:-}
mapfile -t known < <(sed -n 's/^    X(\([a-z0-9_]*\)).*/\1/p' "$here/fuzz.h")
targets=("$@")
[ "${#targets[@]}" -gt 0 ] || targets=("${known[@]}")
for name in "${targets[@]}"; do
    if [[ " ${known[*]} " != *" $name "* ]]; then
        echo "$0: there is no target \"$name\"; known are: ${known[*]}" >&2
        exit 1
    fi
done
if [ -n "$seconds" ] && [[ ! $seconds =~ ^[1-9][0-9]*$ ]]; then
    echo "$0: FUZZ_SECONDS is \"$seconds\": give a whole number of seconds, at least 1" >&2
    exit 1
fi

seed=${FUZZ_SEED:-$((RANDOM * 32768 + RANDOM + 1))}
work=$(mktemp -d "${TMPDIR:-/tmp}/weir-fuzz.XXXXXX")
trap '[ -e "$work/keep" ] || rm -rf "$work"' EXIT
trap 'exit 130' INT TERM
build=${FUZZ_BUILD:-$work/build}

echo "building $build/fuzz with ${FUZZ_CC:-clang}" >&2
MAKEFLAGS='' make -s -f "$here/build.mk" OUT="$build" CLANG="${FUZZ_CC:-clang}" -j"$(nproc)"

# fuzz NAME: one target, its output in a log.
fuzz() {
    local name=$1 runs=100000 dict=$here/http.dict seeds=("$here/corpus/$1") options=()
    [ ! -d "$here/regressions/$name" ] || seeds+=("$here/regressions/$name")
    case $name in
        config) dict=$here/config.dict runs=20000 ;;
        # Whole connections have too many features for the sums that libFuzzer's schedule takes.
        connection | client | origin) runs=10000 options+=(-entropic=0) ;;
    esac
    [ -z "$seconds" ] && options+=("-runs=$runs") || options+=("-max_total_time=$seconds")
    mkdir -p "$work/$name.corpus" "$work/$name.found"
    FUZZ_TARGET=$name "$build/fuzz" "${options[@]}" -dict="$dict" -max_len=4096 -seed="$seed" -timeout=10 -verbosity=0 -print_final_stats=1 \
        -artifact_prefix="$work/$name.found/" "$work/$name.corpus" "${seeds[@]}" >"$work/$name.log" 2>&1
}

passed=0
failed=0
for name in "${targets[@]}"; do
    if fuzz "$name"; then
        executed=$(sed -n 's/^stat::number_of_executed_units: //p' "$work/$name.log")
        echo "$name: $executed executions, seed $seed"
        passed=$((passed + 1))
    else
        tail -40 "$work/$name.log"
        echo "$name: failed with seed $seed; kept: $work/$name.found"
        touch "$work/keep"
        failed=$((failed + 1))
    fi
done
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
