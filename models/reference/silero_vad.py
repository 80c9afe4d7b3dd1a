"""Makes silero_vad.json: what the published network says of a synthetic signal.

    python silero_vad.py silero_vad/data > silero_vad.json

The argument is the data folder of PyPI silero-vad 6.2.3; numpy, onnx and onnxruntime are needed.

Two answers a frame. "same": the package's own 8 kHz graph, run by onnxruntime, with the weights of
silero_vad_16k.safetensors in it, which is the arithmetic that vad.rs follows. "upsampled": the package's own
16 kHz graph with these weights, on the signal upsampled by a long filter, which shows that the short cut
through the lower half of the spectrum changes next to nothing.
"""
import json
import pathlib
import struct
import sys

import numpy as np
import onnx
import onnxruntime
from onnx import numpy_helper

DATA = pathlib.Path(sys.argv[1])
RATE = 8000


def signal():
    """Three seconds: silence, a buzz with moving formants in syllables, noise, the buzz in noise."""
    n = np.arange(3 * RATE)
    t = n / RATE
    pitch = 2 * np.pi * (120 * t + 4 * np.sin(2 * np.pi * 0.7 * t))
    first = 500 + 250 * np.sin(2 * np.pi * 2.1 * t)
    second = 1500 + 500 * np.sin(2 * np.pi * 1.3 * t)
    buzz = np.zeros(len(n))
    for harmonic in range(1, 28):
        f = 120 * harmonic
        gain = np.exp(-(((f - first) / 150) ** 2)) + 0.5 * np.exp(-(((f - second) / 200) ** 2))
        buzz += gain * np.sin(harmonic * pitch)
    syllables = np.maximum(0, np.sin(2 * np.pi * 3.7 * t)) ** 0.5
    # A linear congruential generator, so that the noise is the same anywhere.
    noise, x = np.zeros(len(n)), 1
    for i in range(len(n)):
        x = (1664525 * x + 1013904223) % 2**32
        noise[i] = x / 2**31 - 1
    speech = ((t >= 0.4) & (t < 1.4)) | (t >= 2.0)
    return 0.12 * buzz * syllables * speech + 0.02 * noise * (t >= 1.7)


def published():
    """The safetensors file under the names of the ONNX graph."""
    data = (DATA / "silero_vad_16k.safetensors").read_bytes()
    (length,) = struct.unpack("<Q", data[:8])
    header = json.loads(data[8 : 8 + length])
    names = {f"conv{i + 1}.{k}": f"encoder.{i}.reparam_conv.{k}" for i in range(4) for k in ("weight", "bias")}
    names |= {f"lstm_cell.{k}_{s}": f"decoder.rnn.{k}_{s}" for k in ("weight", "bias") for s in ("ih", "hh")}
    names |= {f"final_conv.{k}": f"decoder.decoder.2.{k}" for k in ("weight", "bias")}
    tensors = {}
    for name, other in names.items():
        start, end = (8 + length + offset for offset in header[name]["data_offsets"])
        tensors[other] = np.frombuffer(data[start:end], "<f4").reshape(header[name]["shape"])
    return tensors


def session():
    """The package's graph, with the published weights in both of its branches."""
    tensors = published()
    model = onnx.load(DATA / "silero_vad.onnx")
    choice = next(node for node in model.graph.node if node.op_type == "If")
    for branch in choice.attribute:
        narrow = branch.name == "else_branch"
        for node in branch.g.node:
            if node.op_type != "Constant" or "__Inline_0__" not in node.output[0]:
                continue
            name = node.output[0].split("__Inline_0__")[1]
            value = tensors.get(name)
            if narrow and name == "encoder.0.reparam_conv.weight":
                value = np.ascontiguousarray(value[:, :65])
            if narrow and name == "stft.forward_basis_buffer":
                value = 2 * numpy_helper.to_array(node.attribute[0].t)
            if value is not None:
                node.attribute[0].t.CopyFrom(numpy_helper.from_array(value))
    return onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])


def probabilities(network, audio, rate):
    frame, context = rate // 125 * 4, rate // 250
    state, padded = np.zeros((2, 1, 128), np.float32), np.concatenate([np.zeros(context), audio])
    result = []
    for start in range(0, len(audio) - frame + 1, frame):
        heard = padded[None, start : start + context + frame].astype(np.float32)
        probability, state = network.run(None, {"input": heard, "state": state, "sr": np.array(rate, np.int64)})
        result.append(round(float(probability[0, 0]), 6))
    return result


def upsampled(audio):
    reach = 200
    n = np.arange(-reach, reach + 1)
    taps = np.sinc(n / 2) * np.kaiser(2 * reach + 1, 8)
    spread = np.zeros(2 * len(audio))
    spread[::2] = audio
    return np.convolve(spread, taps, "same")


def main():
    network, audio = session(), signal()
    rows = {
        "same": probabilities(network, audio, RATE),
        "upsampled": probabilities(network, upsampled(audio), 2 * RATE),
    }
    print("{" + ",\n".join(f'"{name}": {json.dumps(values)}' for name, values in rows.items()) + "}")


main()
