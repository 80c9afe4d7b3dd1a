#!/bin/sh
# What both the demo and the tests need: Debian packages, the build, the model pack. Sourced by them, from the repository's root.
# Each step looks first whether there is anything to do.

# name of a command or file -> package that brings it
needs() {
    for need in mosquitto:mosquitto mosquitto_sub:mosquitto-clients flite:flite pkg-config:pkg-config python3:python3 cc:build-essential \
        /usr/include/systemd/sd-daemon.h:libsystemd-dev /usr/include/opus/opus.h:libopus-dev \
        /usr/include/alsa/asoundlib.h:libasound2-dev "$@"; do
        found=${need%%:*}
        case $found in
            /*) [ -e "$found" ] || printf '%s ' "${need#*:}" ;;
            # Debian keeps mosquitto itself in /usr/sbin, which is not on everybody's path.
            *) PATH=$PATH:/usr/sbin:/sbin command -v "$found" >/dev/null 2>&1 || printf '%s ' "${need#*:}" ;;
        esac
    done
    # pip to fetch the weights by name and version: Debian's python3 comes without it, and with python3-venv it is one step away.
    python3 -m pip --version >/dev/null 2>&1 || python3 -c 'import ensurepip' 2>/dev/null || printf 'python3-venv '
}

install_packages() {
    missing=$(needs "$@")
    [ -n "$missing" ] || return 0
    command -v apt-get >/dev/null || { echo "please install: $missing" >&2; exit 1; }
    sudo=
    [ "$(id -u)" = 0 ] || sudo=sudo
    echo "installing $missing"
    $sudo apt-get update -qq
    # shellcheck disable=SC2086 # a list of names
    DEBIAN_FRONTEND=noninteractive $sudo apt-get install -y -qq --no-install-recommends $missing >/dev/null
    # Debian starts its own broker on install; ours runs on a port of its own, and that one is not wanted here.
    case $missing in *mosquitto\ *) $sudo systemctl disable --now mosquitto >/dev/null 2>&1 || true ;; esac
}

need_rust() {
    command -v cargo >/dev/null || PATH=$PATH:$HOME/.cargo/bin
    command -v cargo >/dev/null || { echo "please install Rust (rustup.rs), 1.94 or later" >&2; exit 1; }
}
