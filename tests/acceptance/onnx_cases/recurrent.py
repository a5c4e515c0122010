"""Recurrent layers as scans: in both directions, with peepholes, and with lengths of their own."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import nets
from nets.nn import functional as F
from tests.acceptance.onnx_cases.graph import Node, operator

Step = Callable[[Any, Any], Any]

ACTIVATIONS: dict[str, Callable[[Any, float, float], Any]] = {
    "Relu": lambda x, a, b: nets.relu(x),
    "Tanh": lambda x, a, b: nets.tanh(x),
    "Sigmoid": lambda x, a, b: nets.sigmoid(x),
    "Affine": lambda x, a, b: a * x + b,
    "LeakyRelu": lambda x, a, b: nets.leaky_relu(x, a),
    "ThresholdedRelu": lambda x, a, b: nets.where(x > a, x, 0),
    "ScaledTanh": lambda x, a, b: a * nets.tanh(b * x),
    "HardSigmoid": lambda x, a, b: nets.clip(a * x + b, 0, 1),
    "Elu": lambda x, a, b: F.elu(x, a),
    "Softsign": lambda x, a, b: F.softsign(x),
    "Softplus": lambda x, a, b: nets.softplus(x),
}


def _activations(node: Node, direction: int, names: list[str]) -> list[Callable[[Any], Any]]:
    """The functions of one direction, with their numbers; what comes in is clipped first."""
    given = [n.decode() if isinstance(n, bytes) else n for n in node["activations"] or []]
    chosen = given[direction * len(names) : (direction + 1) * len(names)] or names
    alphas, betas = iter(node["activation_alpha"] or []), iter(node["activation_beta"] or [])
    limit = node["clip"]

    def of(name: str) -> Callable[[Any], Any]:
        a, b = next(alphas, 0.0), next(betas, 0.0)
        function = ACTIVATIONS[name]
        if limit is None:
            return lambda x: function(x, a, b)
        return lambda x: function(nets.clip(x, -limit, limit), a, b)

    return [of(name) for name in chosen]


def _run(node: Node, x: Any, lengths: Any, states: list[Any], make: Callable[[int], Step]) -> Any:
    """(T, B, I) → all outputs (T, D, B, H) and the last states (D, B, H)."""
    rows, last = [], []
    for direction in range(states[0].shape[0]):
        backward = node["direction"] == "reverse" or direction == 1
        first = tuple(s[direction] for s in states)
        step = make(direction)

        def held(state: Any, now: Any, step: Step = step) -> Any:
            number, values = now
            new = step(state, values)
            if lengths is None:
                return new, new[0]
            going = (number < lengths)[:, None]
            kept = tuple(nets.where(going, n, s) for n, s in zip(new, state, strict=True))
            return kept, nets.where(going, new[0], 0)

        end, outputs = nets.scan(held, first, (nets.arange(x.shape[0]), x), reverse=backward)
        rows.append(outputs)
        last.append(end)
    return nets.stack(rows, axis=1), [nets.stack(list(s)) for s in zip(*last, strict=True)]


def _recurrent(
    node: Node, x: Any, count: int, lengths: Any, starts: list[Any], make: Callable[[int], Step]
) -> list[Any]:
    """What the three layers share: the order of axes, and states of zeros."""
    batch_first = bool(node["layout"])
    x = nets.swapaxes(x, 0, 1) if batch_first else x
    zeros = nets.zeros((count, x.shape[1], node["hidden_size"]), dtype=x.dtype)
    states = [zeros if s is None else nets.swapaxes(s, 0, 1) if batch_first else s for s in starts]
    y, last = _run(node, x, lengths, states, make)
    if batch_first:
        y, last = nets.moveaxis(y, 2, 0), [nets.swapaxes(s, 0, 1) for s in last]
    return [y, *last]


def _gates(x: Any, count: int) -> list[Any]:
    return nets.split(x, count, axis=-1)


def _biases(bias: Any, w: Any) -> tuple[Any, Any]:
    """Those of the inputs and those of the states, for each direction."""
    if bias is None:
        zeros = nets.zeros(w.shape[:2], dtype=w.dtype)
        return zeros, zeros
    half = bias.shape[1] // 2
    return bias[:, :half], bias[:, half:]


@operator("RNN")
def rnn(node: Node, x: Any, w: Any, r: Any, b: Any = None, lengths: Any = None,
        start: Any = None) -> Any:  # fmt: skip
    of_inputs, of_states = _biases(b, w)

    def make(d: int) -> Step:
        (f,) = _activations(node, d, ["Tanh"])
        bias = of_inputs[d] + of_states[d]
        return lambda state, now: (f(now @ w[d].T + state[0] @ r[d].T + bias),)

    return _recurrent(node, x, w.shape[0], lengths, [start], make)


@operator("GRU")
def gru(node: Node, x: Any, w: Any, r: Any, b: Any = None, lengths: Any = None,
        start: Any = None) -> Any:  # fmt: skip
    of_inputs, of_states = _biases(b, w)

    def make(d: int) -> Step:
        f, g = _activations(node, d, ["Sigmoid", "Tanh"])

        def step(state: Any, now: Any) -> Any:
            h = state[0]
            z, reset, new = _gates(now @ w[d].T + of_inputs[d], 3)
            size = h.shape[-1]
            z_h, reset_h = _gates(h @ r[d][: 2 * size].T + of_states[d][: 2 * size], 2)
            z, reset = f(z + z_h), f(reset + reset_h)
            rows, bias = r[d][2 * size :].T, of_states[d][2 * size :]
            if node["linear_before_reset"]:
                new = g(new + reset * (h @ rows + bias))
            else:
                new = g(new + (reset * h) @ rows + bias)
            return ((1 - z) * new + z * h,)

        return step

    return _recurrent(node, x, w.shape[0], lengths, [start], make)


@operator("LSTM")
def lstm(node: Node, x: Any, w: Any, r: Any, b: Any = None, lengths: Any = None,
         start: Any = None, cell: Any = None, peepholes: Any = None) -> Any:  # fmt: skip
    of_inputs, of_states = _biases(b, w)

    def make(d: int) -> Step:
        f, g, h_of = _activations(node, d, ["Sigmoid", "Tanh", "Tanh"])
        looks = [0, 0, 0] if peepholes is None else nets.split(peepholes[d], 3, axis=-1)

        def step(state: Any, now: Any) -> Any:
            h, c = state
            bias = of_inputs[d] + of_states[d]
            i, o, forget, new = _gates(now @ w[d].T + h @ r[d].T + bias, 4)
            i, forget = f(i + looks[0] * c), f(forget + looks[2] * c)
            forget = 1 - i if node["input_forget"] else forget
            c = forget * c + i * g(new)
            return f(o + looks[1] * c) * h_of(c), c

        return step

    return _recurrent(node, x, w.shape[0], lengths, [start, cell], make)
