#!/bin/sh
# The arithmetic on processors that this machine is not: the kernels' tests under an emulator.
#
#   sh models/benches/lesser_processors.sh
#
# Needs qemu-x86_64 (Debian package qemu-user). Haswell has AVX2 without VNNI, where pairs of products are added in 16
# bits; Westmere has nothing that our products use. How fast they would be it does not tell: for AVX2 on
# this machine see `SOTTO_INSTRUCTIONS=avx2` and the example `kernels`.
set -eu

root=$(cd "$(dirname "$0")/../.." && pwd)
command -v qemu-x86_64 > /dev/null || { echo "lesser_processors: no qemu-x86_64: nothing tested" >&2; exit 2; }
cd "$root"
tests=${SOTTO_BENCH_TESTS:-$(cargo test --release --workspace --lib --no-run --message-format=json 2> /dev/null |
    sed -n 's/.*"name":"sotto_models".*"executable":"\([^"]*\)".*/\1/p' | tail -1)}
[ -x "$tests" ] || { echo "lesser_processors: the tests of sotto-models were not built" >&2; exit 1; }
failed=0
output=$(mktemp)
trap 'rm -f "$output"' EXIT
for processor in Haswell Westmere; do
    echo "$processor:"
    qemu-x86_64 -cpu "$processor" "$tests" kernels:: --test-threads 1 > "$output" 2> /dev/null || failed=1
    grep -E '^test ' "$output" || failed=1
done
exit "$failed"
