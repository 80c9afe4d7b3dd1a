#!/bin/sh
# Builds the Debian packages sotto, sotto-collect, sotto-models-en and sotto-models-multi for this machine's architecture:
#   sh packaging/build_deb.sh [FOLDER]        (target/debian)
# Debian 12 with Rust, as root or with sudo. Installs what it needs. The same commit, built anywhere with the same Rust, gives the same
# bytes: all times are those of the changelog, and no path of this machine is in the programs. For that they are built apart from what
# `cargo build` makes, in target/deb.
set -eu
cd "$(dirname "$0")/.."
. packaging/prepare.sh
out=${1:-target/debian}
install_packages dpkg-shlibdeps:dpkg-dev dpkg-parsechangelog:dpkg-dev xz:xz-utils
need_rust
# A tool of the build, not a part of the product: beside what it builds.
tools=$PWD/target/tools
[ -x "$tools/bin/cargo-deb" ] || cargo install --quiet --locked --no-default-features --root "$tools" cargo-deb --version 3.8.0
SOURCE_DATE_EPOCH=$(dpkg-parsechangelog -l packaging/debian/changelog -S Timestamp)
export SOURCE_DATE_EPOCH
version=$(dpkg-parsechangelog -l packaging/debian/changelog -S Version)
machine=$(rustc -vV | sed -n 's/^host: //p')

for pack in en multi; do
    sh models/convert/build_pack.sh $pack
done

# Where things lie here is nobody's business elsewhere: neither of the Rust nor of the C that comes with crates.
crates=${CARGO_HOME:-$HOME/.cargo}
export CARGO_TARGET_DIR="$PWD/target/deb"
export RUSTFLAGS="--remap-path-prefix=$CARGO_TARGET_DIR=/build --remap-path-prefix=$PWD=/sotto --remap-path-prefix=$crates=/crates"
export CFLAGS="-ffile-prefix-map=$CARGO_TARGET_DIR=/build -ffile-prefix-map=$PWD=/sotto -ffile-prefix-map=$crates=/crates"
cargo build --release --locked -p sotto -p sotto-collect --bins
rm -rf target/package
mkdir -p target/package/units target/package/collect "$out"

# What cargo-deb finds by its name only.
for unit in sotto-tap sotto-uplink sotto-siprec; do
    cp "systemd/$unit.service" "target/package/units/sotto.$unit.service"
done
cp systemd/sotto.sysusers.conf target/package/units/sotto.sysusers
cp packaging/dashboards/collector/sotto-collect.service target/package/collect/sotto-collect.service
cp packaging/debian/collect/postrm target/package/collect/postrm

"$CARGO_TARGET_DIR/release/sotto" manual target/package/manual
"$CARGO_TARGET_DIR/release/sotto-collect" --manual target/package/manual
sed "s/^sotto (/sotto-collect (/" packaging/debian/changelog | gzip -9n >target/package/collect/changelog.gz
gzip -9n <packaging/debian/changelog >target/package/changelog.gz
for program in sotto sotto-collect; do
    mkdir -p "target/package/$program"
    python3 packaging/licences.py $program "$machine" | gzip -9n >"target/package/$program/licences.gz"
    python3 packaging/sbom.py $program "$machine" | gzip -9n >"target/package/$program/$program.cdx.json.gz"
    PATH=$tools/bin:$PATH cargo deb --package $program --no-build --strip --locked --quiet --output "$out/"
done

# The models belong to no architecture, which cargo-deb has no word for.
models() {
    pack=$1
    name=sotto-models-$pack
    folder=target/package/models-$pack
    documents=$folder/usr/share/doc/$name
    install -d "$folder/DEBIAN" "$folder/usr/share/sotto/models/$pack" "$documents" "$folder/usr/share/lintian/overrides"
    install -m 644 "target/models/$pack"/* "$folder/usr/share/sotto/models/$pack/"
    install -m 644 "packaging/debian/models-$pack.copyright" "$documents/copyright"
    install -m 644 packaging/debian/lintian-overrides "$folder/usr/share/lintian/overrides/$name"
    sed "s/^sotto (/$name (/" packaging/debian/changelog | gzip -9n >"$documents/changelog.Debian.gz"
    cat >"$folder/DEBIAN/control" <<END
Package: $name
Version: $version
Architecture: all
Maintainer: sotto maintainers <maintainers@sotto.invalid>
Installed-Size: $(du -sk --apparent-size "$folder/usr" | cut -f1)
Enhances: sotto
Section: comm
Priority: optional
Description: $2
$3
END
    (cd "$folder" && find usr -type f -print0 | LC_ALL=C sort -z | xargs -0 md5sum >DEBIAN/md5sums)
    # No file is younger than the changelog, and whoever builds has his own idea of modes.
    chmod -R u=rwX,go=rX "$folder"
    find "$folder" -print0 | xargs -0 touch --no-dereference --date "@$SOURCE_DATE_EPOCH"
    dpkg-deb --build --root-owner-group -Zxz "$folder" "$out" >/dev/null
}
models en "models with which sotto hears English telephone speech" " Who speaks when (Silero VAD 6), which words are said (Whisper tiny.en), which
 of them must be blanked (Rampart), what a sentence means (MiniLM) and how it
 feels, quantized for a processor without a graphics card. Nothing is fetched,
 at installation or ever."
models multi "models with which sotto hears telephone speech in 99 languages" " Who speaks when (Silero VAD 6), which words are said (Whisper base), which
 of them must be blanked (Rampart), what a sentence means (MiniLM) and how it
 feels, quantized for a processor without a graphics card. Numbers are made of
 words in those languages alone in which they are blanked. Nothing is fetched,
 at installation or ever."
ls -l "$out"/*.deb
