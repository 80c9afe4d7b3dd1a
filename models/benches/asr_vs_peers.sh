#!/bin/sh
# Words, against the same weights in faster-whisper (int8, beam 1) and whisper.cpp (Q8_0): word error rate and seconds of processor, one thread each.
#
#   sh models/benches/asr_vs_peers.sh [DATA]
#
# PACK is `en` (tiny.en, unless said) or `multi` (base, told that it is English). PROMPTS of those whose LENGTHS fit (48 of 2-10 s), drawn
# with SEED, or `all` of them; BATCH turns are decoded together (8). With CORE=1 all run on that core. ROUNDS (1): of several, the best
# counts. PEERS is a list by ";" of `faster-whisper`, `faster-whisper, AVX2` (held to it), `whisper.cpp`.
# DATA (or SOTTO_DATA, or ../shared/data beside the repository) holds speech/MANIFEST.tsv with 270 telephone prompts, and
# text/normalizer, Whisper's own text normaliser. The peers get a scratch venv in target/bench (or the one that SOTTO_BENCH_VENV names).
set -eu

root=$(cd "$(dirname "$0")/../.." && pwd)
data=${1:-${SOTTO_DATA:-$root/../shared/data}}
[ -f "$data/speech/MANIFEST.tsv" ] || { echo "asr_vs_peers: no $data/speech/MANIFEST.tsv: nothing measured" >&2; exit 2; }
. "$root/models/benches/peers.sh"

pack=${PACK:-en}
weights=$(weights "$pack")
ggml=$weights/ggml-q8_0.bin
[ -f "$ggml" ] || "$venv/bin/python" "$root/models/benches/ggml.py" "$weights" "$ggml" q8_0
language=
[ "$pack" = en ] || language="--language en"
# shellcheck disable=SC2086
exec ${CORE:+taskset -c "$CORE"} "$venv/bin/python" "$root/models/benches/asr_vs_peers.py" "$data/speech" "$weights" "$ggml" \
    "$binaries/transcribe" --pack "$root/target/models/$pack" --batch "${BATCH:-8}" $language
