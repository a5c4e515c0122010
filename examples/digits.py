"""Learn handwritten digits with one natively compiled training step; ship the step itself as C.

The whole road in one file: a loss written as for NumPy; its gradient and an Adam update traced into
one native call; the reference interpreter giving the same losses; a library with which a C program
learns without Python what Python learned, bit for bit. Needs scikit-learn for its 1,797 digits and
tqdm for the progress bar (``pip install "nets-compiler[demo]"``). Run with
``python examples/digits.py [folder]``.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
from sklearn.datasets import load_digits
from tqdm import tqdm

import nets

HIDDEN, BATCH, EPOCHS = 128, 32, 30
RATE, BETA1, BETA2, EPSILON = 2e-3, 0.9, 0.999, 1e-8
REFERENCE_STEPS = 220
HERE = Path(__file__).parent


def network(params, x):
    """Scores of the ten digits: (n, 64) images to (n, 10)."""
    hidden = nets.relu(x @ params["w1"] + params["b1"])
    return hidden @ params["w2"] + params["b2"]


def loss(params, x, y):
    """Mean cross-entropy against one-hot labels."""
    return -(nets.log_softmax(network(params, x), axis=1) * y).sum(axis=1).mean()


class Learner:
    """The weights and Adam's moments, all float32: the state that a training step updates."""

    def __init__(self, seed):
        """Random weights (He et al. 2015) and empty moments."""
        rng = np.random.default_rng(seed)
        sizes = {"w1": (64, HIDDEN), "b1": (HIDDEN,), "w2": (HIDDEN, 10), "b2": (10,)}
        self.params, self.m, self.v = {}, {}, {}
        for name, shape in sizes.items():
            spread = np.sqrt(2 / shape[0]) * (len(shape) > 1)
            self.params[name] = nets.Tensor((rng.normal(size=shape) * spread).astype("float32"))
            self.m[name] = nets.Tensor(np.zeros(shape, "float32"))
            self.v[name] = nets.Tensor(np.zeros(shape, "float32"))
        self.steps = nets.Tensor(np.float32(0))

    def fit(self, x, y):
        """Loss, gradient and Adam update: one native call when it is traced. Returns the loss."""
        value, grads = nets.value_and_grad(loss)(self.params, x, y)
        self.steps.data = self.steps + 1
        scale = RATE * nets.sqrt(1 - BETA2**self.steps) / (1 - BETA1**self.steps)
        for name, grad in grads.items():
            p, m, v = self.params[name], self.m[name], self.v[name]
            m.data = BETA1 * m + (1 - BETA1) * grad
            v.data = BETA2 * v + (1 - BETA2) * grad * grad
            p.data = p - scale * m / (nets.sqrt(v) + EPSILON)
        return value

    def predict(self, x):
        return network(self.params, x)


def digits(rng):
    """(training images, one-hot labels), (held-out images, labels); a fifth is held out."""
    images, labels = load_digits(return_X_y=True)
    order = rng.permutation(len(images))
    images, labels = (images[order] / 16).astype("float32"), labels[order]
    held_out = len(images) // 5
    one_hot = np.eye(10, dtype="float32")[labels]
    return (images[held_out:], one_hot[held_out:]), (images[:held_out], labels[:held_out])


def batches(x, y, rng):
    """Shuffled batches, epoch after epoch; an incomplete last batch is left out."""
    for _ in range(EPOCHS):
        order = rng.permutation(len(x))
        for start in range(0, len(x) - BATCH + 1, BATCH):
            chosen = order[start : start + BATCH]
            yield x[chosen], y[chosen]


def train(step, steps):
    """The loss of every step."""
    losses = []
    # Steps are faster than tqdm looks at the clock: the bar is told when to move.
    with tqdm(total=len(steps), unit="step", file=sys.stdout, mininterval=0, miniters=1) as bar:
        for x, y in steps:
            losses.append(float(step(x, y)))
            if len(losses) % 50 == 0 or len(losses) == len(steps):
                bar.set_postfix(loss=f"{np.mean(losses[-50:]):.4f}", refresh=False)
                bar.update(len(losses) - bar.n)
    return losses


def write_record(path, steps, losses, params, *held_out):
    """What ``digits.c`` repeats: batch and loss of every step, then weights, then held-out data."""
    arrays = []
    for (x, y), value in zip(steps, losses, strict=True):
        arrays += [x, y, np.float32(value)]
    arrays += [params[name].numpy() for name in ("w1", "b1", "w2", "b2")]
    path.write_bytes(b"".join(array.tobytes() for array in [*arrays, *held_out]))


def build_c(folder, library, steps, images):
    """Compile ``digits.c`` with the exported header and library; the path of the program."""
    program = folder / "digits_c"
    compiler = os.environ.get("CC") or shutil.which("cc") or "gcc"
    command = [compiler, "-std=c11", "-O2", "-Wall", "-Wextra", "-Werror", "-pedantic"]
    command += [f"-DSTEPS={steps}", f"-DBATCH={BATCH}", f"-DIMAGES={images}", f"-I{folder}"]
    subprocess.run([*command, HERE / "digits.c", library, "-o", program], check=True)
    return program


def main(folder):
    (x, y), (test_x, test_y) = digits(np.random.default_rng(0))
    steps = list(batches(x, y, np.random.default_rng(2)))
    learner = Learner(seed=1)
    fit, predict = nets.trace(learner.fit), nets.trace(learner.predict)

    start = time.perf_counter()
    fit.lower(*steps[0]).compile()
    print(f"compiled the training step in {1e3 * (time.perf_counter() - start):.0f} ms")

    # The state that the library starts from is the one of now: the network has yet to learn.
    functions = {"fit": fit.lower(*steps[0]), "predict": predict.lower(test_x)}
    exported = nets.export(folder / "digits", **functions)
    for path in exported.files:
        print(f"wrote {path} ({path.stat().st_size / 1024:.0f} KB)")

    start = time.perf_counter()
    losses = train(fit, steps)
    print(f"trained {len(steps)} steps in {time.perf_counter() - start:.2f} s")
    scores = predict(test_x).numpy()
    accuracy = 100 * float(np.mean(scores.argmax(1) == test_y))
    print(f"held-out accuracy {accuracy:.2f} % on {len(test_x)} images")

    print(f"the NumPy reference, the same {REFERENCE_STEPS} steps:")
    reference = nets.trace(Learner(seed=1).fit).lower(*steps[0]).compile(backend="numpy")
    expected = train(reference, steps[:REFERENCE_STEPS])
    worst = float(np.max(np.abs(np.subtract(losses[:REFERENCE_STEPS], expected))))
    print(f"largest difference of a loss: {worst:.1e}")

    record, learned = folder / "record.bin", folder / "learned.bin"
    held_out = test_x, test_y.astype("int32"), scores
    write_record(record, steps, losses, learner.params, *held_out)
    program = build_c(folder, exported.files[1], len(steps), len(test_x))
    sys.stdout.flush()
    if subprocess.run([program, record, learned]).returncode != 0:
        sys.exit("the C program did not learn what Python did")

    library = nets.load(exported.files[0])
    library.state.load(learned.read_bytes())
    same = np.array_equal(library.predict(test_x), scores)
    print(f"what C learned, loaded in Python, gives {'the same bits' if same else 'OTHER BITS'}")

    if accuracy < 97 or worst > 1e-4 or not same:
        sys.exit("the demo did not hold what it promises")


if __name__ == "__main__":
    where = Path(sys.argv[1] if len(sys.argv) > 1 else "build/demo").resolve()
    where.mkdir(parents=True, exist_ok=True)
    main(where)
