"""Whether words are as often right as their confidence says, on the telephone prompts.

    confidence.py SPEECH TRANSCRIBE [OPTION...]

A word is right where the alignment of what was heard with the transcript has it. The two numbers of `CONFIDENCE` are fitted to
the words of every second prompt (logistic regression on the logit of the probability) and the table is of the others.
"""

import difflib
import json
import math
import pathlib
import subprocess
import sys
import tempfile

from normalizer import EnglishTextNormalizer

from words import prompts


def logit(probability):
    probability = min(max(probability, 1e-6), 1 - 1e-6)
    return math.log(probability / (1 - probability))


def fit(pairs):
    """Slope and offset of the logit that make the right and the wrong ones likeliest, by Newton's steps."""
    slope, offset = 1.0, 0.0
    for _ in range(50):
        gradient, hessian = [0.0, 0.0], [[1e-6, 0.0], [0.0, 1e-6]]
        for probability, right in pairs:
            x = logit(probability)
            expected = 1 / (1 + math.exp(-(slope * x + offset)))
            weight = expected * (1 - expected)
            for i, a in enumerate((x, 1.0)):
                gradient[i] += a * (right - expected)
                for j, b in enumerate((x, 1.0)):
                    hessian[i][j] += weight * a * b
        (a, b), (c, d) = hessian
        determinant = a * d - b * c
        slope += (d * gradient[0] - b * gradient[1]) / determinant
        offset += (a * gradient[1] - c * gradient[0]) / determinant
    return slope, offset


def table(title, pairs):
    print(title)
    brier = sum((confidence - right) ** 2 for confidence, right in pairs) / len(pairs)
    error = 0.0
    for low, high in ((0, 0.3), (0.3, 0.5), (0.5, 0.7), (0.7, 0.9), (0.9, 0.97), (0.97, 1.01)):
        here = [(confidence, right) for confidence, right in pairs if low <= confidence < high]
        if here:
            said = sum(confidence for confidence, _ in here) / len(here)
            were = sum(right for _, right in here) / len(here)
            error += abs(said - were) * len(here) / len(pairs)
            print(f"    {low:4.2f} to {min(high, 1):4.2f}  {len(here):5} words  said {said:.3f}  right {were:.3f}")
    print(f"    expected calibration error {error:.3f}, Brier score {brier:.3f}")


def main():
    speech, *command = sys.argv[1:]
    listed = prompts(pathlib.Path(speech))
    with tempfile.NamedTemporaryFile("w", suffix=".list") as paths:
        paths.write("".join(f"{path}\n" for path, _, _ in listed))
        paths.flush()
        run = subprocess.run([*command, "--words", paths.name], capture_output=True, text=True, check=True)
    normalize = EnglishTextNormalizer()
    halves = ([], [])
    for number, (line, (_, text, _)) in enumerate(zip(run.stdout.splitlines(), listed)):
        heard = json.loads(line.split("\t")[2])
        # A word may become several by the normaliser, or none.
        plain = [(part, word) for word in heard for part in normalize(word[0]).split()]
        reference = normalize(text).split()
        right = set()
        for same in difflib.SequenceMatcher(None, reference, [part for part, _ in plain], autojunk=False).get_matching_blocks():
            right.update(range(same.b, same.b + same.size))
        halves[number % 2].extend((word[3], word[4], place in right) for place, (_, word) in enumerate(plain))
    slope, offset = fit([(probability, right) for probability, _, right in halves[0]])
    print(f"fitted to {len(halves[0])} words of every second prompt: slope {slope:.3f}, offset {offset:.3f}")
    table("the others, by probability:", [(probability, right) for probability, _, right in halves[1]])
    table("the others, by the confidence that is built in:", [(confidence, right) for _, confidence, right in halves[1]])


if __name__ == "__main__":
    main()
