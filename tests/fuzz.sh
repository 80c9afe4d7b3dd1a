#!/bin/sh
# Fuzzes the production parsers, each target for a time of its own: sh tests/fuzz.sh [seconds a target, 60] [target...]
# Prints executions and crashes per target; exit 1 where anything crashed. What crashed lies in tests/fuzz/artifacts.
# Uses the stable compiler with its nightly switches, which the instrumentation needs; installs cargo-fuzz where it is missing.
set -eu
cd "$(dirname "$0")"
seconds=${1:-60}
[ $# -eq 0 ] || shift
[ $# -gt 0 ] || set -- sip sdp siprec_xml multipart rtp decap tcp pcap g722 opus
export RUSTC_BOOTSTRAP=1
command -v cargo-fuzz >/dev/null || cargo install --locked cargo-fuzz
log=$(mktemp)
grown=$(mktemp -d)
trap 'rm -rf "$log" "$grown"' EXIT
crashed=0
for target in "$@"; do
    mkdir -p "$grown/$target"
    # New inputs go to the first folder; the committed corpus is only read.
    if cargo fuzz run --sanitizer none "$target" "$grown/$target" "fuzz/corpus/$target" -- -max_total_time="$seconds" -max_len=4096 -timeout=120 \
        -rss_limit_mb=1024 -print_final_stats=1 >"$log" 2>&1; then
        crashes=0
    else
        crashes=1
        crashed=1
        tail -n 30 "$log" >&2
    fi
    executions=$(sed -n 's/^stat::number_of_executed_units: *//p' "$log")
    printf '%-12s %12s executions in %s s, %s crashes\n' "$target" "${executions:-none}" "$seconds" $crashes
done
exit $crashed
