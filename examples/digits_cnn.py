"""A small convolutional network on handwritten digits; each training step is one native call.

The 1,797 digits of scikit-learn (``pip install "nets-compiler[demo]"``), 20 % of them held out. Run
with ``python examples/digits_cnn.py [folder]``; with matplotlib, ``digits_cnn.png`` in the folder
shows the history and what the network got wrong.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

import nets
from nets import data, datasets, nn, optim

EPOCHS, BATCH = 6, 64


def main(folder):
    nets.manual_seed(0)
    training, held_out = data.random_split(datasets.digits(flat=False), [0.8, 0.2], seed=0)
    model = nn.Sequential(
        nn.Conv2d(1, 16, 3, padding=1),
        nn.BatchNorm2d(16),
        nn.ReLU(),
        nn.Conv2d(16, 32, 3, padding=1),
        nn.BatchNorm2d(32),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Dropout(0.3),
        nn.Linear(32 * 4 * 4, 64),
        nn.ReLU(),
        nn.Linear(64, 10),
    )
    print(model)
    loader = data.DataLoader(training, BATCH, shuffle=True, drop_last=True)
    optimizer = optim.AdamW(model.parameters(), lr=1e-2)
    solver = nets.Solver(
        model,
        nn.CrossEntropyLoss(label_smoothing=0.05),
        optimizer,
        metrics=["accuracy"],
        scheduler=optim.OneCycleLR(optimizer, 1e-2, EPOCHS * len(loader) + 1),
        schedule="batch",
    )
    solver.run(EPOCHS, loader, data.DataLoader(held_out, BATCH))
    accuracy = 100 * solver.history["eval_accuracy"][-1]
    print(f"held-out accuracy {accuracy:.2f} % on {len(held_out)} images")
    draw(solver, held_out, folder / "digits_cnn.png")
    if accuracy < 98.5:
        sys.exit("the example did not hold what it promises")


def draw(solver, held_out, file):
    """Losses and accuracies by epoch."""
    try:
        figure = solver.plot()
    except nets.errors.LoadError as error:
        print(error.message)
        return
    images, labels = held_out.batch(np.arange(len(held_out)))
    found = nets.argmax(solver.predict(images), 1).numpy()
    wrong = np.flatnonzero(found != labels)
    told = ", ".join(f"{labels[i]} taken for {found[i]}" for i in wrong[:6])
    figure.suptitle(f"{len(wrong)} of {len(labels)} wrong: {told}", fontsize=9)
    figure.savefig(file, dpi=72)
    print(f"wrote {file.name}")


if __name__ == "__main__":
    where = Path(sys.argv[1] if len(sys.argv) > 1 else "build/digits_cnn").resolve()
    where.mkdir(parents=True, exist_ok=True)
    main(where)
