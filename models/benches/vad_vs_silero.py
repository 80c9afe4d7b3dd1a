"""See vad_vs_silero.sh."""

import glob
import importlib.util
import json
import os
import struct
import subprocess
import sys
import time

import numpy as np
import onnxruntime

folder, part, vad, pack = sys.argv[1:]
FRAME = 0.01


def reference(path):
    """Segments by file: whoever speaks."""
    found = {}
    for line in open(path, encoding="utf-8"):
        _, name, _, start, length, *_ = line.split()
        found.setdefault(name, []).append((float(start), float(start) + float(length)))
    return found


def frames(segments, seconds):
    """Speech or not, every 10 ms."""
    speech = np.zeros(round(seconds / FRAME), bool)
    for start, end in segments:
        speech[round(start / FRAME) : round(end / FRAME)] = True
    return speech


def read(path):
    """One channel at 16 kHz, -1 to 1; of 16 bits or float, which Python's wave does not read."""
    data = open(path, "rb").read()
    at, chunks = 12, {}
    while at + 8 <= len(data):
        name, length = data[at : at + 4], struct.unpack_from("<I", data, at + 4)[0]
        chunks[name] = data[at + 8 : at + 8 + length]
        at += 8 + length + length % 2
    kind, channels, rate, _, _, bits = struct.unpack_from("<HHIIHH", chunks[b"fmt "])
    assert (channels, rate) == (1, 16_000) and (kind, bits) in [(1, 16), (3, 32)], path
    if kind == 3:
        return np.frombuffer(chunks[b"data"], np.float32)
    return np.frombuffer(chunks[b"data"], np.int16).astype(np.float32) / 32_768


def halve(audio):
    """To 8 kHz, by the same windowed sinc as the example's."""
    n = np.arange(-127, 128)
    cutoff = 3_700 / 16_000
    taps = 2 * cutoff * np.sinc(2 * cutoff * n) * (0.54 + 0.46 * np.cos(np.pi * n / 128))
    return np.convolve(audio, taps, "same")[::2].astype(np.float32)


class Session:
    """What the package's wrapper around onnxruntime does, on one thread."""

    def __init__(self, name, rate):
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        # Found, not imported: importing it wants torch.
        path = os.path.join(importlib.util.find_spec("silero_vad").submodule_search_locations[0], "data", name)
        self.session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        self.rate, self.size, self.context = rate, rate * 32 // 1000, rate // 250

    def probabilities(self, audio):
        state, before, found = np.zeros((2, 1, 128), np.float32), np.zeros((1, self.context), np.float32), []
        for at in range(0, len(audio), self.size):
            frame = np.zeros((1, self.size), np.float32)
            piece = audio[at : at + self.size]
            frame[0, : len(piece)] = piece
            heard = np.concatenate([before, frame], 1)
            out, state = self.session.run(None, {"input": heard, "state": state, "sr": np.array(self.rate, np.int64)})
            before = heard[:, -self.context :]
            found.append(float(out[0, 0]))
        return found


def segments(probabilities, seconds):
    """As the package's get_speech_timestamps cuts them with its default arguments."""
    found, start, quiet = [], None, None
    for index, probability in enumerate(probabilities):
        now = index * 0.032
        if probability >= 0.5:
            quiet = None
            start = now if start is None else start
        elif start is not None and probability < 0.35:
            quiet = now if quiet is None else quiet
            if now - quiet >= 0.1:
                if quiet - start > 0.25:
                    found.append([start, quiet])
                start = quiet = None
    if start is not None and seconds - start > 0.25:
        found.append([start, seconds])
    for index, segment in enumerate(found):
        if index:
            gap = segment[0] - found[index - 1][1]
            pad = gap / 2 if gap < 0.06 else 0.03
            found[index - 1][1] += pad
        else:
            pad = min(0.03, segment[0])
        segment[0] -= pad
    if found:
        found[-1][1] = min(seconds, found[-1][1] + 0.03)
    return found


def ours(path, *flags):
    done = subprocess.run([vad, path, "--pack", pack, "--frames", *flags], capture_output=True, text=True, check=True)
    timing = json.loads(done.stderr)
    return [float(line) for line in done.stdout.split()], timing["compute_s"]


peers = {"Silero's package, 16 kHz": Session("silero_vad.onnx", 16_000), "Silero's package, 8 kHz": Session("silero_vad.onnx", 8_000)}
truth = reference(os.path.join(folder, f"debug.{part}.rttm"))
rows = {}
length = 0.0
for path in sorted(glob.glob(os.path.join(folder, "*.wav"))):
    name = os.path.basename(path)[:-4]
    if name not in truth:
        continue
    wide = read(path)
    seconds = len(wide) / 16_000
    length += seconds
    want = frames(truth[name], seconds)
    narrow = halve(wide)
    # Twenty dB down speech lies where a quiet telephone's does: what a gate before the network would cost.
    runs = {
        "ours": lambda: ours(path),
        "ours, silence looked at too": lambda: ours(path, "--no-gate"),
        "ours, 20 dB quieter": lambda: ours(path, "--gain-db", "-20"),
        "the same, silence looked at too": lambda: ours(path, "--gain-db", "-20", "--no-gate"),
    }
    for peer, session in peers.items():
        sound = wide if session.rate == 16_000 else narrow

        def run(session=session, sound=sound):
            began = time.process_time()
            found = session.probabilities(sound)
            return found, time.process_time() - began

        runs[peer] = run
    for row, run in runs.items():
        probabilities, took = run()
        heard = frames(segments(probabilities, seconds), seconds)
        sums = rows.setdefault(row, np.zeros(5))
        sums += [np.sum(want & ~heard), np.sum(~want & heard), np.sum(want), len(want), took]
print(f"{part}: {length:.0f} s; in % of the reference's speech; ms of one core for a second of a leg")
print(f"{'':36}{'missed':>8}{'false':>8}{'both':>8}{'ms':>8}")
for row, (missed, false, speech, _, took) in rows.items():
    print(f"{row:36}{100 * missed / speech:8.1f}{100 * false / speech:8.1f}{100 * (missed + false) / speech:8.1f}{1000 * took / length:8.2f}")
