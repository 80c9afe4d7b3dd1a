"""Runs `transcribe` and faster-whisper on the same prompts; see asr_vs_peers.sh, which prepares it all.

    asr_vs_peers.py SPEECH WEIGHTS ROUNDS TRANSCRIBE [OPTION...]
"""

import json
import pathlib
import resource
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
        before = children()
        run = subprocess.run([*transcribe, listed.name], capture_output=True, text=True, check=True)
        processor_seconds = children() - before
    texts = [line.split("\t")[1] for line in run.stdout.splitlines()]
    timing = json.loads(run.stderr.splitlines()[-1])
    return texts, (timing["compute_s"], processor_seconds), timing


def children():
    """Processor seconds of finished child processes: ours, loading the model and reading the files included."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def peer(model, audio):
    start, processor_start = time.perf_counter(), time.process_time()
    texts = []
    for samples in audio:
        segments, _ = model.transcribe(samples, language="en", beam_size=1, temperature=0.0, without_timestamps=True,
                                       condition_on_previous_text=False, vad_filter=False)
        texts.append(" ".join(segment.text.strip() for segment in segments))
    return texts, (time.perf_counter() - start, time.process_time() - processor_start)


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
    paths = [path for path, _ in listed]
    normalize = EnglishTextNormalizer()
    references = [normalize(text).split() for _, text in listed]
    model = WhisperModel(weights, device="cpu", compute_type="int8", cpu_threads=1, num_workers=1)
    audio = [decode_audio(str(path)) for path in paths]
    peer(model, audio[:3])

    best = {"sotto": (float("inf"),) * 2, "faster-whisper": (float("inf"),) * 2}
    texts = {}
    for _ in range(int(rounds)):
        texts["sotto"], seconds, timing = ours(transcribe, paths)
        best["sotto"] = tuple(map(min, best["sotto"], seconds))
        texts["faster-whisper"], seconds = peer(model, audio)
        best["faster-whisper"] = tuple(map(min, best["faster-whisper"], seconds))

    words = sum(map(len, references))
    audio_seconds = timing["audio_s"]
    print(f"processor: {processor()} ({flags()}), one thread each")
    print(f"{len(listed)} prompts, {audio_seconds:.0f} s, {words} words")
    counts = {}
    for name in best:
        heard = [normalize(text).split() for text in texts[name]]
        counts[name] = [errors(*pair) for pair in zip(references, heard)]
        wer = 100 * sum(counts[name]) / words
        print(f"{name:15} WER {wer:5.2f} %   {best[name][0]:7.2f} s   RTF {best[name][0] / audio_seconds:.4f}"
              f"   {best[name][1]:7.2f} s of processor")
    for index, kind in enumerate(("elapsed time", "processor time, which a busy machine changes less")):
        print(f"ratio {best['faster-whisper'][index] / best['sotto'][index]:.2f} by {kind}")
    stages = ("mel", "encoder", "cross_keys", "decoder", "vocabulary", "other")
    print(f"sotto's last round, {timing['batch']} turns at a time: "
          + ", ".join(f"{stage.replace('_', ' ')} {100 * timing[stage + '_s'] / timing['compute_s']:.0f} %" for stage in stages))
    print("prompts where the two differ in errors (prompt, words, sotto, faster-whisper):")
    for (path, _), reference, mine, theirs in zip(listed, references, *counts.values()):
        if mine != theirs:
            print(f"    {path.stem:35} {len(reference):3} {mine:3} {theirs:3}")


if __name__ == "__main__":
    main()
