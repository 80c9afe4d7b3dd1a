#!/bin/sh
# Words, against faster-whisper on the same weights: word error rate and seconds, one thread each.
#
#   sh models/benches/asr_vs_peers.sh [DATA]
#
# PACK is `en` (tiny.en, unless said) or `multi` (base, told that it is English). BATCH turns are decoded together (8).
# Words are counted on all 270 prompts, time on those of 2 to 10 s; with TURNS_ONLY=1 both on the latter, which is sooner done.
# DATA (or SOTTO_DATA, or ../shared/data beside the repository) holds speech/MANIFEST.tsv with 270
# telephone prompts and text/normalizer, Whisper's own text normaliser. The peer gets a scratch venv in
# target/bench (or the one that SOTTO_BENCH_VENV names). Both run in turns, ROUNDS times (1), and the
# faster round of each counts, so that a busy moment of the machine does not decide.
set -eu

root=$(cd "$(dirname "$0")/../.." && pwd)
data=${1:-${SOTTO_DATA:-$root/../shared/data}}
[ -f "$data/speech/MANIFEST.tsv" ] || { echo "asr_vs_peers: no $data/speech/MANIFEST.tsv: nothing measured" >&2; exit 2; }
. "$root/models/benches/peers.sh"

pack=${PACK:-en}
weights=$(weights "$pack")
language=
[ "$pack" = en ] || language="--language en"
# shellcheck disable=SC2086
exec "$venv/bin/python" "$root/models/benches/asr_vs_peers.py" "$data/speech" "$weights" "${ROUNDS:-1}" \
    "$binaries/transcribe" --pack "$root/target/models/$pack" --batch "${BATCH:-8}" $language
