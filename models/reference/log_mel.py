"""Writes log_mel.f32: the log-mel spectrogram that `mel.rs` must agree with, to 1e-3.

Needs numpy alone; the steps are those of OpenAI's whisper/audio.py. With `faster-whisper` installed it is
checked against that package's own extractor too. The signal is synthetic, from whole numbers, so that the test makes the very same.
"""

import pathlib

import numpy as np

FRAMES = 170


def signal():
    state, noise = 1, []
    for _ in range(24_000):
        state = (state * 1_664_525 + 1_013_904_223) % 2**32
        noise.append((state >> 16) / 65_536 - 0.5)
    n = np.arange(24_000)
    tone = np.sin(2 * np.pi * (200 + 3000 * n / 24_000) * n / 16_000)
    return (0.4 * (n % 8000) / 8000 * tone + 0.01 * np.array(noise)).astype(np.float32)


def filters(count=80, points=400, rate=16_000):
    step = np.log(6.4) / 27

    def mel(hertz):
        return hertz * 3 / 200 if hertz < 1000 else 15 + np.log(hertz / 1000) / step

    mels = np.linspace(0, mel(rate / 2), count + 2)
    corners = np.where(mels < 15, mels * 200 / 3, 1000 * np.exp((mels - 15) * step))
    at = np.fft.rfftfreq(points, 1 / rate)
    rising = (at - corners[:-2, None]) / (corners[1:-1] - corners[:-2])[:, None]
    falling = (corners[2:, None] - at) / (corners[2:] - corners[1:-1])[:, None]
    return np.maximum(0, np.minimum(rising, falling)) * (2 / (corners[2:] - corners[:-2]))[:, None]


def log_mel(samples):
    samples = np.pad(samples.astype(np.float64), (0, 30 * 16_000 - len(samples)))
    samples = np.pad(samples, 200, mode="reflect")
    window = np.hanning(401)[:-1]
    frames = np.lib.stride_tricks.sliding_window_view(samples, 400)[::160][:3000]
    power = np.abs(np.fft.rfft(frames * window)) ** 2
    mel = np.log10(np.maximum(1e-10, power @ filters().T))
    return ((np.maximum(mel, mel.max() - 8) + 4) / 4)[:FRAMES].astype("<f4")


reference = log_mel(signal())
try:
    from faster_whisper.feature_extractor import FeatureExtractor

    theirs = FeatureExtractor()(np.pad(signal(), (0, 456_000)), padding=0)[:, :FRAMES].T
    print("furthest from faster-whisper's extractor:", np.abs(theirs - reference).max())
except ImportError:
    print("faster-whisper is not installed: not compared with its extractor")
(pathlib.Path(__file__).parent / "log_mel.f32").write_bytes(reference.tobytes())
