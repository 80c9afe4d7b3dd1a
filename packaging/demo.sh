#!/bin/sh
# The main job on a real call: packets in, scores out of a real broker, and nothing else.
#   sh packaging/demo.sh [SCRIPT.toml]
# Debian 12 with Rust, as root or with sudo. Installs what it needs; run again, it takes seconds.
set -eu
cd "$(dirname "$0")/.."
. packaging/prepare.sh
PATH=$PATH:/usr/sbin
export PATH
script=${1:-tests/calls/01-billing.toml}

install_packages
need_rust
echo "building (the first time takes minutes)"
cargo build --release --quiet --workspace --bins --examples
sh models/convert/build_pack.sh en
bin=${CARGO_TARGET_DIR:-target}/release

work=$(mktemp -d)
children=
stop() {
    # shellcheck disable=SC2086 # a list of process ids
    [ -z "$children" ] || kill $children 2>/dev/null || true
    wait 2>/dev/null || true
    rm -rf "$work"
}
trap stop EXIT
trap 'exit 130' INT TERM

# A port that nobody listens on.
port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
cat > "$work/mosquitto.conf" <<CONF
listener $port 127.0.0.1
allow_anonymous true
CONF
cat > "$work/sotto.toml" <<CONF
[site]
id = "harbor"
node = "rec-1"
[[agents]]
match = "sip:1???@*"
team = "billing"
[models]
pack = "en"
[uplink]
broker = "mqtt://127.0.0.1:$port"
CONF
cat > "$work/charter.toml" <<'CONF'
version = "demo"
profile = "eu"
kpis = ["talk_balance", "interruptions", "silence", "keywords"]
detail = ["talk_balance"]
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
[[purpose]]
metric = "talk_balance"
why = "See whether customers get to speak"
basis = "legitimate interest"
review_by = "2099-01-01"
[[purpose]]
metric = "interruptions"
why = "Find calls in which the two talk past each other"
basis = "legitimate interest"
review_by = "2099-01-01"
[[purpose]]
metric = "silence"
why = "Find where our own systems make people wait"
basis = "legitimate interest"
review_by = "2099-01-01"
[[purpose]]
metric = "keywords"
why = "See which topics come up"
basis = "legitimate interest"
review_by = "2099-01-01"
[[category]]
name = "refund"
phrases = ["refund", "money back", "full amount", "the money"]
[[category]]
name = "greeting"
phrases = ["thank you for calling"]
heard = "agent"
[[category]]
name = "cancellation"
phrases = ["cancel", "cancellation"]
heard = "customer"
CONF

echo
echo "1. a call is made: $script"
"$bin/examples/make_call" "$script" --pcap "$work/call.pcap" --truth "$work/truth.json" --start now
ls -l "$work/call.pcap" | awk '{print "   " $5 " bytes of SIP and RTP packets"}'

echo "2. a broker, and a subscriber of its own, on 127.0.0.1:$port"
mosquitto -c "$work/mosquitto.conf" > "$work/mosquitto.log" 2>&1 &
children="$children $!"
tries=0
until mosquitto_pub -h 127.0.0.1 -p "$port" -t hello -n 2>/dev/null; do
    tries=$((tries + 1)); [ $tries -lt 100 ] || { cat "$work/mosquitto.log" >&2; exit 1; }
    sleep 0.1
done
mosquitto_sub -V mqttv5 -h 127.0.0.1 -p "$port" -q 1 -t 'sotto/#' -F '%t %p' > "$work/heard.txt" &
children="$children $!"

sotto="$bin/sotto --config $work/sotto.toml --charter $work/charter.toml --spool $work/spool.db"
echo "3. what this charter allows, by sotto check"
$sotto check | sed 's/^/   /'
echo "4. sotto uplink speaks, sotto replay hears"
$sotto uplink 2> "$work/uplink.log" &
uplink=$!
children="$children $uplink"
began=$(date +%s.%N)
$sotto replay --publish "$work/call.pcap"
tries=0
until grep -q 'call/score' "$work/heard.txt"; do
    tries=$((tries + 1)); [ $tries -lt 150 ] || { echo "no score came" >&2; cat "$work/uplink.log" >&2; exit 1; }
    sleep 0.2
done
awk "BEGIN { printf \"   packets to score at the subscriber: %.1f s\n\", $(date +%s.%N) - $began }"
# The ledger follows the score within seconds; a clean stop then says offline.
tries=0
until grep 'coverage' "$work/heard.txt" | grep -q '"scored":1' || [ $tries -ge 60 ]; do tries=$((tries + 1)); sleep 0.2; done
kill "$uplink" && wait "$uplink" || true

echo "5. all that the subscriber received"
sed 's/^/   /' "$work/heard.txt"
echo
echo "6. the score, and what is true of this call by construction"
python3 packaging/explain.py "$work/heard.txt" "$work/truth.json"
