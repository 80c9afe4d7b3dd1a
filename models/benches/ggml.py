"""The same weights for whisper.cpp: from CTranslate2's folder to a file in ggml's layout.

    ggml.py WEIGHTS FILE [f16|q8_0]

The layout is whisper.cpp's own (src/whisper.cpp, whisper_model_load): numbers, mel filters, tokens, tensors, all little-endian.
Matrices are stored as said, convolutions in f16, all else in f32, as its own converter and quantizer do.
"""

import pathlib
import struct
import sys

import numpy as np
from faster_whisper.feature_extractor import FeatureExtractor

# ggml.h: the types of a tensor, and what whisper.cpp calls a file whose matrices are of that type (with the version of the quantization).
F32, F16, Q8_0 = 0, 1, 8
KINDS = {"f16": (F16, 1), "q8_0": (Q8_0, 2007)}
# DataType of ctranslate2/types.h.
TYPES = {0: np.float32, 1: np.int8, 2: np.int16, 3: np.int32, 4: np.float16}


def variables(path):
    """As ctranslate2/specs/model_spec.py writes them."""
    data, at = path.read_bytes(), 0

    def number(form):
        nonlocal at
        (value,) = struct.unpack_from("<" + form, data, at)
        at += struct.calcsize("<" + form)
        return value

    def name():
        nonlocal at
        length = number("H")
        at += length
        return data[at - length : at - 1].decode()

    assert number("I") == 6 and name() == "WhisperSpec", path
    number("I")
    found = {}
    for _ in range(number("I")):
        key = name()
        shape = [number("I") for _ in range(number("B"))]
        kind, length = number("B"), number("I")
        found[key] = np.frombuffer(data, TYPES[kind], length // np.dtype(TYPES[kind]).itemsize, at).reshape(shape)
        at += length
    return found


def tensors(found):
    """By whisper.cpp's names, which are OpenAI's."""

    def norm(there, here):
        yield there + ".weight", found[here + "/gamma"]
        yield there + ".bias", found[here + "/beta"]

    def linear(there, here, names):
        """Several products that CTranslate2 keeps as one; a key has no bias."""
        weights, biases = (np.split(found[f"{here}/{kind}"], len(names)) for kind in ("weight", "bias"))
        for name, weight, bias in zip(names, weights, biases):
            yield f"{there}.{name}.weight", weight
            if name != "key":
                yield f"{there}.{name}.bias", bias

    for index in (1, 2):
        yield f"encoder.conv{index}.weight", found[f"encoder/conv{index}/weight"]
        yield f"encoder.conv{index}.bias", found[f"encoder/conv{index}/bias"].reshape(-1, 1)
    yield "decoder.token_embedding.weight", found["decoder/embeddings/weight"]
    for side, last in (("encoder", "ln_post"), ("decoder", "ln")):
        yield f"{side}.positional_embedding", found[f"{side}/position_encodings/encodings"]
        yield from norm(f"{side}.{last}", f"{side}/layer_norm")
        for layer in range(layers(found, side)):
            here, there = f"{side}/layer_{layer}", f"{side}.blocks.{layer}"
            yield from linear(f"{there}.attn", f"{here}/self_attention/linear_0", ["query", "key", "value"])
            yield from linear(f"{there}.attn", f"{here}/self_attention/linear_1", ["out"])
            yield from norm(f"{there}.attn_ln", f"{here}/self_attention/layer_norm")
            if side == "decoder":
                for index, names in enumerate((["query"], ["key", "value"], ["out"])):
                    yield from linear(f"{there}.cross_attn", f"{here}/attention/linear_{index}", names)
                yield from norm(f"{there}.cross_attn_ln", f"{here}/attention/layer_norm")
            yield from linear(f"{there}.mlp", f"{here}/ffn/linear_0", ["0"])
            yield from linear(f"{there}.mlp", f"{here}/ffn/linear_1", ["2"])
            yield from norm(f"{there}.mlp_ln", f"{here}/ffn/layer_norm")


def layers(found, side):
    return sum(f"{side}/layer_{layer}/ffn/linear_0/weight" in found for layer in range(64))


def stored(name, values, matrix):
    """Type and bytes: as whisper.cpp's own tools store a tensor of this name."""
    if name.endswith("positional_embedding") or values.ndim < 2 or name.endswith("bias"):
        return F32, values.astype("<f4").tobytes()
    if values.ndim == 3 or matrix == F16:
        return F16, values.astype("<f2").tobytes()
    # Q8_0: 32 values with one scale, of which the largest is 127.
    blocks = values.astype(np.float32).reshape(-1, 32)
    scale = np.abs(blocks).max(1) / 127
    inverse = np.divide(1, scale, out=np.zeros_like(scale), where=scale > 0)
    packed = np.empty(len(blocks), np.dtype([("scale", "<f2"), ("values", "i1", 32)]))
    packed["scale"], packed["values"] = scale, np.rint(blocks * inverse[:, None])
    return Q8_0, packed.tobytes()


# GPT-2 writes each byte of a token as a letter that can be printed.
PRINTED = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
HIDDEN = [byte for byte in range(256) if byte not in PRINTED]
LETTERS = {chr(byte): byte for byte in PRINTED} | {chr(256 + index): byte for index, byte in enumerate(HIDDEN)}


def plain_bytes(token):
    return bytes(LETTERS[letter] for letter in token)


def main():
    weights, file, kind = pathlib.Path(sys.argv[1]), sys.argv[2], sys.argv[3]
    matrix, file_kind = KINDS[kind]
    found = variables(weights / "model.bin")
    vocabulary = (weights / "vocabulary.txt").read_text(encoding="utf-8").split("\n")
    words = vocabulary[: vocabulary.index("<|endoftext|>")]
    rows, state = found["decoder/embeddings/weight"].shape
    heads = [int(found[f"{side}/num_heads"]) for side in ("encoder", "decoder")]
    positions = [len(found[f"{side}/position_encodings/encodings"]) for side in ("encoder", "decoder")]
    mels = found["encoder/conv1/weight"].shape[1]
    filters = FeatureExtractor(feature_size=mels).mel_filters.astype("<f4")
    assert filters.shape == (mels, 201), filters.shape
    with open(file, "wb") as out:
        out.write(struct.pack("<I", 0x67676D6C))
        out.write(struct.pack("<11i", rows, positions[0], state, heads[0], layers(found, "encoder"),
                              positions[1], state, heads[1], layers(found, "decoder"), mels, file_kind))
        out.write(struct.pack("<2i", *filters.shape) + filters.tobytes())
        out.write(struct.pack("<i", len(words)))
        for word in map(plain_bytes, words):
            out.write(struct.pack("<i", len(word)) + word)
        for name, values in tensors(found):
            sort, data = stored(name, values, matrix)
            out.write(struct.pack("<3i", values.ndim, len(name), sort))
            out.write(struct.pack(f"<{values.ndim}i", *reversed(values.shape)) + name.encode() + data)


if __name__ == "__main__":
    main()
