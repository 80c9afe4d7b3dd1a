#!/bin/sh
# Words live: scripted calls over a cable of its own, everything on, in real time:
#   sh tests/live_words.sh [--calls 150] [--seconds 60] [--talk SOUND ...]
# As root. Prints what was shed and when, from the end of a turn to its words counted (median and 95 %), CPU by thread, peak memory, packets lost,
# and whether the ledger adds up. Exit 1 where packets were lost or the ledger does not add up; shedding is told, and no failure.
# SOUND is a script (the ten of tests/calls unless said), or AGENT.wav:CUSTOMER.wav, which may be calls between people.
# The sender shares this machine's cores with the tap: its share is printed too.
set -eu
cd "$(dirname "$0")/.."
calls=150 seconds=60 talk=
while [ $# -gt 0 ]; do
    case $1 in
        --calls) calls=$2; shift 2 ;;
        --seconds) seconds=$2; shift 2 ;;
        --talk) shift; while [ $# -gt 0 ] && [ "${1#--}" = "$1" ]; do talk="$talk $1"; shift; done ;;
        *) echo "usage: sh tests/live_words.sh [--calls N] [--seconds N] [--talk SOUND ...]" >&2; exit 2 ;;
    esac
done
[ -n "$talk" ] || talk=$(echo tests/calls/*.toml)
[ "$(id -u)" = 0 ] || { echo "a network of its own takes root" >&2; exit 1; }
for needed in flite python3; do
    command -v $needed >/dev/null || { echo "please install $needed" >&2; exit 1; }
done
if [ -z "${SOTTO_BUILT:-}" ]; then
    cargo build --release --locked --workspace --bins --example make_traffic
    sh models/convert/build_pack.sh en
fi
target=${CARGO_TARGET_DIR:-target}/release
sotto=$target/sotto traffic=$target/examples/make_traffic
folder=$(mktemp -d)
space=sotto-words-$$
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
cat >"$folder/sotto.toml" <<'TOML'
[site]
id = "harbor"
node = "rec-1"
[[agents]]
match = "sip:1???@*"
team = "billing"
[models]
pack = "en"
[capture]
source = "mirror"
interface = "tap0"
TOML
# Everything on.
cp daemon/src/bench/charter.toml "$folder/charter.toml"
own() {
    "$sotto" --config "$folder/sotto.toml" --charter "$folder/charter.toml" --spool "$folder/spool.db" --models target/models "$@"
}

# Made before anything is measured: 25 KB a call and second.
# shellcheck disable=SC2086 # several sounds
"$traffic" --pcap "$folder/traffic.pcap" --calls "$calls" --seconds "$seconds" --ramp-ms 5000 --talk $talk >/dev/null
ip netns exec "$space" "$sotto" --config "$folder/sotto.toml" --charter "$folder/charter.toml" \
    --spool "$folder/spool.db" --models target/models tap 2>"$folder/log" &
tap=$!
tries=0
until grep -q ready "$folder/log" 2>/dev/null; do
    tries=$((tries + 1))
    [ $tries -lt 400 ] || { echo "the tap does not start:" >&2; cat "$folder/log" >&2; exit 1; }
    sleep 0.05
done
# A thread that ended is not counted below: so the look at the threads comes before the stop.
idle=$(sed -n 's/^VmRSS:[^0-9]*\([0-9]*\) kB/\1/p' "/proc/$tap/status")
began=$(date +%s)
( while sleep 5; do
    own status --json 2>/dev/null | python3 -c '
import json, sys, time
tap = json.load(sys.stdin)["tap"]
print("  %3d s: %d calls open, level %d, %d turns, %d shed, %d waiting, words after %.1f s (95 %% within %.1f s), %d packets lost" % (time.time() - float(sys.argv[1]), tap["calls_open"],
    tap["shed_level"], tap["turns"], tap["turns_shed"], tap["turns_waiting"], tap["words_p50_ms"] / 1e3, tap["words_p95_ms"] / 1e3, tap["packets_dropped"]))' "$began" || true
done ) &
watcher=$!
# tcpreplay waits between packets by turning in a circle, which would take half a core from the tap: this sender sleeps.
ip netns exec "$space" python3 - "$folder" <<'PY'
import socket, struct, sys, time

folder = sys.argv[1]
TICK = 0.002
wire = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
wire.bind(("wire0", 0))
send, clock, unpack = wire.send, time.monotonic, struct.Struct("<IIII").unpack_from
sent, first, late = 0, None, 0.0
with open(folder + "/traffic.pcap", "rb") as file:
    file.read(24)
    rest = b""
    while block := file.read(1 << 20):
        block = rest + block
        at = 0
        while at + 16 <= len(block):
            seconds, micros, length, _ = unpack(block, at)
            if at + 16 + length > len(block):
                break
            stamp = seconds + micros / 1e6
            if first is None:
                first, began, due = stamp, clock(), 0.0
            if stamp - first > due:
                # All of the next two milliseconds together.
                now = clock() - began
                due = stamp - first + TICK
                if due > now:
                    time.sleep(due - now)
                else:
                    late = max(late, now - due)
            send(block[at + 16 : at + 16 + length])
            sent += 1
            at += 16 + length
        rest = block[at:]
took = clock() - began
open(folder + "/sent", "w").write(f"Successful packets: {sent}\nCPU {time.process_time():.1f}\ntook {took:.1f}\nlate {late:.3f}\n")
PY
# The calls end within five seconds, as they began; then the last words come.
sleep 8
kill "$watcher" 2>/dev/null || true
peak=$(sed -n 's/^VmHWM:[^0-9]*\([0-9]*\) kB/\1/p' "/proc/$tap/status")
cat /proc/"$tap"/task/*/stat >"$folder/threads"
kill "$tap"
wait "$tap" || true
tap=
# Its last numbers are written as it stops.
own status --json >"$folder/status" || true
python3 - "$folder" "$calls" "$seconds" "$idle" "$peak" <<'PY'
import json, os, re, sqlite3, sys

folder, calls, seconds, idle, peak = sys.argv[1], *map(int, sys.argv[2:6])
status = json.load(open(folder + "/status"))
tap, ledger = status["tap"], status["ledger"]
sent_text = open(folder + "/sent").read()
sent = int(re.search(r"Successful packets:\s*(\d+)", sent_text).group(1))
sender, took, late = (float(re.search(name + r" ([\d.]+)", sent_text).group(1)) for name in ["CPU", "took", "late"])
tick = os.sysconf("SC_CLK_TCK")
threads = {}
for line in open(folder + "/threads"):
    name, rest = re.match(r"\d+ \((.*)\) (.*)", line).groups()
    fields = rest.split()
    threads[name] = threads.get(name, 0) + (int(fields[11]) + int(fields[12])) / tick
print("CPU s: " + ", ".join(f"{name} {used:.1f}" for name, used in sorted(threads.items(), key=lambda pair: -pair[1]) if used >= 0.05) + f"; the sender {sender:.1f}, its packets up to {late * 1e3:.0f} ms late; {took:.0f} s in all")
print("log: " + "; ".join(line.strip().removeprefix("sotto: ") for line in open(folder + "/log") if "level" in line) if any("level" in line for line in open(folder + "/log")) else "nothing was shed")
database = sqlite3.connect(folder + "/spool.db")
scores = [json.loads(text) for (text,) in database.execute("SELECT score FROM outbox")]
talk = sum(score.get("talk_time_agent_ms", 0) + score.get("talk_time_customer_ms", 0) for score in scores) / 1e3
length = sum(score["call_duration_ms"] for score in scores) / 1e3
levels = {}
for score in scores:
    levels[score["shed_level"]] = levels.get(score["shed_level"], 0) + 1
shed = sum("shed" in score.get("unavailable", "") for score in scores)
print(f"{len(scores)} scores; talk of both sides {talk / max(length, 1):.2f} s a second of call; lowest level by call {dict(sorted(levels.items()))}; {shed} lack a field for it")
print(f"turns: {tap['turns']} counted, {tap['turns_shed']} shed; words after {tap['words_p50_ms'] / 1e3:.2f} s, 95 % within {tap['words_p95_ms'] / 1e3:.2f} s of the end of the turn (last minute)")
steps = {name: tap[name] for name in ["shed_agent_words", "shed_unsampled_words", "shed_all_words", "shed_sound", "shed_media"]}
print(f"steps down: {steps}; level at the end {tap['shed_level']}")
print(f"memory: {idle / 1024:.0f} MiB before the first call, peak {peak / 1024:.0f} MiB; target 256 MiB")
lost = max(sent - tap["packets"], tap["packets_dropped"])
print(f"packets: sent {sent}, heard {tap['packets']}, lost {lost}; target 0")
adds_up = status["calls_seen"] == sum(ledger.values()) == calls
print(f"ledger: {({name: n for name, n in ledger.items() if n})}: {'adds up' if adds_up else 'DOES NOT ADD UP'} to {calls} calls")
sys.exit(lost > 0 or not adds_up)
PY
