#!/bin/sh
# Makes the half minute of talk that `sotto bench` plays, from a scripted call: sh models/benches/talk.sh
# Debian's flite speaks both voices.
set -eu
cd "$(dirname "$0")/../.."
cargo build --release --quiet --workspace --example make_call
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${CARGO_TARGET_DIR:-target}/release/examples/make_call" tests/calls/01-billing.toml --pcap "$folder/call.pcap" --wav "$folder/call.wav"
python3 - "$folder/call.wav" daemon/src/bench/talk.ulaw <<'PY'
import struct, sys, wave

SECONDS = 30


def mu_law(sample):
    """ITU-T G.711, 14 bits."""
    sign, magnitude = (0x80, -sample) if sample < 0 else (0, sample)
    magnitude = min(magnitude, 32_635) + 132
    exponent = magnitude.bit_length() - 8
    return ~(sign | exponent << 4 | magnitude >> exponent + 3 & 15) & 0xFF


call = wave.open(sys.argv[1])
assert (call.getframerate(), call.getnchannels(), call.getsampwidth()) == (8_000, 2, 2)
frames = call.readframes(8_000 * SECONDS)
# Left is the agent; the customer's come first.
pairs = struct.iter_unpack("<hh", frames)
open(sys.argv[2], "wb").write(bytes(mu_law(sample) for agent, customer in pairs for sample in (customer, agent)))
PY
