"""One peer hears prompts, on one thread: for each a JSON line with its text and the seconds of processor that it took.

    asr_peer.py faster-whisper|whisper.cpp WEIGHTS LIST

LIST has a path of a sound in each line. Reading a file, and bringing it to 16 kHz, is not in the seconds.
"""

import json
import sys
import time

from faster_whisper import WhisperModel
from faster_whisper.audio import decode_audio


def faster_whisper(weights):
    model = WhisperModel(weights, device="cpu", compute_type="int8", cpu_threads=1, num_workers=1)

    def hear(samples):
        segments, _ = model.transcribe(samples, language="en", beam_size=1, temperature=0.0, without_timestamps=True,
                                       condition_on_previous_text=False, vad_filter=False)
        return " ".join(segment.text.strip() for segment in segments)

    return hear


def whisper_cpp(weights):
    from pywhispercpp.model import Model

    # temperature_inc: no second try, as above.
    model = Model(weights, n_threads=1, redirect_whispercpp_logs_to=None, print_progress=False, print_timestamps=False, no_context=True, language="en",
                  no_timestamps=True, single_segment=True, temperature=0.0, temperature_inc=0.0, greedy={"best_of": 1})
    return lambda samples: " ".join(segment.text.strip() for segment in model.transcribe(samples))


def main():
    name, weights, listed = sys.argv[1:]
    hear = {"faster-whisper": faster_whisper, "whisper.cpp": whisper_cpp}[name](weights)
    sounds = [decode_audio(path) for path in open(listed, encoding="utf-8").read().split("\n") if path]
    # What is made at the first call alone.
    hear(sounds[0])
    for samples in sounds:
        began = time.process_time()
        text = hear(samples)
        print(json.dumps([text, time.process_time() - began]), flush=True)


if __name__ == "__main__":
    main()
