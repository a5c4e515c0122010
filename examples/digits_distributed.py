"""Train a network on handwritten digits on several ranks; the weights are the same on any number.

A Solver cuts each batch into eight shards, whatever the ranks are: a rank works on its own ones,
and their gradients are added along one tree. So is dropout drawn by shard. The last line is the
SHA-256 of all weights, for any number of ranks that divides eight, any MPI library and any number
of threads::

    python examples/digits_distributed.py
    mpiexec -n 4 python examples/digits_distributed.py

Needs scikit-learn for its 1,797 digits and, for several ranks, mpi4py
(``pip install "nets-compiler[demo,mpi]"``). A folder as argument keeps a checkpoint there, with
which an interrupted run goes on, also on another number of ranks.
"""

from __future__ import annotations

import hashlib
import sys
from pathlib import Path

import numpy as np

import nets
from nets import data, datasets, distributed, nn, optim

EPOCHS, BATCH, SHARDS = 8, 64, 8


def main(folder):
    distributed.init()
    nets.manual_seed(0)
    training, held_out = data.random_split(datasets.digits(), [0.8, 0.2], seed=0)
    loader = data.DataLoader(training, BATCH, shuffle=True, drop_last=True, shards=SHARDS)

    model = nn.Sequential(nn.Linear(64, 128), nn.BatchNorm1d(128), nn.ReLU(), nn.Dropout(0.1))
    model.append(nn.Linear(128, 10))
    optimizer = optim.AdamW(model.parameters(), lr=1e-2)
    loss, metrics = nn.CrossEntropyLoss(label_smoothing=0.05), ["accuracy"]
    solver = nets.Solver(model, loss, optimizer, metrics, shards=SHARDS)
    checkpoint = None if folder is None else folder / "digits.npz"
    history = solver.run(EPOCHS, loader, data.DataLoader(held_out, BATCH), checkpoint=checkpoint)

    state = model.state_dict()
    digest = hashlib.sha256(b"".join(np.asarray(state[key]).tobytes() for key in sorted(state)))
    digests = distributed.all_gather(nets.Tensor(np.frombuffer(digest.digest(), np.uint8)))
    accuracy = 100 * history["eval_accuracy"][-1]
    if distributed.rank() == 0:
        print(f"held-out accuracy {accuracy:.2f} % on {len(held_out)} images")
        print(f"weights on {distributed.size()} of {distributed.size()} ranks: one SHA-256")
        print(digest.hexdigest())
    if accuracy < 96 or any(bytes(row) != digest.digest() for row in digests.numpy()):
        sys.exit("the example did not hold what it promises")


if __name__ == "__main__":
    where = Path(sys.argv[1]).resolve() if len(sys.argv) > 1 else None
    if where is not None:
        where.mkdir(parents=True, exist_ok=True)
    main(where)
