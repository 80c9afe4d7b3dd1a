#!/bin/sh
# A campaign of reloads while calls run: sh tests/reloads.sh [RELOADS], 200 without a number; some five minutes.
# Debian 12 with Rust, as root or with sudo. Installs what it needs.
set -eu
cd "$(dirname "$0")/.."
. packaging/prepare.sh
install_packages tcpreplay:tcpreplay ip:iproute2
need_rust
cargo build --release --locked --workspace
SOTTO_RELOADS=${1:-200} cargo test --release --locked --workspace --test reload no_call_is_lost -- --nocapture
