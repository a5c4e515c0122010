"""The programs of the libraries that are kept: what an ABI promises, in few kilobytes.

Every version of nets that makes libraries can run this file: it uses public names that all have.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

import nets
from nets import nn, optim

X = np.linspace(-1, 1, 24, dtype="float32").reshape(6, 4)
KINDS = np.array([0, 2, 1, 1, 0, 2])

Call = tuple[str, tuple[Any, ...], dict[str, Any]]
"""The name of a function, and the arguments of a call."""


class Program(NamedTuple):
    """Functions to be exported together, and calls of them, in order; some are refused."""

    functions: dict[str, Any]
    calls: list[Call]


def functions() -> Program:
    """Functions without state: nests, dtypes, a gradient, a workspace, a check, a print."""
    params = {"w": X[:4, :3] * 0.5, "b": np.array([0.5, -0.5, 0], "float32")}

    def score(params: Any, x: Any, *, scale: Any) -> Any:
        found = nets.softmax(x @ params["w"] + params["b"], axis=1) * scale
        return {"out": [found, (found.sum(), None)], 7: found.max(axis=0)}

    def loss(params: Any, x: Any) -> Any:
        return nets.tanh(x @ params["w"]).sum()

    def say(x: Any) -> Any:
        nets.debug_print("x is {}, its sum {}", x, x.sum())
        return x[::-1]

    wide = np.array([-(2**63), -1, 0, 2**63 - 1])
    small = np.arange(4, dtype="uint8")
    flags = np.array([True, False, True, False])

    def kinds(wide: Any, small: Any, flags: Any) -> Any:
        return wide + 1, small - 1, ~flags, nets.where(flags, wide, 0).sum()

    gram = nets.trace(lambda x: nets.exp(x @ x.T).sum(axis=1))
    lowered = {
        "score": nets.trace(score).lower(params, X, scale=np.float32(2)),
        "loss_and_grad": nets.value_and_grad(loss).lower(params, X),
        "kinds": nets.trace(kinds).lower(wide, small, flags),
        "pick": nets.trace(lambda x, i: x[i]).lower(X, KINDS),
        "gram": gram.lower(np.tile(X.astype("float64"), (8, 1))),
        "say": nets.trace(say).lower(X[0]),
    }
    calls: list[Call] = [
        ("score", (params, X), {"scale": np.float32(2)}),
        ("loss_and_grad", (params, X), {}),
        ("kinds", (wide, small, flags), {}),
        ("pick", (X, KINDS), {}),
        ("pick", (X, KINDS + 4), {}),  # refused: an index is out of bounds
        ("gram", (np.tile(X.astype("float64"), (8, 1)),), {}),
        ("say", (X[0],), {}),
    ]
    return Program(lowered, calls)


def training() -> Program:
    """A training step with dropout, and a prediction, which share a state."""
    nets.manual_seed(11)
    model = nn.Sequential(nn.Linear(4, 5), nn.Tanh(), nn.Dropout(0.25), nn.Linear(5, 3))
    optimizer = optim.Adam(model.parameters(), lr=0.05)
    criterion = nn.CrossEntropyLoss()

    @nets.trace
    def fit(x: Any, y: Any) -> Any:
        optimizer.zero_grad()
        loss = criterion(model(x), y)
        loss.backward()
        optimizer.step()
        return loss

    step = fit.lower(X, KINDS)
    model.eval()
    predict = nets.trace(lambda x: nets.argmax(model(x), axis=1)).lower(X)
    calls: list[Call] = [("fit", (X, KINDS), {}) for _ in range(3)]
    calls += [("predict", (X,), {}), ("fit", (X, KINDS + 1), {}), ("fit", (X, KINDS), {})]
    return Program({"fit": step, "predict": predict}, calls)


PROGRAMS: dict[str, Callable[[], Program]] = {"functions": functions, "training": training}
