#!/bin/sh
# Passes the tests: sh tests/run.sh
# Debian 12 with Rust, as root or with sudo. Installs what it needs. Prints its time per part, and warns where CI would be too slow.
set -eu
cd "$(dirname "$0")/.."
. packaging/prepare.sh
PATH=$PATH:/usr/sbin:/sbin
export PATH
began=$(date +%s)
parts=
part() {
    name=$1
    shift
    echo
    echo "== $name"
    since=$(date +%s)
    "$@"
    parts="$parts$name: $(($(date +%s) - since)) s
"
}

part packages install_packages minisign:minisign nft:nftables tshark:tshark tcpreplay:tcpreplay sipp:sip-tester baresip:baresip-core ip:iproute2 git:git patch:patch
need_rust
# One selection and one profile throughout: everything is built once.
part build cargo build --release --locked --workspace --all-targets
part "model pack" sh models/convert/build_pack.sh en
part tests cargo test --release --locked --workspace --no-fail-fast -- --test-threads=2
part demo sh packaging/demo.sh

total=$(($(date +%s) - began))
echo
printf '%s' "$parts"
echo "total: $total s"
[ $total -le 2400 ] || echo "warning: over 40 minutes; move what is long behind a script of its own"
