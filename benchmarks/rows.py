"""Operations on rows: softmax, cross-entropy with its gradient, layer norm with its three."""

from __future__ import annotations

from benchmarks.workload import Bound, Workload, normal


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
        tolerance=1e-5,
    )
]
