"""What a Whisper of any size costs: operations counted from its shape, seconds by what was measured of two.

    sizing.py TINY_MS BASE_MS [TURN_SECONDS]

TINY_MS and BASE_MS are milliseconds of one core for a second of speech, measured (asr_vs_peers.sh); the turn is 4 s unless said. A product of
whole numbers counts as two operations, as in the table of the kernels. Printed as the table of models/cards/whisper-tiny-en.md.
"""

import sys

# Width, encoder and decoder layers, mel bins, vocabulary: OpenAI's and distil-whisper's model cards.
MODELS = {
    "tiny.en": (384, 4, 4, 80, 51864),
    "base": (512, 6, 6, 80, 51865),
    "small.en": (768, 12, 12, 80, 51864),
    "distil-small.en": (768, 12, 4, 80, 51864),
    "medium.en": (1024, 24, 24, 80, 51864),
    "distil-large-v3": (1280, 32, 2, 128, 51866),
    "large-v3-turbo": (1280, 32, 4, 128, 51866),
    "large-v3": (1280, 32, 32, 128, 51866),
}
# Positions of 20 ms; the second of silence and the sound around a turn that are encoded with it; tokens a second, and those that frame a turn.
POSITIONS, AROUND, TOKENS, FRAME = 50, 1.0 + 0.48, 3.6, 5
WINDOW, ALIKE = 1500, 4


def operations(shape, seconds):
    """Encoder, cross keys, decoder, for a turn."""
    width, encoder, decoder, mels, vocabulary = shape
    places = min(WINDOW, (seconds + AROUND) * POSITIONS)
    convolutions = 2 * places * 3 * mels * width + places * 3 * width * width
    layer = 12 * width * width + 2 * places * width
    looked_at = places + (WINDOW - places) / ALIKE
    step = decoder * (14 * width * width + 2 * looked_at * width) + width * vocabulary
    tokens = TOKENS * seconds + FRAME
    return [2 * count for count in (convolutions + encoder * places * layer, decoder * places * 2 * width * width, tokens * step)]


def megabytes(shape):
    width, encoder, decoder, mels, vocabulary = shape
    numbers = encoder * 12 * width**2 + decoder * 16 * width**2 + vocabulary * width + 3 * width * (mels + width)
    return numbers * 1.07 / 1e6


def main():
    measured = {"tiny.en": float(sys.argv[1]), "base": float(sys.argv[2])}
    seconds = float(sys.argv[3]) if len(sys.argv) > 3 else 4.0
    totals = {name: sum(operations(shape, seconds)) / seconds for name, shape in MODELS.items()}
    # Base's rate for all that are larger: their matrices are nearer to the processor's peak, their weights further from its caches.
    rate = {name: totals[name] / measured[name] for name in measured}
    print("| model | Q8_0, MB | operations a second of speech, 10^9 | encoder | ms of a core a second of speech | calls on 2 cores |")
    print("|---|---|---|---|---|---|")
    for name, shape in MODELS.items():
        encoder, keys, decoder = operations(shape, seconds)
        cost = measured.get(name) or totals[name] / rate["base"]
        # At four fifths of the time, one second of speech for a second of a call (as in a real call), and 1.5 ms for hearing it.
        calls = 2 * 0.8 * 1000 / (cost + 1.5)
        kind = "" if name in measured else " (computed)"
        print(f"| {name} | {megabytes(shape):.0f} | {totals[name] / 1e9:.1f} | {100 * encoder / (encoder + keys + decoder):.0f} % "
              f"| {cost:.0f}{kind} | {calls:.0f} |")


if __name__ == "__main__":
    main()
