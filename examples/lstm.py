"""An LSTM reads handwritten digits row by row, and names the digit after the last row.

The 1,797 digits of scikit-learn (``pip install "nets-compiler[demo]"``), 20 % of them held out, as
sequences of eight rows of eight pixels. The step is written as with PyTorch and captured whole.
Run with ``python examples/lstm.py [folder]``; with matplotlib, ``lstm.png`` in the folder shows how
sure the network is of some digits after each row.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

import nets
from nets import data, datasets, nn, optim

EPOCHS, BATCH, HIDDEN = 15, 64, 64


class Reader(nn.Module):
    """Scores of the ten digits after each row: (N, 8, 8) to (N, 8, 10)."""

    def __init__(self):
        super().__init__()
        self.lstm = nn.LSTM(8, HIDDEN, batch_first=True)
        self.head = nn.Linear(HIDDEN, 10)

    def forward(self, images):
        states, _ = self.lstm(images)
        return self.head(states)


def main(folder):
    nets.manual_seed(0)
    training, held_out = data.random_split(datasets.digits(), [0.8, 0.2], seed=0)
    loader = data.DataLoader(
        training, BATCH, shuffle=True, drop_last=True, transform=lambda b: (rows(b[0]), b[1])
    )
    model = Reader()
    print(model)
    criterion = nn.CrossEntropyLoss()
    optimizer = optim.Adam(model.parameters(), lr=1e-2)
    schedule = optim.OneCycleLR(optimizer, 1e-2, epochs=EPOCHS + 1, steps_per_epoch=len(loader))

    @nets.trace
    def train_step(x, y):
        optimizer.zero_grad()
        loss = criterion(model(x)[:, -1], y)
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        return loss

    for epoch in range(EPOCHS):
        losses = []
        for x, y in loader:
            losses.append(train_step(x, y).item())
            schedule.step()
        if epoch % 5 == 4:
            print(f"epoch {epoch + 1}: loss {np.mean(losses):.4f}")

    images, labels = held_out.batch(np.arange(len(held_out)))
    chances = nets.trace(lambda x: nets.softmax(model(x), -1))(rows(images)).numpy()
    by_row = (chances.argmax(-1) == labels[:, None]).mean(0)
    print("right after each row: " + ", ".join(f"{100 * part:.0f} %" for part in by_row))
    print(f"held-out accuracy {100 * by_row[-1]:.2f} % on {len(held_out)} images")
    draw(rows(images), labels, chances, folder / "lstm.png")
    if by_row[-1] < 0.95:
        sys.exit("the example did not hold what it promises")


def rows(images):
    """Flat images (N, 64) as sequences of rows."""
    return images.reshape(-1, 8, 8)


def draw(images, labels, chances, file):
    """Four digits, and beside each the chance of every digit after each row."""
    try:
        from matplotlib.figure import Figure
    except ImportError:
        print('no picture without matplotlib: pip install "nets-compiler[plot]"')
        return
    figure = Figure(figsize=(6.4, 2.6), dpi=72, layout="tight")
    panels = figure.subplots(2, 4)
    for i, label in enumerate((2, 3, 5, 9)):
        one = np.flatnonzero(labels == label)[0]
        panels[0, i].imshow(images[one], cmap="Greys")
        panels[1, i].imshow(chances[one], cmap="Blues", vmin=0, vmax=1, aspect="auto")
        panels[1, i].set(xticks=range(10), yticks=[])
        panels[0, i].set_axis_off()
    panels[1, 0].set(ylabel="after each row")
    figure.savefig(file)
    print(f"wrote {file.name}")


if __name__ == "__main__":
    where = Path(sys.argv[1] if len(sys.argv) > 1 else "build/lstm").resolve()
    where.mkdir(parents=True, exist_ok=True)
    main(where)
