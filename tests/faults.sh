#!/bin/sh
# A campaign of faults between boxes and their broker: sh tests/faults.sh [FAULTS], 10,000 without a number; some 15 minutes.
# Debian 12 with Rust, as root or with sudo. Installs what it needs.
set -eu
cd "$(dirname "$0")/.."
. packaging/prepare.sh
install_packages
need_rust
# What a disk takes for each commit is not what is tested.
[ ! -w /dev/shm ] || export TMPDIR=/dev/shm
SOTTO_FAULTS=${1:-10000} cargo test --release --locked --workspace --test faults -- --nocapture
