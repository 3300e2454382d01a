"""The data and the model of the examples: the licence texts that every Debian machine has, and a small network that
guesses the next character from the eight before it. NumPy only."""

import pathlib

import numpy as np

FOLDER = pathlib.Path("/usr/share/common-licenses")
CONTEXT, WIDTH, HIDDEN, SYMBOLS = 8, 12, 64, 96


def load():
    """All texts as numbers from 0 to 95: what to train on, and the last tenth of each to test with."""
    parts = []
    for path in sorted(FOLDER.iterdir()):
        if path.is_symlink():
            continue
        codes = np.frombuffer(path.read_bytes(), np.uint8).astype(np.int64)
        codes = np.where(codes == ord("\n"), SYMBOLS - 1, codes - ord(" "))
        parts.append(np.where((codes < 0) | (codes >= SYMBOLS), 0, codes))
    cuts = [len(part) - len(part) // 10 for part in parts]
    return (np.concatenate([part[:cut] for part, cut in zip(parts, cuts, strict=True)]),
            np.concatenate([part[cut:] for part, cut in zip(parts, cuts, strict=True)]))


def make(seed=1):
    """The parameters: the same for the same seed."""
    draw = np.random.default_rng(seed)

    def normal(*shape):
        return (draw.standard_normal(shape) / np.sqrt(shape[0])).astype(np.float32)

    return {"embedding": normal(SYMBOLS, WIDTH), "hidden": normal(CONTEXT * WIDTH, HIDDEN),
            "hidden_bias": np.zeros(HIDDEN, np.float32), "output": normal(HIDDEN, SYMBOLS),
            "output_bias": np.zeros(SYMBOLS, np.float32)}


def draw(text, draw_from, count=32):
    """So many pieces of the text and the characters that follow."""
    places = draw_from.integers(0, len(text) - CONTEXT, count)
    return text[places[:, None] + np.arange(CONTEXT)], text[places + CONTEXT]


def gradients(model, pieces, wanted):
    """The loss in nats per character, and its gradients."""
    count = len(wanted)
    inputs = model["embedding"][pieces].reshape(count, -1)
    hidden = np.tanh(inputs @ model["hidden"] + model["hidden_bias"])
    scores = hidden @ model["output"] + model["output_bias"]
    scores -= scores.max(axis=1, keepdims=True)
    chances = np.exp(scores)
    chances /= chances.sum(axis=1, keepdims=True)
    loss = -np.log(chances[np.arange(count), wanted] + 1e-12).mean()
    chances[np.arange(count), wanted] -= 1
    chances /= count
    d_hidden = (chances @ model["output"].T) * (1 - hidden * hidden)
    d_embedding = np.zeros_like(model["embedding"])
    np.add.at(d_embedding, pieces, (d_hidden @ model["hidden"].T).reshape(count, CONTEXT, WIDTH))
    return float(loss), {"embedding": d_embedding, "hidden": inputs.T @ d_hidden, "hidden_bias": d_hidden.sum(axis=0),
                         "output": hidden.T @ chances, "output_bias": chances.sum(axis=0)}


def test(model, text):
    """The loss on text that was not trained on."""
    return gradients(model, *draw(text, np.random.default_rng(0), 2000))[0]


class Adam:
    """The inner optimizer; changes the parameters in place."""

    def __init__(self, model, rate=3e-3):
        self.rate = rate
        self.state = {f"{kind}/{name}": np.zeros_like(values) for name, values in model.items()
                      for kind in ("mean", "square")} | {"steps": np.zeros(1, np.int64)}

    def step(self, model, grads):
        self.state["steps"] += 1
        steps = int(self.state["steps"][0])
        for name, grad in grads.items():
            mean, square = self.state[f"mean/{name}"], self.state[f"square/{name}"]
            mean += 0.1 * (grad - mean)
            square += 0.01 * (grad * grad - square)
            model[name] -= self.rate * (mean / (1 - 0.9**steps)) / (np.sqrt(square / (1 - 0.99**steps)) + 1e-8)
