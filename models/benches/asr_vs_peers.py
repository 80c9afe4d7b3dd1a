"""Runs `transcribe` and its peers on the same prompts; see asr_vs_peers.sh, which prepares it all.

    asr_vs_peers.py SPEECH WEIGHTS GGML TRANSCRIBE [OPTION...]
"""

import json
import os
import pathlib
import random
import subprocess
import sys
import tempfile

from normalizer import EnglishTextNormalizer

from words import errors, prompts

# What is run, with what in its environment: CT2_FORCE_CPU_ISA holds CTranslate2 to AVX2 where the processor has more.
PEERS = {
    "faster-whisper": ("faster-whisper", {}),
    "faster-whisper, AVX2": ("faster-whisper", {"CT2_FORCE_CPU_ISA": "AVX2"}),
    "whisper.cpp": ("whisper.cpp", {}),
}
STAGES = ("mel", "encoder", "cross_keys", "decoder", "vocabulary", "other")


def ours(transcribe, listed):
    run = subprocess.run([*transcribe, listed], capture_output=True, text=True, check=True)
    timing = json.loads(run.stderr.splitlines()[-1])
    return [line.split("\t")[1] for line in run.stdout.splitlines()], timing["processor_s"], timing


def peer(name, weights, listed):
    kind, more = PEERS[name]
    script = pathlib.Path(__file__).with_name("asr_peer.py")
    run = subprocess.run([sys.executable, script, kind, weights, listed], stdout=subprocess.PIPE, text=True, check=True, env=os.environ | more)
    heard = [json.loads(line) for line in run.stdout.splitlines()]
    return [text for text, _ in heard], sum(seconds for _, seconds in heard), None


def processor():
    known = ("avx2", "avx512f", "avx_vnni", "avx512_vnni", "amx_int8")
    lines = open("/proc/cpuinfo").read().split("\n")
    value = lambda name: next((line.split(":", 1)[1] for line in lines if line.startswith(name)), "unknown").strip()
    return f"{value('model name')} ({' '.join(flag for flag in known if flag in value('flags').split())})"


def main():
    speech, weights, ggml, *transcribe = sys.argv[1:]
    shortest, longest = map(float, os.environ.get("LENGTHS", "2-10").split("-"))
    fitting = [prompt for prompt in prompts(pathlib.Path(speech)) if shortest <= prompt[2] <= longest]
    count, seed = os.environ.get("PROMPTS", "48"), int(os.environ.get("SEED", "1"))
    chosen = fitting if count == "all" else random.Random(seed).sample(fitting, min(int(count), len(fitting)))
    names = [name.strip() for name in os.environ.get("PEERS", "; ".join(PEERS)).split(";") if name.strip()]
    normalize = EnglishTextNormalizer()
    references = [normalize(text).split() for _, text, _ in chosen]
    words, seconds = sum(map(len, references)), sum(length for _, _, length in chosen)

    runs = {"sotto": lambda listed: ours(transcribe, listed)}
    for name in names:
        runs[name] = lambda listed, name=name: peer(name, ggml if PEERS[name][0] == "whisper.cpp" else weights, listed)
    best = {}
    with tempfile.NamedTemporaryFile("w", suffix=".list") as listed:
        listed.write("".join(f"{path}\n" for path, _, _ in chosen))
        listed.flush()
        for _ in range(int(os.environ.get("ROUNDS", "1"))):
            for name, run in runs.items():
                came = run(listed.name)
                if name not in best or came[1] < best[name][1]:
                    best[name] = came

    print(f"{processor()}; one thread each")
    print(f"{len(chosen)} of {len(fitting)} prompts of {shortest:g} to {longest:g} s (seed {seed}): {seconds:.0f} s of speech, {words} words")
    print(f"{'':22}{'processor s':>12}{'speech s / s':>14}{'sotto takes':>14}{'WER %':>8}{'wrong':>7}")
    counts = {}
    mine = best["sotto"][1]
    for name, (texts, took, _) in best.items():
        counts[name] = [errors(*pair) for pair in zip(references, (normalize(text).split() for text in texts))]
        wrong = sum(counts[name])
        print(f"{name:22}{took:12.2f}{seconds / took:14.1f}{'1 in ' + format(took / mine, '.1f'):>14}{100 * wrong / words:8.2f}{wrong:7}")
    timing = best["sotto"][2]
    print(f"sotto, {timing['batch']} turns at a time: "
          + ", ".join(f"{stage.replace('_', ' ')} {100 * timing[stage + '_s'] / timing['compute_s']:.0f} %" for stage in STAGES))
    if len(counts) > 1:
        print(f"prompts in which they differ in errors (words; {', '.join(counts)}):")
        for (path, _, _), reference, *wrong in zip(chosen, references, *counts.values()):
            if len(set(wrong)) > 1:
                print(f"    {path.stem:35}{len(reference):4}; {' '.join(map(str, wrong))}")


if __name__ == "__main__":
    main()
