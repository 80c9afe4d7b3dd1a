#!/bin/sh
# A week without a broker, and what comes after: sh tests/backlog.sh [SCORES], 1,000,000 without a number; some 15 minutes and 2 GiB in /tmp.
# Debian 12 with Rust, as root or with sudo. Installs what it needs.
set -eu
cd "$(dirname "$0")/.."
. packaging/prepare.sh
install_packages
need_rust
cargo build --release --locked --workspace
SOTTO_BACKLOG=${1:-1000000} cargo test --release --locked --workspace --test backlog -- --nocapture
