#!/bin/sh
# Pictures of the dashboards over an hour of scripted calls, to be looked at: sh tests/pictures.sh [FOLDER], target/pictures without one.
# Debian 12 with Rust, as root or with sudo; Node-RED comes from npm. Installs what it needs; some 10 minutes.
set -eu
cd "$(dirname "$0")/.."
. packaging/prepare.sh
install_packages chromium:chromium npm:npm
need_rust
cargo build --release --locked --workspace --bins --examples
sh models/convert/build_pack.sh en
target=${CARGO_TARGET_DIR:-target}
out=${1:-$target/pictures}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/python"
"$work/python/bin/pip" install --quiet websocket-client==1.9.2
npm install --prefix "$work/npm" --no-audit --no-fund --silent node-red@4.1.15

cat >"$work/sotto.toml" <<'END'
[site]
id = "harbor"
node = "rec-1"
[[agents]]
match = "sip:1???@*"
team = "billing"
[models]
pack = "en"
END
{
    cat <<'END'
version = "pictures"
profile = "eu"
kpis = ["talk_balance", "interruptions", "silence", "sentiment_customer", "resolution"]
[[consent]]
match = "*"
customer = "notice"
notice = "N-1"
agent = "agreement"
[controller]
name = "Harbor Telecom"
contact = "privacy@harbor.example"
[agreement]
name = "Works agreement 7"
parties = ["Harbor Telecom", "Works council"]
signed = "2026-10-01"
[retention]
scores_days = 7
END
    for metric in talk_balance interruptions silence sentiment_customer resolution; do
        printf '[[purpose]]\nmetric = "%s"\nwhy = "To see how calls go"\nbasis = "legitimate interest"\nreview_by = "2099-01-01"\n' $metric
    done
} >"$work/charter.toml"
for script in tests/calls/*.toml; do
    name=$(basename "$script" .toml)
    "$target/release/examples/make_call" "$script" --pcap "$work/$name.pcap" >/dev/null
    "$target/release/sotto" --config "$work/sotto.toml" --charter "$work/charter.toml" replay "$work/$name.pcap" >"$work/$name.jsonl"
done
"$work/python/bin/python" tests/pictures/pictures.py "$work" packaging/dashboards "$out" "$work/npm/node_modules/.bin/node-red"
