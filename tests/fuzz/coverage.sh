#!/bin/bash
# Tells how many lines of each source the targets reach, with the files of tests/fuzz/corpus and tests/fuzz/regressions and of
# the folders that are named: CORPUS/TARGET/file, such as a longer run has left.
#
#   tests/fuzz/coverage.sh                            all targets
#   tests/fuzz/coverage.sh connection client origin   these
#   FUZZ_CORPUS=/tmp/found …                          with those files too
#   FUZZ_SHOW_LINES=proxy/fetch.c …                   shows the lines that are not reached
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
top=$(cd "$here/../.." && pwd)
work=$(mktemp -d "${TMPDIR:-/tmp}/weir-coverage.XXXXXX")
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT TERM
build=${FUZZ_BUILD:-$work/build}
version=$(clang --version | sed -n 's/.*version \([0-9]*\).*/\1/p')

MAKEFLAGS='' make -s -f "$here/build.mk" OUT="$build" COVERAGE=1 -j"$(nproc)"
targets=("$@")
[ "${#targets[@]}" -gt 0 ] || mapfile -t targets < <("$build/replay" --list)
for name in "${targets[@]}"; do
    folders=("$here/corpus/$name" "$here/regressions/$name")
    [ -z "${FUZZ_CORPUS:-}" ] || folders+=("$FUZZ_CORPUS/$name")
    LLVM_PROFILE_FILE="$work/$name.profraw" "$build/replay" "$name" "${folders[@]}"
done
"llvm-profdata-$version" merge -o "$work/all.profdata" "$work"/*.profraw
if [ -n "${FUZZ_SHOW_LINES:-}" ]; then
    "llvm-cov-$version" show "$build/replay" -instr-profile="$work/all.profdata" "$top/$FUZZ_SHOW_LINES" |
        grep -E '^ *[0-9]+\| *0\|' || true
    exit
fi
"llvm-cov-$version" export -summary-only "$build/replay" -instr-profile="$work/all.profdata" |
    python3 -c '
import json, sys
for file in json.load(sys.stdin)["data"][0]["files"]:
    lines = file["summary"]["lines"]
    name = file["filename"].removeprefix(sys.argv[1] + "/")
    if lines["covered"] and not name.startswith("tests/"):
        print("{:32}{:5} of {:5} lines, {:5.1f} %".format(name, lines["covered"], lines["count"], lines["percent"]))
' "$top"
