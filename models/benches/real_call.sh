#!/bin/sh
# A real call, two legs of spontaneous speech: what tiny.en and base make of it, here and in faster-whisper (beam 1 and 5).
#
#   sh models/benches/real_call.sh [DATA]
#
# DATA (or SOTTO_DATA, or ../shared/data beside the repository) holds calls/ and text/normalizer. With WORDS=1 what was heard
# is printed where the hearings part: to the terminal, and nowhere else.
set -eu

root=$(cd "$(dirname "$0")/../.." && pwd)
data=${1:-${SOTTO_DATA:-$root/../shared/data}}
[ -d "$data/calls" ] || { echo "real_call: no $data/calls: nothing heard" >&2; exit 2; }
. "$root/models/benches/peers.sh"

en=$(weights en)
multi=$(weights multi)
exec "$venv/bin/python" "$root/models/benches/real_call.py" "$data/calls" "$binaries" "$root/target/models" "en=$en" "multi=$multi"
