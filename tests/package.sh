#!/bin/sh
# Builds the packages and tries them in a Debian 12 of their own: sh tests/package.sh
# As root, with access to a Debian mirror. Prints each step; exit 1 at the first that is not as promised:
#   lintian finds nothing; two builds give the same bytes; each unit's exposure is below 1.5;
#   installing starts and enables nothing; `sotto check` is content with what is shipped; an upgrade keeps what the site changed;
#   setup from flags writes what it says and, again, nothing; removal keeps configuration and scores; a purge leaves nothing but the users.
set -eu
cd "$(dirname "$0")/.."
[ "$(id -u)" = 0 ] || { echo "a system of its own takes root" >&2; exit 1; }
. packaging/prepare.sh
PATH=$PATH:/usr/sbin:/sbin
export PATH
install_packages debootstrap:debootstrap lintian:lintian systemd-analyze:systemd
folder=$(mktemp -d)
root=$folder/root
finish() {
    umount "$root/proc" 2>/dev/null || true
    rm -rf "$folder"
}
trap finish EXIT
wrong() {
    echo "WRONG: $*" >&2
    exit 1
}

echo "== two builds"
sh packaging/build_deb.sh "$folder/one" >/dev/null
sh packaging/build_deb.sh "$folder/two" >/dev/null
for deb in "$folder"/one/*.deb; do
    sum=$(sha256sum <"$deb" | cut -d' ' -f1)
    [ "$sum" = "$(sha256sum <"$folder/two/$(basename "$deb")" | cut -d' ' -f1)" ] || wrong "$(basename "$deb") differs"
    echo "$sum  $(basename "$deb"), $(dpkg-deb -f "$deb" Installed-Size) KiB installed"
done
echo "== lintian"
lintian --fail-on error,warning --tag-display-limit 0 "$folder"/one/*.deb || wrong "lintian has something to say"
echo "== exposure (systemd-analyze security)"
# sotto-mirror@ is no service: as root it moves an interface, and ends.
for unit in systemd/sotto-*[!@].service packaging/dashboards/collector/sotto-collect.service; do
    systemd-analyze security --offline=true --threshold=15 --no-pager "$unit" >"$folder/exposure" || wrong "$unit is exposed"
    tail -1 "$folder/exposure"
done

echo "== a Debian 12"
debootstrap --variant=minbase bookworm "$root" >"$folder/log" 2>&1 || { tail "$folder/log" >&2; exit 1; }
mount -t proc proc "$root/proc"
# No service may be started where there is no systemd; what would have been is written down.
printf '#!/bin/sh\necho "$@" >>/policy\nexit 101\n' >"$root/usr/sbin/policy-rc.d"
chmod 755 "$root/usr/sbin/policy-rc.d"
inside() {
    chroot "$root" env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin LANG=C.UTF-8 DEBIAN_FRONTEND=noninteractive "$@"
}
listed() {
    (cd "$root" && find etc usr var/lib/sotto lib run -xdev 2>/dev/null | grep -vE '^(var/lib/dpkg|usr/share/mime|etc/ld.so.cache|etc/(passwd|group|shadow|gshadow|subuid|subgid)-?$)' | sort)
}
mkdir "$root/debs"
cp "$folder"/one/*.deb "$root/debs/"
# What they depend on belongs to Debian, and stays after a purge.
needs=$(for deb in "$folder"/one/*.deb; do dpkg-deb -f "$deb" Depends; done | tr ',' '\n' | sed 's/(.*//; s/|.*//')
# shellcheck disable=SC2086 # a list of names
inside apt-get install -y -q --no-install-recommends systemd $needs >"$folder/log" 2>&1 || { tail "$folder/log" >&2; exit 1; }
listed >"$folder/before"

echo "== install"
inside sh -c 'apt-get install -y -q --no-install-recommends /debs/*.deb' >"$folder/log" 2>&1 || { tail "$folder/log" >&2; exit 1; }
grep '^sotto: ' "$folder/log" || wrong "nobody says what comes next"
[ ! -s "$root/policy" ] || wrong "the installation would start $(cat "$root/policy")"
for unit in sotto-tap sotto-uplink sotto-siprec sotto-collect; do
    [ "$(inside systemctl is-enabled "$unit" 2>/dev/null || true)" = disabled ] || wrong "$unit is enabled"
