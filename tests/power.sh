#!/bin/sh
# Power cuts: a machine of its own keeps scores, its power is cut at any moment, and what it had said was kept must be there.
# sh tests/power.sh [CUTS], 200 without a number; some 20 minutes. Debian 12 with Rust, as root or with sudo. Installs what it needs; the
# kernel is Debian's own, fetched and unpacked, not installed.
set -eu
cd "$(dirname "$0")/.."
. packaging/prepare.sh
PATH=$PATH:/usr/sbin:/sbin
install_packages qemu-system-x86_64:qemu-system-x86 /bin/busybox:busybox-static mkfs.ext4:e2fsprogs cpio:cpio modprobe:kmod
need_rust
cargo build --release --locked --workspace --all-targets
program=$PWD/target/release/examples/power
cuts_py=$PWD/tests/power/cuts.py
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
package=$(apt-cache depends linux-image-amd64 | awk '/Depends: linux-image-/ { print $2; exit }')
apt-get download -qq "$package"
dpkg -x ./*.deb kernel
version=$(ls kernel/lib/modules)
depmod -b "$work/kernel" "$version"

mkdir -p root/bin root/lib64 root/data root/proc root/dev
cp /bin/busybox root/bin/
cp "$program" root/bin/power
ldd "$program" | awk '/\// { for (i = 1; i <= NF; i++) if ($i ~ /^\//) print $i }' | while read -r library; do
    mkdir -p "root$(dirname "$library")"
    cp -L "$library" "root$library"
done
for module in virtio_pci virtio_blk crc32c_generic ext4; do
    modprobe -d "$work/kernel" -S "$version" --show-depends "$module"
done | awk '$1 == "insmod" && !seen[$2]++ { print $2 }' >modules
while read -r module; do cp "$module" "root/$(basename "$module")"; done <modules
{
    echo '#!/bin/busybox sh'
    echo '/bin/busybox mount -t proc proc /proc; /bin/busybox mount -t devtmpfs dev /dev'
    while read -r module; do echo "/bin/busybox insmod /$(basename "$module")"; done <modules
    echo '/bin/busybox mount -t ext4 /dev/vda /data || exec /bin/busybox poweroff -f'
    echo '/bin/power /data/spool.db $(/bin/busybox date +%N | /bin/busybox sed "s/^0*//")'
    echo '/bin/busybox poweroff -f'
} >root/init
chmod +x root/init
(cd root && find . | cpio --quiet -o -H newc | gzip -1) >initrd
truncate -s 128M disk
mkfs.ext4 -q disk
python3 "$cuts_py" kernel/boot/vmlinuz-* initrd disk "${1:-200}"
