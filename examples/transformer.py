"""A small transformer learns a poem by heart, character by character.

The text is six stanzas of "The Walrus and the Carpenter" (Lewis Carroll, 1871; public domain).
Given the first line, the trained model says what follows. It is far too little text to learn a
language from; what shows is that the whole step (embedding, masked attention, layer norms, Adam) is
one native call. Run with ``python examples/transformer.py [folder]``; with matplotlib,
``transformer.png`` in the folder shows the loss.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

import numpy as np

import nets
from nets import nn, optim

CONTEXT, WIDTH, HEADS, BATCH, STEPS = 16, 64, 4, 32, 300
TEXT = (Path(__file__).parent / "data" / "walrus.txt").read_text(encoding="utf-8")


class Model(nn.Module):
    """Scores of the next character at each position: (N, CONTEXT) to (N, CONTEXT, symbols)."""

    def __init__(self, symbols):
        super().__init__()
        self.symbol = nn.Embedding(symbols, WIDTH)
        self.position = nn.Embedding(CONTEXT, WIDTH)
        layer = nn.TransformerEncoderLayer(
            WIDTH,
            HEADS,
            4 * WIDTH,
            dropout=0.0,
            activation="gelu",
            batch_first=True,
            norm_first=True,
        )
        self.encoder = nn.TransformerEncoder(layer, 2, nn.LayerNorm(WIDTH))
        self.head = nn.Linear(WIDTH, symbols)
        self.future = np.triu(np.ones((CONTEXT, CONTEXT), bool), 1)

    def forward(self, x):
        hidden = self.symbol(x) + self.position(np.arange(CONTEXT))
        return self.head(self.encoder(hidden, self.future))


def main(folder):
    nets.manual_seed(0)
    alphabet = sorted(set(TEXT))
    codes = np.array([alphabet.index(c) for c in TEXT])
    model = Model(len(alphabet))
    print(f"{len(TEXT)} characters, {len(alphabet)} symbols")
    print(repr(model).splitlines()[0])
    criterion = nn.CrossEntropyLoss()
    optimizer = optim.AdamW(model.parameters(), lr=1e-2)
    schedule = optim.OneCycleLR(optimizer, 1e-2, STEPS + 1)

    @nets.trace
    def train_step(x, y):
        optimizer.zero_grad()
        scores = model(x)
        loss = criterion(scores.reshape((BATCH * CONTEXT, -1)), y.reshape((-1,)))
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        return loss

    rng = np.random.default_rng(0)
    losses = []
    started = time.perf_counter()
    for step in range(STEPS):
        starts = rng.integers(0, len(codes) - CONTEXT, BATCH)
        windows = codes[starts[:, None] + np.arange(CONTEXT + 1)]
        losses.append(train_step(windows[:, :-1], windows[:, 1:]).item())
        schedule.step()
        if step % 100 == 99:
            print(f"step {step + 1}: loss {losses[-1]:.3f}")
    print(f"{1000 * (time.perf_counter() - started) / STEPS:.1f} ms per step")

    begin = TEXT[:CONTEXT]
    said = recite(model, alphabet, begin, 300)
    print(f"{begin}|{said[len(begin) :]}")
    right = known(model, codes)
    print(f"{right} of {len(codes) - CONTEXT} characters are foretold by the {CONTEXT} before them")
    draw(losses, folder / "transformer.png")
    if right < 0.95 * (len(codes) - CONTEXT):
        sys.exit("the poem was not learnt")


def recite(model, alphabet, begin, count):
    """The text that begins so, and ``count`` characters the model thinks most likely."""

    @nets.trace
    def following(x):
        return nets.argmax(model(x)[0, -1])

    codes = [alphabet.index(c) for c in begin]
    for _ in range(count):
        codes.append(following(np.array([codes[-CONTEXT:]])).item())
    return "".join(alphabet[code] for code in codes)


def known(model, codes):
    """How many characters of the text the model thinks most likely after what precedes them.

    One wrong character can lead a recital to another stanza, where the lines are alike.
    """
    before = np.lib.stride_tricks.sliding_window_view(codes[:-1], CONTEXT)
    with nets.no_grad():
        scores = model(before)[:, -1]
    return int(np.sum(np.argmax(scores.numpy(), 1) == codes[CONTEXT:]))


def draw(losses, file):
    """The loss of each step."""
    try:
        from matplotlib.figure import Figure
    except ImportError:
        print('no picture without matplotlib: pip install "nets-compiler[plot]"')
        return
    figure = Figure(figsize=(5.6, 3), dpi=72, layout="tight")
    axes = figure.subplots()
    axes.plot(np.array(losses) / np.log(2))
    axes.set(xlabel="step", ylabel="bits per character", ylim=(0, None))
    figure.savefig(file)
    print(f"wrote {file.name}")


if __name__ == "__main__":
    where = Path(sys.argv[1] if len(sys.argv) > 1 else "build/transformer").resolve()
    where.mkdir(parents=True, exist_ok=True)
    main(where)
