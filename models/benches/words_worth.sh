#!/bin/sh
# What is said of each word beside its text: its time, against a synthetic voice's, and its confidence, against the transcripts.
#
#   sh models/benches/words_worth.sh [DATA]
#
# PACK is `en` (unless said) or `multi`. DATA (or SOTTO_DATA, or ../shared/data beside the repository) holds
# speech/MANIFEST.tsv and text/normalizer. Needs flite (Debian package `flite`).
set -eu

root=$(cd "$(dirname "$0")/../.." && pwd)
data=${1:-${SOTTO_DATA:-$root/../shared/data}}
[ -f "$data/speech/MANIFEST.tsv" ] || { echo "words_worth: no $data/speech/MANIFEST.tsv: nothing measured" >&2; exit 2; }
command -v flite > /dev/null || { echo "words_worth: no flite: nothing measured" >&2; exit 2; }
. "$root/models/benches/peers.sh"

pack=${PACK:-en}
weights "$pack" > /dev/null
set -- "$binaries/transcribe" --pack "$root/target/models/$pack"
[ "$pack" = en ] || set -- "$@" --language en
"$venv/bin/python" "$root/models/benches/word_times.py" "$scratch/flite" "$@"
"$venv/bin/python" "$root/models/benches/confidence.py" "$data/speech" "$@"
