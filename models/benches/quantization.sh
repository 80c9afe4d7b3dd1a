#!/bin/sh
# What each way to store Whisper's matrices costs: file size, word error rate, seconds of processor.
#
#   sh models/benches/quantization.sh [en|multi] [DATA]
#
# DATA (or SOTTO_DATA, or ../shared/data beside the repository) holds speech/MANIFEST.tsv and text/normalizer. In
# memory all become i8 with one scale for each output, so what is stored decides the size and, by being rounded
# twice, the errors; the speed is the same.
set -eu

root=$(cd "$(dirname "$0")/../.." && pwd)
pack=${1:-en}
data=${2:-${SOTTO_DATA:-$root/../shared/data}}
[ -f "$data/speech/MANIFEST.tsv" ] || { echo "quantization: no $data/speech/MANIFEST.tsv: nothing measured" >&2; exit 2; }
data=$(cd "$data" && pwd)
scratch="$root/target/bench"
mkdir -p "$scratch"
export PYTHONPATH="$scratch/python:$data/text" RAYON_NUM_THREADS=1 CANDLE_NUM_THREADS=1
python3 -c 'import regex, more_itertools' 2>/dev/null || {
    [ -x "$scratch/venv/bin/python" ] || python3 -m venv "$scratch/venv"
    "$scratch/venv/bin/python" -m pip install --quiet --target "$scratch/python" regex more-itertools
}

sh "$root/models/convert/build_pack.sh" "$pack"
cd "$root"
# With the whole workspace, whose build is there already: another selection would build candle a second time.
[ -n "${SOTTO_BENCH_BUILT:-}" ] || cargo build --release --quiet --workspace --example transcribe --example convert
binaries="${SOTTO_BENCH_BUILT:-${CARGO_TARGET_DIR:-$root/target}/release/examples}"
language=
[ "$pack" = en ] || language="--language en"

printf '%-10s %-10s %-10s %9s %8s %12s\n' encoder decoder embedding MB 'WER %' 'processor s'
while read -r encoder decoder embedding; do
    stored="$scratch/quantization-$pack"
    rm -rf "$stored"
    "$binaries/convert" --encoder "$encoder" --decoder "$decoder" --embedding "$embedding" \
        "models/packs/$pack.toml" "target/models/.fetched/$pack" "$stored"
    size=$(wc -c < "$stored/whisper.gguf")
    # shellcheck disable=SC2086
    measured=$(python3 models/benches/words_wrong.py "$data/speech" "$binaries/transcribe" --pack "$stored" $language)
    printf '%-10s %-10s %-10s %9s %8s %12s\n' "$encoder" "$decoder" "$embedding" "$(awk "BEGIN { printf \"%.1f\", $size / 1e6 }")" $measured
    rm -rf "$stored"
done <<TABLE
f16 f16 f16
q8_0 q8_0 q8_0
q5_0 q8_0 q8_0
q8_0 q5_0 q8_0
q8_0 q8_0 q5_0
q5_0 q5_0 q5_0
q4_0 q4_0 q4_0
TABLE
