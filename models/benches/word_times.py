"""How far off the words' times are: sentences of a synthetic voice, whose sounds' times the synthesizer tells.

    word_times.py SCRATCH TRANSCRIBE [OPTION...]

Needs flite (Debian package `flite`). A word's time is that of its sounds; how many it has is asked of flite for the word
alone, and a sentence where the counts do not add up is left out. Only words that were heard are compared.
"""

import array
import difflib
import json
import pathlib
import subprocess
import sys
import wave

SENTENCES = """thank you for calling the billing department
my invoice from last month was wrong
could you please repeat your address
the package has not arrived yet, and I have been waiting for two weeks
i would like to speak with a manager
let me check that for you, please hold the line
your order will arrive on monday morning
the engine makes a strange noise when it is cold
we can send a technician tomorrow afternoon
that does not help me at all
is there anything else that i can do for you today
i have already paid this bill, and now there is another one
please press the button on the back of the box, and wait until the light is green
our office is open from monday to friday
no, that is not what i ordered
it was a pleasure, have a nice day""".splitlines()
VOICES = ("slt", "rms", "awb")


def sounds(text, voice, path="none"):
    """Each sound and its end in seconds, pauses among them."""
    run = subprocess.run(["flite", "-voice", voice, "-psdur", "-t", text, "-o", path], capture_output=True, text=True, check=True)
    return [(name, float(end)) for name, _, end in (part.partition(":") for part in run.stdout.split())]


def known(text, voice, path):
    """Words with begin and end, or None where their sounds do not add up to the sentence's."""
    spoken = sounds(text, voice, path)
    begins = [0.0] + [end for _, end in spoken]
    spans = [(begin, end) for begin, (name, end) in zip(begins, spoken) if name != "pau"]
    words = text.replace(",", "").split()
    counts = [sum(name != "pau" for name, _ in sounds(word, voice)) for word in words]
    if sum(counts) != len(spans):
        return None
    times = []
    for word, count in zip(words, counts):
        mine, spans = spans[:count], spans[count:]
        times.append((word, mine[0][0], mine[-1][1]))
    return times


def to_telephone(path):
    """16 kHz to 8 kHz, as the call maker's turns are: the mean of two samples."""
    with wave.open(str(path)) as sound:
        rate, frames = sound.getframerate(), array.array("h", sound.readframes(sound.getnframes()))
    if rate == 16000:
        frames = array.array("h", ((a + b) // 2 for a, b in zip(frames[::2], frames[1::2])))
    with wave.open(str(path), "wb") as sound:
        sound.setnchannels(1)
        sound.setsampwidth(2)
        sound.setframerate(8000)
        sound.writeframes(frames.tobytes())


def main():
    scratch, *transcribe = sys.argv[1:]
    scratch = pathlib.Path(scratch)
    scratch.mkdir(parents=True, exist_ok=True)
    truth = {}
    for voice in VOICES:
        for number, text in enumerate(SENTENCES):
            path = scratch / f"{voice}-{number}.wav"
            times = known(text, voice, str(path))
            if times:
                to_telephone(path)
                truth[str(path)] = times
    listed = scratch / "list"
    listed.write_text("".join(f"{path}\n" for path in truth))
    run = subprocess.run([*transcribe, "--words", str(listed)], capture_output=True, text=True, check=True)
    begins, ends, spoken = [], [], 0
    for line in run.stdout.splitlines():
        path, _, words = line.split("\t")
        heard = json.loads(words)
        plain = ["".join(letter for letter in word[0].lower() if letter.isalnum() or letter == "'") for word in heard]
        times = truth[path]
        spoken += len(times)
        for same in difflib.SequenceMatcher(None, [word for word, _, _ in times], plain, autojunk=False).get_matching_blocks():
            for offset in range(same.size):
                _, begin, end = times[same.a + offset]
                begins.append(heard[same.b + offset][1] - begin)
                ends.append(heard[same.b + offset][2] - end)
    print(f"{len(truth)} of {len(VOICES) * len(SENTENCES)} sentences, {spoken} words, {len(begins)} of them heard")
    for name, offs in (("begin", begins), ("end", ends)):
        far = sorted(map(abs, offs))
        within = [100 * sum(off <= most for off in far) / len(far) for most in (0.1, 0.2, 0.3)]
        print(f"{name:6} off by {sum(offs) / len(offs):+.3f} s on average, median {far[len(far) // 2]:.3f}, p95 {far[len(far) * 95 // 100]:.3f};"
              + "".join(f" {share:.0f} % within {most} s," for share, most in zip(within, (0.1, 0.2, 0.3))).rstrip(","))


if __name__ == "__main__":
    main()
