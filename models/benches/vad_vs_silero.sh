#!/bin/sh
# Speech or not, against Silero's own Python package: detection error against the reference, and the cost of a leg.
#
#   sh models/benches/vad_vs_silero.sh [DATA]
#
# DATA (or SOTTO_DATA, or ../shared/data beside the repository) holds vad/*.wav, 16 kHz, and vad/*.rttm. PART is `development` (unless said) or `train`.
# The peer gets a scratch venv in target/bench. One thread each; the same files, cut into segments and scored by the same code.
set -eu

root=$(cd "$(dirname "$0")/../.." && pwd)
data=${1:-${SOTTO_DATA:-$root/../shared/data}}
[ -d "$data/vad" ] || { echo "vad_vs_silero: no $data/vad: nothing measured" >&2; exit 2; }
data=$(cd "$data" && pwd)
venv=${SOTTO_VAD_VENV:-$root/target/bench/vad}
if [ ! -x "$venv/bin/python" ]; then
    mkdir -p "$root/target/bench"
    python3 -m venv "$venv"
    # The package's networks are run by onnxruntime, as its own wrapper does; torch, which it also asks for, is not needed for that.
    "$venv/bin/python" -m pip install --quiet --no-deps silero-vad==6.2.3
    "$venv/bin/python" -m pip install --quiet onnxruntime numpy
fi
sh "$root/models/convert/build_pack.sh" en
cd "$root"
[ -n "${SOTTO_BUILT:-}" ] || cargo build --release --quiet --workspace --example vad
export OMP_NUM_THREADS=1 RAYON_NUM_THREADS=1 CANDLE_NUM_THREADS=1
exec "$venv/bin/python" models/benches/vad_vs_silero.py "$data/vad" "${PART:-development}" "${CARGO_TARGET_DIR:-target}/release/examples/vad" target/models/en
