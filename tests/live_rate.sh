#!/bin/sh
# What the tap hears of a loaded mirror port: 2,000 G.711 calls, 200,000 packets a second, over a cable of its own:
#   sh tests/live_rate.sh [--seconds 10 | --minutes 5] [--calls 2000]
# As root. Prints packets sent, heard and dropped, CPU, peak memory, and the memory of an idle call. Exit 1 where anything was lost, or where
# the sender fell behind. The load comes from send_traffic, which keeps its time on a core that others share; what tcpreplay, as a sender
# that knows nothing of sotto, reaches on the same cable is told beside it.
# The charter asks for nothing that needs a model: calls and streams are followed, counted and scored by their signalling.
set -eu
cd "$(dirname "$0")/.."
calls=2000 seconds=10 few_seconds=5
while [ $# -gt 0 ]; do
    case $1 in
        --seconds) seconds=$2 ;;
        --minutes) seconds=$(($2 * 60)) ;;
        --calls) calls=$2 ;;
        *) echo "usage: sh tests/live_rate.sh [--seconds N | --minutes N] [--calls N]" >&2; exit 2 ;;
    esac
    shift 2
done
[ "$(id -u)" = 0 ] || { echo "a network of its own takes root" >&2; exit 1; }
command -v tcpreplay >/dev/null || { echo "please install tcpreplay" >&2; exit 1; }
cargo build --release --locked --workspace --bins --example make_traffic --example send_traffic
target=${CARGO_TARGET_DIR:-target}/release
sotto=$target/sotto traffic=$target/examples/make_traffic sender=$target/examples/send_traffic
folder=$(mktemp -d)
space=sotto-rate-$$
tap=
finish() {
    [ -z "$tap" ] || kill "$tap" 2>/dev/null || true
    ip netns del "$space" 2>/dev/null || true
    rm -rf "$folder"
}
trap finish EXIT
ip netns add "$space"
ip -n "$space" link add wire0 type veth peer name tap0
ip -n "$space" link set wire0 up
ip -n "$space" link set tap0 up
cat >"$folder/sotto.toml" <<'END'
[site]
id = "harbor"
node = "rec-1"
[[agents]]
match = "sip:1???@*"
team = "billing"
[capture]
source = "mirror"
interface = "tap0"
END
printf 'version = "1"\nprofile = "uk"\nkpis = []\n[retention]\nscores_days = 7\n' >"$folder/charter.toml"

# Starts a tap on a spool of its own, and waits until it hears.
start() {
    rm -f "$folder"/spool.db* "$folder/log"
    ip netns exec "$space" env CANDLE_NUM_THREADS=1 RAYON_NUM_THREADS=1 "$sotto" --config "$folder/sotto.toml" --charter "$folder/charter.toml" \
        --spool "$folder/spool.db" tap 2>"$folder/log" &
    tap=$!
    tries=0
    until grep -q ready "$folder/log" 2>/dev/null; do
        tries=$((tries + 1))
        [ $tries -lt 200 ] || { echo "the tap does not start:" >&2; cat "$folder/log" >&2; exit 1; }
        sleep 0.05
    done
}

# Ends it, once it has read what the kernel still holds; its last numbers then lie in the spool.
stop() {
    sleep 1
    kill "$tap"
    wait "$tap" || true
    tap=
}

status() {
    "$sotto" --config "$folder/sotto.toml" --charter "$folder/charter.toml" --spool "$folder/spool.db" status --json || true
}

memory() {
    sed -n "s/^$1:[^0-9]*\([0-9]*\) kB/\1/p" "/proc/$tap/status"
}

echo "memory of idle calls:"
start
before=$(memory VmRSS)
few=2000 many=18000
"$traffic" --pcap "$folder/few.pcap" --calls $few --seconds 0 --no-bye --ramp-ms 1000 >/dev/null
ip netns exec "$space" tcpreplay --quiet --intf1 wire0 "$folder/few.pcap" >/dev/null 2>&1
sleep 1
first=$(memory VmRSS)
stop
start
"$traffic" --pcap "$folder/many.pcap" --calls $many --seconds 0 --no-bye --ramp-ms 4000 >/dev/null
ip netns exec "$space" tcpreplay --quiet --intf1 wire0 "$folder/many.pcap" >/dev/null 2>&1
sleep 1
second=$(memory VmRSS)
stop
echo "  the tap alone $before KiB, with $few calls $first KiB, with $many calls $second KiB: $(((second - first) * 1024 / (many - few))) bytes a call; target 48 KiB"

# The same traffic by both senders, tcpreplay for some seconds only: its file would fill a disk.
heard() {
    status | python3 -c '
import json, os, sys
sent, lateness, peak, ticks = int(sys.argv[1]), float(sys.argv[2]), int(sys.argv[3]), eval(sys.argv[4])
status = json.load(sys.stdin)
tap, ledger = status["tap"], status["ledger"]
heard, dropped, bound, unbound = (tap[name] for name in ["packets", "packets_dropped", "rtp_packets", "rtp_unbound"])
shed = tap["packets_shed"]
print(f"  sent {sent}, heard {heard}, dropped by the kernel {dropped}, left out for want of time {shed}; RTP of calls {bound}, of none {unbound}")
print("  calls:", {name: n for name, n in ledger.items() if n})
cpu = ticks / os.sysconf("SC_CLK_TCK")
print(f"  CPU of the tap {cpu:.1f} s, peak memory {peak / 1024:.0f} MiB")
lost = max(sent - heard, dropped) + shed
print(f"  lost {lost}; target 0")
sys.exit(lost > 0 or lateness > 1_000)' "$@"
}

# Runs a sender, which leaves how many it sent and how late it was at most, milliseconds.
load() {
    start
    "$@"
    sleep 1
    peak=$(memory VmHWM)
    ticks=$(cut -d' ' -f14,15 "/proc/$tap/stat" | tr ' ' '+')
    stop
    heard "$sent" "$late" "$peak" "$ticks"
}

replayed() {
    # On a busy box it takes an age: interrupted, it says how far it got.
    ip netns exec "$space" timeout --signal INT 40 tcpreplay --intf1 wire0 "$folder/load.pcap" >"$folder/sent" 2>&1 || true
    sed 's/^/  tcpreplay: /' "$folder/sent" | grep -E 'Actual|Rated' || true
    sent=$(sed -n 's/^[[:space:]]*Successful packets:[[:space:]]*//p' "$folder/sent") late=0
    sent=${sent:-0}
}

sent_here() {
    ip netns exec "$space" "$sender" --interface wire0 --calls "$calls" --seconds "$seconds" >"$folder/sent"
    sed 's/^/  send_traffic: /' "$folder/sent"
    sent=$(sed 's/.*"packets":\([0-9]*\).*/\1/' "$folder/sent") late=$(sed 's/.*"latest_ms":\([0-9.]*\).*/\1/' "$folder/sent")
}

echo "$calls calls for $few_seconds s by tcpreplay:"
"$traffic" --pcap "$folder/load.pcap" --calls "$calls" --seconds "$few_seconds" >/dev/null
load replayed || true
rm "$folder/load.pcap"
echo "$calls calls for $seconds s, $((calls * 100)) packets/s while all talk:"
load sent_here
