#!/bin/bash
# Builds the fuzzers with clang, ASan and UBSan in a folder of its own, and runs each from its seed corpus for a while.
#
#   tests/fuzz/run.sh                       all of them, 20 seconds each
#   FUZZ_SECONDS=600 tests/fuzz/run.sh http1_request
#   FUZZ_SEED=1 …                           draws as that run did; each run prints its seed
#
# What makes one fail is kept in the folder that is named then. Ends with "N passed, N failed".
set -euo pipefail

top=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
seconds=${FUZZ_SECONDS:-20}
seed=${FUZZ_SEED:-$((RANDOM * 32768 + RANDOM + 1))}
clang=${FUZZ_CC:-clang}
work=$(mktemp -d "${TMPDIR:-/tmp}/weir-fuzz.XXXXXX")
trap '[ -e "$work/keep" ] || rm -rf "$work"' EXIT
trap 'exit 130' INT TERM

flags=(-std=gnu17 -D_GNU_SOURCE -g -O1 -I"$top" -Wall -Wextra -Werror
    "-fsanitize=fuzzer-no-link,address,undefined" -fno-sanitize-recover=all -fno-omit-frame-pointer)
read -r -a libevent <<<"$(pkg-config --cflags libevent)"
flags+=("${libevent[@]}")

# compile FOLDER FLAG... : the parser and what it needs of base/
compile() {
    local folder=$1 file
    shift
    mkdir -p "$folder"
    for file in "$top"/net/http1*.c; do
        "$clang" "${flags[@]}" "$@" -c "$file" -o "$folder/$(basename "$file" .c).o"
    done
}

compile "$work/vector"
# The scalar twin: the same sources, every name of theirs that others see renamed.
renames=()
while read -r name; do
    renames+=("-D$name=scalar_$name")
done < <(nm -g --defined-only "$work"/vector/*.o | awk '$3 ~ /^http1_/ { print $3 }')
compile "$work/scalar" -DWEIR_HTTP1_SCALAR "${renames[@]}"

mkdir "$work/base"
for name in assert field str; do
    "$clang" "${flags[@]}" -c "$top/base/$name.c" -o "$work/base/$name.o"
done

passed=0
failed=0
fuzzers=("$@")
[ "${#fuzzers[@]}" -gt 0 ] || fuzzers=(http1_request http1_response http1_trailers http1_chunked)
for name in "${fuzzers[@]}"; do
    what=${name#http1_}
    "$clang" "${flags[@]}" -fsanitize=fuzzer "-DFUZZ_${what^^}" "$top/tests/fuzz/fuzz_http1.c" \
        "$work"/vector/*.o "$work"/scalar/*.o "$work"/base/*.o -o "$work/$name"
    mkdir "$work/$name.corpus" "$work/$name.found"
    if "$work/$name" -seed="$seed" -max_total_time="$seconds" -max_len=4096 -timeout=10 -verbosity=0 \
        -dict="$top/tests/fuzz/http1.dict" -print_final_stats=1 -artifact_prefix="$work/$name.found/" \
        "$work/$name.corpus" "$top/tests/fuzz/corpus/$name" >"$work/$name.log" 2>&1; then
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
