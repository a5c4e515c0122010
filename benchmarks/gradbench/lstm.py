"""lstm: the loss of a text under an LSTM with diagonal weights, and its gradient."""

from __future__ import annotations

import numpy as np

from benchmarks.gradbench.evaluation import SYSTEMS, evaluation

BITS = 14
"""Of a character: the width of everything."""

IN_SECONDS = 4096
"""So many characters, each of which is a step, take PyTorch minutes."""


def in_system(lib):
    def layer(x, hidden, cell, weight, bias):
        forget, outgate = (lib.sigmoid(x * weight[i] + bias[i]) for i in (0, 2))
        ingate = lib.sigmoid(hidden * weight[1] + bias[1])
        cell = cell * forget + ingate * lib.tanh(hidden * weight[3] + bias[3])
        return outgate * lib.tanh(cell), cell

    def objective(main, extra, state, sequence):
        layers, width = state.shape[0] // 2, state.shape[1]
        gates = main.reshape(layers, 2, 4, width)

        def step(carry, texts):
            total, states = carry
            (now, following), after = texts, []
            x = now * extra[0]
            for (hidden, cell), (weight, bias) in zip(states, gates, strict=True):
                x, cell = layer(x, hidden, cell, weight, bias)
                after.append((x, cell))
            guess = x * extra[1] + extra[2]
            norm = lib.log(lib.exp(guess).sum() + 2)
            return (total + (following * (guess - norm)).sum(), after), None

        states = [(state[2 * i], state[2 * i + 1]) for i in range(layers)]
        start = lib.zeros_like(state[0, 0]), states
        (total, _), _ = lib.scan(step, start, (sequence[:-1], sequence[1:]))
        return -total / (width * (sequence.shape[0] - 1))

    return objective


def gradient(lib):
    return lib.grad(in_system(lib), (0, 1))


def arguments(layers: int, characters: int):
    def make(rng: np.random.Generator):
        codes = rng.integers(32, 127, size=characters)
        bits = (codes[:, None] >> np.arange(BITS)[::-1]) & 1
        shapes = (2 * layers, 4 * BITS), (3, BITS), (2 * layers, BITS)
        return *(rng.uniform(size=shape) for shape in shapes), bits.astype("f8")

    return make


def workloads(layers: int, characters: int):
    make, size = arguments(layers, characters), f"l={layers} c={characters}"
    systems = SYSTEMS if characters < IN_SECONDS else SYSTEMS[:2]
    yield evaluation("lstm", "objective", size, make, in_system, systems)
    yield evaluation("lstm", "jacobian", size, make, gradient, systems)


SIZES = ((2, 1024), (6, 8192))
WORKLOADS = [workload for size in SIZES for workload in workloads(*size)]
