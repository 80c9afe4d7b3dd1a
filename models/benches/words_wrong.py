"""Word error rate and processor seconds of `transcribe` on the telephone prompts:

    words_wrong.py SPEECH TRANSCRIBE [OPTION...]
"""

import json
import pathlib
import subprocess
import sys
import tempfile

from normalizer import EnglishTextNormalizer

from words import errors, prompts


def main():
    speech, *command = sys.argv[1:]
    listed = prompts(pathlib.Path(speech))
    with tempfile.NamedTemporaryFile("w", suffix=".list") as paths:
        paths.write("".join(f"{path}\n" for path, _, _ in listed))
        paths.flush()
        run = subprocess.run([*command, paths.name], capture_output=True, text=True, check=True)
    normalize = EnglishTextNormalizer()
    references = [normalize(text).split() for _, text, _ in listed]
    heard = [normalize(line.split("\t")[1]).split() for line in run.stdout.splitlines()]
    wrong = sum(map(errors, references, heard))
    print(f"{100 * wrong / sum(map(len, references)):.2f} {json.loads(run.stderr.splitlines()[-1])['processor_s']:.1f}")


if __name__ == "__main__":
    main()
