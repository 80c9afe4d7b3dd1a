#!/bin/sh
# Builds the Debian packages sotto and sotto-models-en for this machine's architecture:
#   sh packaging/build_deb.sh [FOLDER]        (target/debian)
# Debian 12 with Rust, as root or with sudo. Installs what it needs. The same commit, built at the same path with the same Rust, gives the
# same bytes: all times are those of the changelog.
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

# With the examples, as everything else here builds them: another selection would unify other features and build the models a second time.
cargo build --release --locked --workspace --bins --examples
sh models/convert/build_pack.sh en
rm -rf target/package
mkdir -p target/package/units "$out"

# What cargo-deb finds by its name only.
for unit in sotto-tap sotto-uplink sotto-siprec; do
    cp "systemd/$unit.service" "target/package/units/sotto.$unit.service"
done
cp systemd/sotto.sysusers.conf target/package/units/sotto.sysusers

target/release/sotto manual target/package/manual
python3 packaging/licences.py sotto "$(rustc -vV | sed -n 's/^host: //p')" | gzip -9n >target/package/licences.gz
gzip -9n <packaging/debian/changelog >target/package/changelog.gz
PATH=$tools/bin:$PATH cargo deb --package sotto --no-build --strip --locked --quiet --output "$out/"

# The models belong to no architecture, which cargo-deb has no word for.
version=$(dpkg-parsechangelog -l packaging/debian/changelog -S Version)
models=target/package/models-en
install -d "$models/DEBIAN" "$models/usr/share/sotto/models/en" "$models/usr/share/doc/sotto-models-en" "$models/usr/share/lintian/overrides"
install -m 644 target/models/en/* "$models/usr/share/sotto/models/en/"
install -m 644 packaging/debian/models-en.copyright "$models/usr/share/doc/sotto-models-en/copyright"
install -m 644 packaging/debian/lintian-overrides "$models/usr/share/lintian/overrides/sotto-models-en"
sed "s/^sotto (/sotto-models-en (/" packaging/debian/changelog | gzip -9n >"$models/usr/share/doc/sotto-models-en/changelog.Debian.gz"
cat >"$models/DEBIAN/control" <<END
Package: sotto-models-en
Version: $version
Architecture: all
Maintainer: sotto maintainers <maintainers@sotto.invalid>
Installed-Size: $(du -sk --apparent-size "$models/usr" | cut -f1)
Enhances: sotto
Section: comm
Priority: optional
Description: models with which sotto hears English telephone speech
 Who speaks when (Silero VAD 6) and which words are said (Whisper tiny.en),
 quantized for a processor without a graphics card. Nothing is fetched, at
 installation or ever.
END
(cd "$models" && find usr -type f -print0 | sort -z | xargs -0 md5sum >DEBIAN/md5sums)
# No file is younger than the changelog.
find "$models" -print0 | xargs -0 touch --no-dereference --date "@$SOURCE_DATE_EPOCH"
dpkg-deb --build --root-owner-group -Zxz "$models" "$out" >/dev/null
ls -l "$out"/*.deb
