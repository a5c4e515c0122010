"""Whole training steps of multilayer perceptrons: loss, gradient and Adam's update."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np

from benchmarks import adam
from benchmarks.workload import Arguments, Bound, Builder, Run, Workload


def arguments(sizes: Sequence[int], batch: int) -> Arguments:
    """State, inputs and labels."""

    def make(rng: np.random.Generator):
        params = {}
        for number, (wide, narrow) in enumerate(itertools.pairwise(sizes)):
            weight = rng.normal(size=(wide, narrow)) * np.sqrt(2 / wide)
            params[f"w{number}"] = weight.astype("float32")
            params[f"b{number}"] = np.zeros(narrow, "float32")
        x = rng.normal(size=(batch, sizes[0])).astype("float32")
        return adam.initial_state(params), x, rng.integers(0, sizes[-1], batch)

    return make


def layers(params) -> range:
    return range(len(params) // 2)


def step_in_nets(nets):
    def loss(params, x, y):
        for i in layers(params):
            x = (nets.relu(x) if i else x) @ params[f"w{i}"] + params[f"b{i}"]
        return -nets.take_along_axis(nets.log_softmax(x, axis=1), y[:, None], axis=1).mean()

    def step(state, x, y):
        value, grads = nets.value_and_grad(loss)(state["params"], x, y)
        return value, adam.update(nets.sqrt, state, grads)

    return step


def step_in_jax(jax):
    def loss(params, x, y):
        for i in layers(params):
            x = (jax.nn.relu(x) if i else x) @ params[f"w{i}"] + params[f"b{i}"]
        logs = jax.nn.log_softmax(x, axis=1)
        return -jax.numpy.take_along_axis(logs, y[:, None], axis=1).mean()

    def step(state, x, y):
        value, grads = jax.value_and_grad(loss)(state["params"], x, y)
        return value, adam.update(jax.numpy.sqrt, state, grads)

    return step


def step_in_torch(torch, stage, state, x, y) -> Run:
    params = state["params"]
    modules: list[object] = []
    for i in layers(params):
        linear = torch.nn.Linear(*params[f"w{i}"].shape)
        linear.weight.data = params[f"w{i}"].T.contiguous()
        linear.bias.data = params[f"b{i}"]
        modules += [torch.nn.ReLU()] * (i > 0) + [linear]
    model = torch.nn.Sequential(*modules)
    loss_of = stage(lambda x, y: torch.nn.functional.cross_entropy(model(x), y))
    return adam_in_torch(torch, model, lambda: loss_of(x, y))


def adam_in_torch(torch, model, loss_of) -> Run:
    """The training step of a model."""
    optimizer = torch.optim.Adam(
        model.parameters(), adam.RATE, (adam.BETA1, adam.BETA2), adam.EPSILON, fused=True
    )

    def step():
        optimizer.zero_grad()
        loss = loss_of()
        loss.backward()
        optimizer.step()
        return loss

    return step


def training(sizes: Sequence[int], batch: int) -> Workload:
    weights = sum(wide * narrow for wide, narrow in itertools.pairwise(sizes))
    products = 6.0 * batch * (weights - sizes[0] * sizes[1] / 3)  # no gradient of the inputs
    name = "-".join(map(str, sizes))
    return Workload(
        name=f"mlp/{name}",
        what=f"a training step (Adam) of a perceptron {name}, batch {batch}",
        arguments=arguments(sizes, batch),
        systems={"nets": step_in_nets, "jax": step_in_jax, "torch": Builder(step_in_torch)},
        bound=Bound(flops=products + 13.0 * weights, reads=12.0 * weights, writes=12.0 * weights),
        tolerance=1e-4,
        steps=True,
    )


WORKLOADS = [training((784, 512, 512, 10), 128), training((64, 64, 10), 32)]
