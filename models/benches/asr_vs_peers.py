"""Runs `transcribe` and faster-whisper on the same prompts; see asr_vs_peers.sh, which prepares it all.

    asr_vs_peers.py SPEECH WEIGHTS ROUNDS TRANSCRIBE [OPTION...]
"""

import json
import os
import pathlib
import subprocess
import sys
import tempfile
import time

from faster_whisper import WhisperModel
from faster_whisper.audio import decode_audio
from normalizer import EnglishTextNormalizer

from words import errors, prompts


def ours(transcribe, paths):
    with tempfile.NamedTemporaryFile("w", suffix=".list") as listed:
        listed.write("".join(f"{path}\n" for path in paths))
        listed.flush()
        run = subprocess.run([*transcribe, listed.name], capture_output=True, text=True, check=True)
    texts = [line.split("\t")[1] for line in run.stdout.splitlines()]
    timing = json.loads(run.stderr.splitlines()[-1])
    return texts, (timing["compute_s"], timing["processor_s"]), timing


def peer(model, audio):
    """Texts, and for each prompt its elapsed and its processor seconds."""
    texts, seconds = [], []
    for samples in audio:
        start, processor_start = time.perf_counter(), time.process_time()
        segments, _ = model.transcribe(samples, language="en", beam_size=1, temperature=0.0, without_timestamps=True,
                                       condition_on_previous_text=False, vad_filter=False)
        texts.append(" ".join(segment.text.strip() for segment in segments))
        seconds.append((time.perf_counter() - start, time.process_time() - processor_start))
    return texts, seconds


def processor():
    for line in open("/proc/cpuinfo"):
        if line.startswith("model name"):
            return line.split(":", 1)[1].strip()
    return "unknown"


def flags():
    known = ("avx2", "avx512f", "avx_vnni", "avx512_vnni", "amx_int8")
    for line in open("/proc/cpuinfo"):
        if line.startswith("flags"):
            return " ".join(flag for flag in known if flag in line.split())
    return ""


def main():
    speech, weights, rounds, *transcribe = sys.argv[1:]
    listed = prompts(pathlib.Path(speech))
    turns = [index for index, (_, _, seconds) in enumerate(listed) if 2 <= seconds <= 10]
    if os.environ.get("TURNS_ONLY"):
        listed, turns = [listed[index] for index in turns], range(len(turns))
    paths = [path for path, _, _ in listed]
    normalize = EnglishTextNormalizer()
    references = [normalize(text).split() for _, text, _ in listed]
    model = WhisperModel(weights, device="cpu", compute_type="int8", cpu_threads=1, num_workers=1)
    audio = [decode_audio(str(path)) for path in paths]
    peer(model, audio[:3])

    best = {"sotto": (float("inf"),) * 2, "faster-whisper": (float("inf"),) * 2}
    texts = {}
    texts["sotto"], _, _ = ours(transcribe, paths)
    for _ in range(int(rounds)):
        _, (elapsed, _), timing = ours(transcribe, [paths[index] for index in turns])
        best["sotto"] = tuple(map(min, best["sotto"], (elapsed, timing["processor_s"])))
        texts["faster-whisper"], seconds = peer(model, audio)
        sums = [sum(seconds[index][kind] for index in turns) for kind in range(2)]
        best["faster-whisper"] = tuple(map(min, best["faster-whisper"], sums))

    words = sum(map(len, references))
    audio_seconds = timing["audio_s"]
    print(f"processor: {processor()} ({flags()}), one thread each")
    print(f"words of {len(listed)} prompts ({words}); time for the {len(turns)} of 2 to 10 s ({audio_seconds:.0f} s)")
    counts = {}
    for name in best:
        heard = [normalize(text).split() for text in texts[name]]
        counts[name] = [errors(*pair) for pair in zip(references, heard)]
        wer = 100 * sum(counts[name]) / words
        elapsed, processor_seconds = best[name]
        print(f"{name:15} WER {wer:5.2f} %   {elapsed:7.2f} s, {audio_seconds / elapsed:6.1f} s of speech a second"
              f"   {processor_seconds:7.2f} s of processor, {audio_seconds / processor_seconds:6.1f}")
    for index, kind in enumerate(("elapsed time", "processor time, which a busy machine changes less")):
        print(f"ratio {best['faster-whisper'][index] / best['sotto'][index]:.2f} by {kind}")
    stages = ("mel", "encoder", "cross_keys", "decoder", "vocabulary", "other")
    print(f"sotto's last round, {timing['batch']} turns at a time: "
          + ", ".join(f"{stage.replace('_', ' ')} {100 * timing[stage + '_s'] / timing['compute_s']:.0f} %" for stage in stages))
    print("prompts where the two differ in errors (prompt, words, sotto, faster-whisper):")
    for (path, _, _), reference, mine, theirs in zip(listed, references, *counts.values()):
        if mine != theirs:
            print(f"    {path.stem:35} {len(reference):3} {mine:3} {theirs:3}")


if __name__ == "__main__":
    main()
