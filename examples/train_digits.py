"""Train a network on handwritten digits as with PyTorch; each training step is one native call.

A Solver runs the step a user would write (zero_grad, forward, backward, step) as one traced
function, and keeps a checkpoint that an interrupted run goes on from. The trained model then
becomes a C library. Needs scikit-learn for its 1,797 digits
(``pip install "nets-compiler[demo]"``). Run with ``python examples/train_digits.py [folder]``.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

import nets
from nets import data, datasets, nn, optim

EPOCHS, BATCH = 10, 64


def main(folder):
    nets.manual_seed(0)
    training, held_out = data.random_split(datasets.digits(), [0.8, 0.2], seed=0)
    loader = data.DataLoader(training, BATCH, shuffle=True, drop_last=True)

    model = nn.Sequential(nn.Linear(64, 128), nn.ReLU(), nn.Dropout(0.1), nn.Linear(128, 10))
    print(model)
    optimizer = optim.AdamW(model.parameters(), lr=1e-2)
    solver = nets.Solver(
        model,
        nn.CrossEntropyLoss(label_smoothing=0.05),
        optimizer,
        metrics=["accuracy"],
        scheduler=optim.OneCycleLR(optimizer, 1e-2, EPOCHS * len(loader) + 1),
        schedule="batch",
    )
    test = data.DataLoader(held_out, len(held_out))
    history = solver.run(EPOCHS, loader, test, checkpoint=folder / "digits.npz")

    accuracy = 100 * history["eval_accuracy"][-1]
    print(f"held-out accuracy {accuracy:.2f} % on {len(held_out)} images")

    model.eval()
    images, _ = held_out.batch(np.arange(len(held_out)))
    predict = nets.trace(lambda images: nets.argmax(model(images), 1))
    exported = nets.export(folder / "classify", predict=predict.lower(images))
    same = np.array_equal(nets.load(exported.files[0]).predict(images), predict(images).data)
    print(f"the exported library gives {'the same digits' if same else 'OTHER DIGITS'}")
    if accuracy < 97 or not same:
        sys.exit("the example did not hold what it promises")


if __name__ == "__main__":
    where = Path(sys.argv[1] if len(sys.argv) > 1 else "build/train_digits").resolve()
    where.mkdir(parents=True, exist_ok=True)
    main(where)
