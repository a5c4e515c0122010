"""Learn handwritten digits with one natively compiled training step; ship the result as C.

The whole road in one file: a loss written as for NumPy; its gradient and an Adam update traced into
one native call; the reference interpreter giving the same losses; a library that a C program runs
without Python. Needs scikit-learn for its 1,797 digits and tqdm for the progress bar
(``pip install "nets-compiler[demo]"``). Run with ``python examples/digits.py [folder]``.
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
from tqdm import trange

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


@nets.trace
def train_step(state, x, y):
    """Loss, gradient and Adam update: one native call. Returns the loss and the next state."""
    value, grads = nets.value_and_grad(loss)(state["params"], x, y)
    step = state["step"] + 1
    scale = RATE * nets.sqrt(1 - BETA2**step) / (1 - BETA1**step)
    next_state = {"params": {}, "m": {}, "v": {}, "step": step}
    for name, grad in grads.items():
        m = BETA1 * state["m"][name] + (1 - BETA1) * grad
        v = BETA2 * state["v"][name] + (1 - BETA2) * grad * grad
        next_state["m"][name], next_state["v"][name] = m, v
        next_state["params"][name] = state["params"][name] - scale * m / (nets.sqrt(v) + EPSILON)
    return value, next_state


def initial_state(rng):
    """Random weights (He et al. 2015) and empty Adam moments, all float32."""
    sizes = {"w1": (64, HIDDEN), "b1": (HIDDEN,), "w2": (HIDDEN, 10), "b2": (10,)}
    params = {
        name: (rng.normal(size=shape) * np.sqrt(2 / shape[0]) * (len(shape) > 1)).astype("float32")
        for name, shape in sizes.items()
    }
    zeros = {name: np.zeros(shape, "float32") for name, shape in sizes.items()}
    return {"params": params, "m": zeros, "v": zeros, "step": np.float32(0)}


def digits(rng):
    """(training images, one-hot labels), (held-out images, labels); a fifth is held out."""
    images, labels = load_digits(return_X_y=True)
    order = rng.permutation(len(images))
    images, labels = (images[order] / 16).astype("float32"), labels[order]
    held_out = len(images) // 5
    one_hot = np.eye(10, dtype="float32")[labels]
    return (images[held_out:], one_hot[held_out:]), (images[:held_out], labels[:held_out])


def batches(x, y, epochs, rng):
    """Shuffled batches, epoch after epoch; an incomplete last batch is left out."""
    for _ in range(epochs):
        order = rng.permutation(len(x))
        for start in range(0, len(x) - BATCH + 1, BATCH):
            chosen = order[start : start + BATCH]
            yield x[chosen], y[chosen]


def train(step, state, stream, steps):
    """The final state and the loss of every step."""
    losses = []
    with trange(steps, unit="step", file=sys.stdout) as bar:
        for _, (x, y) in zip(bar, stream, strict=False):
            value, state = step(state, x, y)
            losses.append(float(value))
            if len(losses) % 50 == 0 or len(losses) == steps:
                bar.set_postfix(loss=f"{np.mean(losses[-50:]):.4f}")
    return state, losses


def run_in_c(folder, library, images, labels):
    """Compile ``digits.c`` against the exported header and run it on the held-out images."""
    data = folder / "held_out.bin"
    data.write_bytes(images.tobytes() + labels.astype("int32").tobytes())
    program = folder / "digits_c"
    compiler = os.environ.get("CC") or shutil.which("cc") or "gcc"
    command = [compiler, "-std=c11", "-O2", "-Wall", "-Wextra", "-Werror", f"-I{folder}"]
    command += [f"-DIMAGES={len(images)}", str(HERE / "digits.c"), str(library), "-o", str(program)]
    subprocess.run(command, check=True)
    done = subprocess.run([program, data], check=True, capture_output=True, text=True)
    print(done.stdout, end="")
    return float(done.stdout.split("accuracy ")[1].split("%")[0])


def main(folder):
    rng = np.random.default_rng(0)
    (x, y), (test_x, test_y) = digits(rng)
    state = initial_state(rng)
    steps_per_epoch = len(x) // BATCH

    start = time.perf_counter()
    train_step.lower(state, x[:BATCH], y[:BATCH]).compile()
    print(f"compiled the training step in {1e3 * (time.perf_counter() - start):.0f} ms")
    start = time.perf_counter()
    stream = batches(x, y, EPOCHS, np.random.default_rng(2))
    final, losses = train(train_step, state, stream, EPOCHS * steps_per_epoch)
    print(f"trained {len(losses)} steps in {time.perf_counter() - start:.2f} s")

    params = {name: nets.Tensor(value) for name, value in final["params"].items()}
    predict = nets.trace(lambda images: network(params, images))
    accuracy = 100 * float(np.mean(predict(test_x).numpy().argmax(1) == test_y))
    print(f"held-out accuracy {accuracy:.2f} % on {len(test_x)} images")

    print(f"the NumPy reference, the same {REFERENCE_STEPS} steps:")
    reference = train_step.lower(state, x[:BATCH], y[:BATCH]).compile(backend="numpy")
    stream = batches(x, y, EPOCHS, np.random.default_rng(2))
    _, expected = train(reference, state, stream, REFERENCE_STEPS)
    worst = float(np.max(np.abs(np.subtract(losses[:REFERENCE_STEPS], expected))))
    print(f"largest difference of a loss: {worst:.1e}")

    exported = nets.export(
        folder / "digits",
        predict=predict.lower(test_x),
        loss_and_grad=nets.value_and_grad(loss).lower(final["params"], x[:BATCH], y[:BATCH]),
    )
    for path in exported.files:
        print(f"wrote {path} ({path.stat().st_size / 1024:.0f} KB)")
    same = np.array_equal(nets.load(exported.files[0]).predict(test_x), predict(test_x).numpy())
    print(f"the loaded library gives {'the same bits' if same else 'OTHER BITS'}")
    in_c = run_in_c(folder, exported.files[1], test_x, test_y)

    if accuracy < 97 or worst > 1e-4 or not same or abs(in_c - accuracy) > 0.005:
        sys.exit("the demo did not hold what it promises")


if __name__ == "__main__":
    where = Path(sys.argv[1] if len(sys.argv) > 1 else "build/demo").resolve()
    where.mkdir(parents=True, exist_ok=True)
    main(where)
