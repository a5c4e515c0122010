"""Operations on rows: softmax, cross-entropy with its gradient, layer norm with its three."""

from __future__ import annotations

import numpy as np

from benchmarks.workload import Bound, Builder, Run, Workload, normal

# ------------------------------------------------------------------------------- softmax


def softmax_in_nets(nets):
    return lambda x: nets.softmax(x, axis=1)


def softmax_in_numpy(np):
    def softmax(x):
        e = np.exp(x - x.max(axis=1, keepdims=True))
        return e / e.sum(axis=1, keepdims=True)

    return softmax


def softmax_in_jax(jax):
    return lambda x: jax.nn.softmax(x, axis=1)


def softmax_in_torch(torch):
    return lambda x: torch.softmax(x, dim=1)


# ------------------------------------------------------------------------- cross-entropy

SAMPLES, CLASSES = 512, 1000


def scores(rng: np.random.Generator):
    """Scores of 1000 classes for 512 samples, and the classes they belong to."""
    return *normal((SAMPLES, CLASSES))(rng), rng.integers(0, CLASSES, SAMPLES)


def cross_entropy_in_nets(nets):
    def loss(scores, labels):
        logs = nets.log_softmax(scores, axis=1)
        return -nets.take_along_axis(logs, labels[:, None], axis=1).mean()

    return nets.value_and_grad(loss)


def cross_entropy_in_numpy(np):
    def value_and_grad(scores, labels):
        rows = np.arange(len(scores))
        shifted = scores - scores.max(axis=1, keepdims=True)
        e = np.exp(shifted)
        total = e.sum(axis=1, keepdims=True)
        value = (np.log(total[:, 0]) - shifted[rows, labels]).mean()
        gradient = e / total
        gradient[rows, labels] -= 1
        return value, gradient / np.float32(len(scores))

    return value_and_grad


def cross_entropy_in_jax(jax):
    def loss(scores, labels):
        logs = jax.nn.log_softmax(scores, axis=1)
        return -jax.numpy.take_along_axis(logs, labels[:, None], axis=1).mean()

    return jax.value_and_grad(loss)


def cross_entropy_in_torch(torch, stage, scores, labels) -> Run:
    loss = stage(lambda scores, labels: torch.nn.functional.cross_entropy(scores, labels))
    scores.requires_grad_()

    def run():
        value = loss(scores, labels)
        return value, torch.autograd.grad(value, scores)

    return run


# ---------------------------------------------------------------------------- layer norm

ROWS, WIDTH, EPSILON = 2048, 768, 1e-5


def normalized_in_nets(nets, x, weight, bias):
    centred = x - x.mean(axis=1, keepdims=True)
    variance = (centred * centred).mean(axis=1, keepdims=True)
    return centred * nets.rsqrt(variance + EPSILON) * weight + bias


def layer_norm_in_nets(nets):
    def value_and_gradients(x, weight, bias, ct):
        y, pull_back = nets.vjp(lambda *given: normalized_in_nets(nets, *given), x, weight, bias)
        return y, pull_back(ct)

    return value_and_gradients


def layer_norm_in_jax(jax):
    def layer_norm(x, weight, bias):
        centred = x - x.mean(axis=1, keepdims=True)
        variance = (centred * centred).mean(axis=1, keepdims=True)
        return centred * jax.lax.rsqrt(variance + EPSILON) * weight + bias

    def value_and_gradients(x, weight, bias, ct):
        y, pull_back = jax.vjp(layer_norm, x, weight, bias)
        return y, pull_back(ct)

    return value_and_gradients


def layer_norm_in_torch(torch, stage, x, weight, bias, ct) -> Run:
    layer_norm = stage(
        lambda x, weight, bias: torch.nn.functional.layer_norm(x, (WIDTH,), weight, bias, EPSILON)
    )
    given = tuple(t.requires_grad_() for t in (x, weight, bias))

    def run():
        y = layer_norm(*given)
        return y, torch.autograd.grad(y, given, ct)

    return run


WORKLOADS = [
    Workload(
        name="softmax/1000x1000",
        what="softmax of 1000 rows of 1000 float32",
        arguments=normal((1000, 1000)),
        systems={
            "nets": softmax_in_nets,
            "numpy": softmax_in_numpy,
            "jax": softmax_in_jax,
            "torch": softmax_in_torch,
        },
        bound=Bound(flops=25e6, reads=4e6, writes=4e6),
    ),
    Workload(
        name="cross_entropy/512x1000",
        what="softmax cross-entropy of 512 rows of 1000 float32: value and gradient",
        arguments=scores,
        systems={
            "nets": cross_entropy_in_nets,
            "numpy": cross_entropy_in_numpy,
            "jax": cross_entropy_in_jax,
            "torch": Builder(cross_entropy_in_torch),
        },
        bound=Bound(
            flops=27.0 * SAMPLES * CLASSES,
            reads=4.0 * SAMPLES * CLASSES,
            writes=4.0 * SAMPLES * CLASSES,
        ),
    ),
    Workload(
        name="layer_norm/2048x768",
        what="layer norm of 2048 rows of 768 float32: value and the three gradients",
        arguments=normal((ROWS, WIDTH), (WIDTH,), (WIDTH,), (ROWS, WIDTH)),
        systems={
            "nets": layer_norm_in_nets,
            "jax": layer_norm_in_jax,
            "torch": Builder(layer_norm_in_torch),
        },
        bound=Bound(flops=22.0 * ROWS * WIDTH, reads=8.0 * ROWS * WIDTH, writes=8.0 * ROWS * WIDTH),
    ),
]
