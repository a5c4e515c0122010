"""A library with everything that a wrapper has to do with, and what its calls give in Python.

A program in another language makes the calls of ``lines``, and prints the same lines: a name, and
the bytes of the elements in hexadecimal digits.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

import nets

X = (np.arange(12, dtype="float32") - 5).reshape(4, 3) / 8
Y = np.array([1, -1, 0.5, 2], "float32")
PARAMS = {
    "w": np.array([[1, 2], [-0.5, 0.25], [3, -1]], "float32"),
    "b": np.array([0.5, -0.125], "float32"),
}
FLAGS = np.array([True, False, True, True, False])
COUNTS = np.array([1, -2, 3, 2147483647, -2147483648], "int32")
BYTES = np.array([0, 1, 127, 128, 255], "uint8")
BIG = np.int64(-9007199254740993)
EMPTY = np.empty((0, 3), "float32")
VALUES = np.array([0.1, 0.25, -3, 1e300])
INDICES = np.array([3, -4])
WRONG = np.array([0, 7])


class Learner:
    """Weights, a count and a flag that calls change."""

    def __init__(self) -> None:
        self.weight = nets.Tensor(np.array([0.5, -0.25, 0.125], "float32"))
        self.steps = nets.Tensor(np.int64(0))
        self.is_fitted = nets.Tensor(np.bool_(False))

    def predict(self, x: Any) -> Any:
        return x @ self.weight

    def fit(self, x: Any, y: Any) -> Any:
        error = self.predict(x) - y
        self.weight.data = self.weight - 0.125 * (error @ x)
        self.steps.data = self.steps + 1
        self.is_fitted.data = nets.Tensor(True)
        return (error**2).mean()

    def tick(self) -> None:
        self.steps.data = self.steps + 10


def affine(params: Any, x: Any, *, scale: Any) -> Any:
    out = nets.tanh(x @ params["w"] + params["b"]) * scale
    return {"out": out, "norm": (out**2).sum(), "more": [out[0], None]}


def mix(flags: Any, counts: Any, octets: Any, big: Any, empty: Any, flag: Any) -> Any:
    return ~flags, counts + 1, octets + octets, big * 2, empty + 1, nets.logical_not(flag)


def pick(values: Any, indices: Any) -> Any:
    return values[indices]


def shout(x: Any) -> Any:
    nets.debug_print("x is {:.2f}, {}", x, nets.Tensor(FLAGS))
    return x + 1


def export(base: Path, formats: Sequence[str]) -> nets.Exported:
    """Write the library for this system."""
    return nets.export(base, cpu="x86-64-v3", formats=formats, **functions())


def functions() -> dict[str, Any]:
    """The functions, lowered."""
    learner, trace = Learner(), nets.trace
    return {
        "affine": trace(affine).lower(PARAMS, X, scale=np.float32(0)),
        "mix": trace(mix).lower(FLAGS, COUNTS, BYTES, BIG, EMPTY, np.True_),
        "pick": trace(pick).lower(VALUES, INDICES),
        "fit": trace(learner.fit).lower(X, Y),
        "predict": trace(learner.predict).lower(X),
        "tick": trace(learner.tick).lower(),
        "shout": trace(shout).lower(np.float64(0)),
    }


def line(name: str, array: Any) -> str:
    return f"{name} {np.asarray(array).tobytes().hex()}\n"


def lines(library: Any) -> str:
    """What the calls give, of a library with the functions of ``export``."""
    found = []
    result = library.affine(PARAMS, X, scale=np.float32(1.5))
    found += [line("out", result["out"]), line("norm", result["norm"])]
    found += [line("more", result["more"][0])]
    assert result["more"][1] is None
    for number, part in enumerate(library.mix(FLAGS, COUNTS, BYTES, BIG, EMPTY, np.True_)):
        found += [line(f"mix{number}", part)]
    found += [line("pick", library.pick(VALUES, INDICES))]
    found += [line("fit", library.fit(X, Y)) for _ in range(3)]
    saved = library.state.save()
    found += [line("predict", library.predict(X)), line("saved", np.frombuffer(saved, "uint8"))]
    assert library.tick() is None
    found += [line("fit", library.fit(X, Y)), line("steps", library.state["steps"])]
    library.state.load(saved)
    found += [line("predict", library.predict(X)), line("steps", library.state["steps"])]
    library.state.reset()
    found += [line("predict", library.predict(X))]
    return "".join(found)
