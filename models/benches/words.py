"""The telephone prompts, and how many of their words are wrong; for the scripts beside this file."""

import csv


def prompts(speech):
    """Path, transcript and seconds of each."""
    with open(speech / "MANIFEST.tsv", newline="") as manifest:
        return [(speech / row["path"], row["transcript"], float(row["seconds"])) for row in csv.DictReader(manifest, delimiter="\t")
                if row["speaker"] == "allison" and row["source"].startswith("asterisk")]


def errors(reference, heard):
    """Words to substitute, delete and insert: the edit distance."""
    row = list(range(len(heard) + 1))
    for i, word in enumerate(reference, 1):
        before, row[0] = row[0], i
        for j, other in enumerate(heard, 1):
            before, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, before + (word != other))
    return row[-1]
