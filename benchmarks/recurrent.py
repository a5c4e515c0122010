"""Training steps of an LSTM over sequences: loss of the last output, gradient, Adam's update."""

from __future__ import annotations

import numpy as np

from benchmarks import adam
from benchmarks.mlp import adam_in_torch
from benchmarks.workload import Arguments, Bound, Builder, Run, Workload

LENGTH, INPUT, WIDTH = 50, 64, 128


def arguments(batch: int) -> Arguments:
    """State, inputs (time first) and targets."""

    def make(rng: np.random.Generator):
        def uniform(*shape):
            return (rng.uniform(-1, 1, size=shape) / np.sqrt(WIDTH)).astype("f4")

        params = {
            "wx": uniform(4 * WIDTH, INPUT),
            "wh": uniform(4 * WIDTH, WIDTH),
            "bx": uniform(4 * WIDTH),
            "bh": uniform(4 * WIDTH),
        }
        xs = rng.normal(size=(LENGTH, batch, INPUT)).astype("f4")
        return adam.initial_state(params), xs, rng.normal(size=(batch, WIDTH)).astype("f4")

    return make


def step_of(lib, scan, sigmoid, value_and_grad):
    """The step in a system with NumPy's names and JAX's scan."""

    def loss(params, xs, y):
        weight = params["wh"].T
        contributed = xs @ params["wx"].T + (params["bx"] + params["bh"])

        def advance(state, x):
            h, c = state
            total = x + h @ weight
            let_in, forget = sigmoid(total[:, :WIDTH]), sigmoid(total[:, WIDTH : 2 * WIDTH])
            new = lib.tanh(total[:, 2 * WIDTH : 3 * WIDTH])
            c = forget * c + let_in * new
            h = sigmoid(total[:, 3 * WIDTH :]) * lib.tanh(c)
            return (h, c), h

        start = lib.zeros((xs.shape[1], WIDTH), xs.dtype)
        (h, _), _ = scan(advance, (start, start), contributed)
        return ((h - y) ** 2).mean()

    def step(state, xs, y):
        value, grads = value_and_grad(loss)(state["params"], xs, y)
        return value, adam.update(lib.sqrt, state, grads)

    return step


def step_in_nets(nets):
    return step_of(nets, nets.scan, nets.sigmoid, nets.value_and_grad)


def step_in_jax(jax):
    return step_of(jax.numpy, jax.lax.scan, jax.nn.sigmoid, jax.value_and_grad)


def step_in_torch(torch, stage, state, xs, y) -> Run:
    layer = torch.nn.LSTM(INPUT, WIDTH)
    for name, key in (("ih", "x"), ("hh", "h")):
        getattr(layer, f"weight_{name}_l0").data = state["params"][f"w{key}"]
        getattr(layer, f"bias_{name}_l0").data = state["params"][f"b{key}"]
    loss_of = stage(lambda xs, y: ((layer(xs)[0][-1] - y) ** 2).mean())
    return adam_in_torch(torch, layer, lambda: loss_of(xs, y))


def workload(batch: int) -> Workload:
    products = 2 * LENGTH * batch * 4 * WIDTH * (INPUT + WIDTH)
    return Workload(
        name=f"lstm/{batch}",
        what=f"LSTM {INPUT}-{WIDTH}, length {LENGTH}, batch {batch}, Adam: whole step",
        arguments=arguments(batch),
        systems={"nets": step_in_nets, "jax": step_in_jax, "torch": Builder(step_in_torch)},
        bound=Bound(flops=3.0 * products),
        tolerance=1e-3,
        steps=True,
    )


WORKLOADS = [workload(32), workload(1)]