done
expect() {
    found=$(inside stat -c '%A %U:%G' "$1" 2>/dev/null || echo absent)
    [ "$found" = "$2" ] || wrong "$1 is $found, not $2"
}
expect /etc/sotto/sotto.toml "-rw-r--r-- root:root"
expect /etc/sotto/charter.toml "-rw-r--r-- root:root"
expect /etc/sotto/credentials "drwx------ root:root"
expect /etc/sotto/credentials/mqtt-password "-rw------- root:root"
expect /var/lib/sotto "drwxrws--- root:sotto"
inside id sotto-tap
inside id sotto-uplink
inside sotto --version
inside sotto check
for page in man1/sotto.1 man1/sotto-check.1 man1/sotto-setup.1 man1/sotto-doctor.1 man1/sotto-top.1 man1/sotto-collect.1 man5/sotto.toml.5 man5/sotto-charter.toml.5; do
    [ -s "$root/usr/share/man/$page.gz" ] || [ -e "$root/etc/dpkg/dpkg.cfg.d/docker" ] || wrong "there is no $page"
done
# With words: the models are there and whole.
cat >"$folder/words.toml" <<'END'
version = "1"
profile = "us-one-party"
kpis = ["keywords"]
[[consent]]
match = "*"
customer = "notice"
notice = "N-1"
agent = "agreement"
[retention]
scores_days = 7
[[purpose]]
metric = "keywords"
why = "Find the topics that people call about"
basis = "legitimate interest"
review_by = "2099-01-01"
[[category]]
name = "cancellation"
phrases = ["cancel"]
heard = "customer"
END
cp "$folder/words.toml" "$root/tmp/words.toml"
inside sotto --charter /tmp/words.toml check | grep '^models' || wrong "the models are not found"
rm "$root/tmp/words.toml"

for program in sotto sotto-collect; do
    bill=$root/usr/share/doc/$program/$program.cdx.json.gz
    # An image without documents has none of it.
    [ -e "$bill" ] || [ -e "$root/etc/dpkg/dpkg.cfg.d/docker" ] || wrong "there is no bill of materials of $program"
    [ ! -e "$bill" ] || gzip -dc "$bill" | python3 -c 'import json, sys; print(len(json.load(sys.stdin)["components"]), "parts in the bill of materials")'
done
inside journalctl --update-catalog
inside journalctl --list-catalog 2>/dev/null | grep sotto: | head -3

echo "== setup from flags, and doctor"
inside sotto setup --non-interactive --site harbor --node rec-1 --interface lo --together --broker mqtt://127.0.0.1:1883 \
    --agents 'sip:1???@*=billing' --listen 1 || [ $? = 1 ] || wrong "setup failed"
inside sotto setup --non-interactive --interface lo --together --listen 0 --dry-run | grep -c unchanged | grep -qx 2 || wrong "the same setup again would change something"
[ -e "$root/etc/systemd/system/sotto-uplink.service.d/50-sotto-setup.conf" ] || wrong "the uplink may reach anybody"

echo "== upgrade"
sed -i 's/^node = .*/node = "changed-here"/' "$root/etc/sotto/sotto.toml"
inside sh -c 'echo score >/var/lib/sotto/spool.db'
inside sh -c 'dpkg -i /debs/sotto_*.deb' >"$folder/log" 2>&1 || { tail "$folder/log" >&2; exit 1; }
grep -q changed-here "$root/etc/sotto/sotto.toml" || wrong "the site's change is gone"
! grep '^sotto: ' "$folder/log" || wrong "an upgrade tells what an installation should"

echo "== remove"
inside apt-get remove -y -q sotto sotto-collect sotto-models-en sotto-models-multi >"$folder/log" 2>&1 || { tail "$folder/log" >&2; exit 1; }
[ ! -e "$root/usr/bin/sotto" ] || wrong "the program is still there"
grep -q changed-here "$root/etc/sotto/sotto.toml" || wrong "the configuration is gone"
[ "$(inside cat /var/lib/sotto/spool.db)" = score ] || wrong "the scores are gone"

echo "== purge"
inside apt-get purge -y -q sotto sotto-collect sotto-models-en sotto-models-multi >"$folder/log" 2>&1 || { tail "$folder/log" >&2; exit 1; }
listed >"$folder/after"
left=$(comm -13 "$folder/before" "$folder/after")
echo "files left: ${left:-none}"
[ -z "$left" ] || wrong "a purge leaves files behind"
gone=$(comm -23 "$folder/before" "$folder/after")
[ -z "$gone" ] || wrong "a purge takes what is not its own: $gone"
inside id sotto-tap >/dev/null || wrong "the users are gone"
echo "== all as promised"
