"""A real call, heard by sotto and by faster-whisper: how far they agree, and where they part, on the terminal.

    real_call.py CALLS BINARIES SOTTO_PACKS NAME=WEIGHTS...

CALLS has two legs of one call; BINARIES the examples `vad` and `transcribe`. NAME is a pack of SOTTO_PACKS, WEIGHTS the same
model for faster-whisper. The turns are our detector's, the same for all. There is no transcript: what is counted is the
difference between two hearings, as an error rate of one by the other. With WORDS=1 both are printed where they part.
"""

import array
import itertools
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import time
import wave

from faster_whisper import WhisperModel
from faster_whisper.audio import decode_audio
from normalizer import EnglishTextNormalizer

from words import errors

MARGIN, LONGEST, BRIDGED = 0.3, 28.0, 0.5


def turns(leg, binaries, pack, folder):
    """The leg's turns as files of their own."""
    run = subprocess.run([binaries / "vad", "--pack", pack, leg], capture_output=True, text=True, check=True)
    spans = []
    for line in run.stdout.splitlines():
        begin, end = (json.loads(line)[key] for key in ("start", "end"))
        if spans and begin - spans[-1][1] < BRIDGED and end - spans[-1][0] < LONGEST:
            spans[-1][1] = end
        else:
            spans.append([begin, end])
    with wave.open(str(leg)) as sound:
        rate, channels, samples = sound.getframerate(), sound.getnchannels(), array.array("h", sound.readframes(sound.getnframes()))
    samples = samples[::channels]
    paths = []
    for number, (begin, end) in enumerate(spans):
        path = folder / f"{leg.stem}-{number:03}.wav"
        with wave.open(str(path), "wb") as sound:
            sound.setnchannels(1)
            sound.setsampwidth(2)
            sound.setframerate(rate)
            sound.writeframes(samples[max(0, int((begin - MARGIN) * rate)):int((end + MARGIN) * rate)].tobytes())
        paths.append(path)
    return paths


def ours(paths, binaries, pack, language):
    with tempfile.NamedTemporaryFile("w", suffix=".list") as listed:
        listed.write("".join(f"{path}\n" for path in paths))
        listed.flush()
        command = [binaries / "transcribe", "--pack", pack, *language, "--words", listed.name]
        run = subprocess.run(command, capture_output=True, text=True, check=True)
    lines = [line.split("\t") for line in run.stdout.splitlines()]
    confidence = [word[4] for line in lines for word in json.loads(line[2])]
    return [line[1] for line in lines], json.loads(run.stderr.splitlines()[-1])["processor_s"], confidence


def peer(model, audio, beam):
    start = time.process_time()
    texts = []
    for samples in audio:
        segments, _ = model.transcribe(samples, language="en", beam_size=beam, temperature=0.0, without_timestamps=True,
                                       condition_on_previous_text=False, vad_filter=False)
        texts.append(" ".join(segment.text.strip() for segment in segments))
    return texts, time.process_time() - start


def main():
    calls, binaries, packs, *models = sys.argv[1:]
    binaries, packs = pathlib.Path(binaries), pathlib.Path(packs)
    normalize = EnglishTextNormalizer()
    with tempfile.TemporaryDirectory() as folder:
        for leg in sorted(pathlib.Path(calls).glob("*-49-*.wav")):
            paths = turns(leg, binaries, packs / "en", pathlib.Path(folder))
            audio = [decode_audio(str(path)) for path in paths]
            seconds = sum(map(len, audio)) / 16000
            print(f"{leg.stem}: {len(paths)} turns, {seconds:.0f} s")
            heard = {}
            for name, weights in (model.split("=") for model in models):
                language = [] if name == "en" else ["--language", "en"]
                heard[f"sotto {name}"], took, confidence = ours(paths, binaries, packs / name, language)
                mean = sum(confidence) / max(1, len(confidence))
                print(f"    sotto {name}: {took:.2f} s of processor, mean confidence of a word {mean:.2f}")
                model = WhisperModel(weights, device="cpu", compute_type="int8", cpu_threads=1, num_workers=1)
                for beam in (1, 5):
                    heard[f"peer {name} beam {beam}"], took = peer(model, audio, beam)
                    print(f"    peer {name} beam {beam}: {took:.2f} s of processor")
            plain = {name: [normalize(text).split() for text in texts] for name, texts in heard.items()}
            for name, texts in plain.items():
                print(f"    {name:20} {sum(map(len, texts)):5} words")
            print("    words of the second that the first has differently, per cent:")
            for a, b in itertools.permutations(plain, 2):
                wrong = sum(errors(y, x) for x, y in zip(plain[a], plain[b]))
                print(f"        {a:20} by {b:20} {100 * wrong / max(1, sum(map(len, plain[b]))):5.1f}")
            if os.environ.get("WORDS"):
                for place in range(len(paths)):
                    if len({tuple(texts[place]) for texts in plain.values()}) > 1:
                        print(f"    turn {place}:")
                        for name in heard:
                            print(f"        {name:20} {heard[name][place]}")


if __name__ == "__main__":
    main()
