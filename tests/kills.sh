#!/bin/sh
# A campaign of kills of tap, uplink, collector and broker: sh tests/kills.sh [KILLS], 2,000 without a number; some 20 minutes.
# Debian 12 with Rust, as root or with sudo. Installs what it needs.
set -eu
cd "$(dirname "$0")/.."
. packaging/prepare.sh
install_packages ip:iproute2 tcpreplay:tcpreplay
need_rust
cargo build --release --locked --workspace
SOTTO_KILLS=${1:-2000} cargo test --release --locked --workspace --test kill with_a_collector -- --nocapture
