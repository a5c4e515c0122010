"""Classify points of the plane: parameters in a dict, their gradient in the same dict.

Three spiral arms, a network of one hidden layer, and plain gradient descent. The training loop is
Python; each step is one native call. Run with ``python examples/spirals.py``.
"""

import numpy as np

import nets


def spirals(rng, per_class=200):
    """Points of three interleaved spiral arms, and the number of each point's arm."""
    arm = np.repeat(np.arange(3), per_class)
    along = np.tile(np.linspace(0.1, 1, per_class), 3)
    angle = 4 * along + 2 * np.pi / 3 * arm + 0.15 * rng.normal(size=arm.size)
    return along[:, None] * np.stack([np.cos(angle), np.sin(angle)], axis=1), arm


def scores(params, points):
    """A score per arm for each point: (n, 2) to (n, 3)."""
    hidden = nets.tanh(points @ params["in"]["weight"] + params["in"]["bias"])
    return hidden @ params["out"]["weight"] + params["out"]["bias"]


def loss(params, points, arm):
    """Mean cross-entropy."""
    chances = nets.log_softmax(scores(params, points), axis=1)
    return -nets.take_along_axis(chances, arm[:, None], axis=1).mean()


@nets.trace
def step(params, points, arm, rate):
    """The loss, and the parameters after one step of gradient descent."""
    value, slopes = nets.value_and_grad(loss)(params, points, arm)
    moved = {
        layer: {name: x - rate * slopes[layer][name] for name, x in arrays.items()}
        for layer, arrays in params.items()
    }
    return value, moved


def main():
    rng = np.random.default_rng(1)
    points, arm = spirals(rng)
    params = {
        "in": {"weight": rng.normal(size=(2, 64)) * 2, "bias": np.zeros(64)},
        "out": {"weight": rng.normal(size=(64, 3)) / 8, "bias": np.zeros(3)},
    }
    for number in range(2001):
        value, params = step(params, points, arm, 0.5)
        if number % 500 == 0:
            print(f"step {number:4}: loss {value.item():.4f}")
    found = nets.argmax(scores(params, points), axis=1).numpy()
    print(f"{(found == arm).mean():.1%} of {arm.size} points are on their arm")


if __name__ == "__main__":
    main()
