#!/bin/sh
# Power cuts: a machine of its own keeps scores, its power is cut at any moment, and what it had said was kept must be there.
# sh tests/power.sh [CUTS [DISK]], 200 without a number; some 12 s of a core each. DISK is
#   plain         a disk that keeps what it was told to flush (without a word)
#   error_writes  one whose writes fail for a second of every four (dm-flakey): what it could not keep it must not have said it kept
#   drop_writes   one that lies: for a second of every four it says that it wrote, and did not
# Debian 12 with Rust, as root or with sudo. Installs what it needs; the kernel is Debian's own, fetched and unpacked, not installed.
set -eu
cd "$(dirname "$0")/.."
. packaging/prepare.sh
PATH=$PATH:/usr/sbin:/sbin
install_packages qemu-system-x86_64:qemu-system-x86 /bin/busybox:busybox-static mkfs.ext4:e2fsprogs cpio:cpio modprobe:kmod dmsetup:dmsetup
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

mkdir -p root/bin root/lib64 root/data root/proc root/sys root/dev
cp /bin/busybox root/bin/
# Its symbols would take longer to unpack than all the rest.
strip -o root/bin/power "$program"
cp "$(command -v dmsetup)" root/bin/dmsetup
for file in "$program" root/bin/dmsetup; do
    ldd "$file" | awk '/\// { for (i = 1; i <= NF; i++) if ($i ~ /^\//) print $i }'
done | sort -u | while read -r library; do
    mkdir -p "root$(dirname "$library")"
    cp -L "$library" "root$library"
done
for module in virtio_pci virtio_blk crc32c_generic ext4 dm_flakey; do
    modprobe -d "$work/kernel" -S "$version" --show-depends "$module"
done | awk '$1 == "insmod" && !seen[$2]++ { print $2 }' >modules
while read -r module; do cp "$module" "root/$(basename "$module")"; done <modules
{
    echo '#!/bin/busybox sh'
    echo 'PATH=/bin; b=/bin/busybox'
    echo '$b mount -t proc proc /proc; $b mount -t sysfs sys /sys; $b mount -t devtmpfs dev /dev'
    while read -r module; do echo "\$b insmod /$(basename "$module")"; done <modules
    cat <<'END'
disk=/dev/vda
for word in $($b cat /proc/cmdline); do
    case $word in
        disk=*_writes)
            dmsetup create flakey --noudevsync --table "0 $($b cat /sys/class/block/vda/size) flakey /dev/vda 0 3 1 1 ${word#disk=}" || exec $b poweroff -f
            dmsetup mknodes
            disk=/dev/mapper/flakey
            ;;
    esac
done
# As a box does whose disk was not left in order; what that repairs is written in a second in which writes arrive.
$b mount -t ext4 $disk /data || exec $b poweroff -f
echo up
/bin/power /data/spool.db $($b date +%N | $b sed "s/^0*//")
echo ended
exec $b poweroff -f
END
} >root/init
chmod +x root/init
(cd root && find . | cpio --quiet -o -H newc | gzip -1) >initrd
truncate -s 128M disk
mkfs.ext4 -q disk
python3 "$cuts_py" kernel/boot/vmlinuz-* initrd disk "${1:-200}" "${2:-plain}"
