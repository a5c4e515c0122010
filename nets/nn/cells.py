"""Recurrent cells: one step of a recurrent layer, for loops of one's own.

``input_size`` features come in, ``hidden_size`` make up the state; ``bias`` says whether biases are
added. Without the axis N, one entry. ``dtype``, float32 or float64, is that of the parameters;
others are a DTypeError.
"""

from __future__ import annotations

import math
from typing import Any, Literal

import numpy.typing as npt

import nets
from nets.nn import functional as F
from nets.nn import init
from nets.nn.functional.arguments import check_count
from nets.nn.linear import parameter
from nets.nn.module import Module
from nets.nn.recurrent import gru_step, lstm_step


class _Cell(Module):
    """Weights of the input and of the state, with biases or without."""

    gates: int

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        dtype: npt.DTypeLike = "float32",
    ) -> None:
        super().__init__()
        check_count("input_size", input_size, 0)
        check_count("hidden_size", hidden_size)
        self.input_size, self.hidden_size = input_size, hidden_size
        rows = self.gates * hidden_size
        self.weight_ih = parameter((rows, input_size), dtype)
        self.weight_hh = parameter((rows, hidden_size), dtype)
        self.bias_ih = parameter((rows,), dtype) if bias else None
        self.bias_hh = parameter((rows,), dtype) if bias else None
        bound = 1 / math.sqrt(hidden_size)
        for weight in self.parameters():
            init.uniform_(weight, -bound, bound)

    def _parts(self, input: Any, h: Any) -> tuple[nets.Tensor, nets.Tensor, nets.Tensor, bool]:
        """What input and state contribute, the state, and whether there is no axis N."""
        x = nets.as_tensor(input)
        single = x.ndim == 1
        x = nets.expand_dims(x, 0) if single else x
        if x.ndim != 2 or x.shape[1] != self.input_size:
            raise nets.errors.ShapeError(
                f"{type(self).__name__}({self.input_size}, …) does not take shape {x.shape}",
                nets.user_location(),
            )
        state = self._state(x, h, single)
        of_input = F.linear(x, self.weight_ih, self.bias_ih)
        return of_input, F.linear(state, self.weight_hh, self.bias_hh), state, single

    def _state(self, x: nets.Tensor, h: Any, single: bool) -> nets.Tensor:
        shape = (x.shape[0], self.hidden_size)
        if h is None:
            return nets.zeros(shape, x.dtype)
        state = nets.as_tensor(h)
        state = nets.expand_dims(state, 0) if single and state.ndim == 1 else state
        if state.shape != shape:
            raise nets.errors.ShapeError(
                f"{type(self).__name__}: the state has the shape {shape}, not {state.shape}",
                nets.user_location(),
            )
        return state

    def extra_repr(self) -> str:
        return f"{self.input_size}, {self.hidden_size}" + (
            "" if self.bias_ih is not None else ", bias=False"
        )


class RNNCell(_Cell):
    """h′ = tanh(W x + b + V h + c), or relu by ``nonlinearity``: (N, input_size) and
    (N, hidden_size) give (N, hidden_size)."""

    gates = 1

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        nonlinearity: Literal["tanh", "relu"] = "tanh",
        dtype: npt.DTypeLike = "float32",
    ) -> None:
        super().__init__(input_size, hidden_size, bias, dtype)
        if nonlinearity not in ("tanh", "relu"):
            raise nets.errors.ArgumentError(
                f"nonlinearity is 'tanh' or 'relu', not {nonlinearity!r}", nets.user_location()
            )
        self.nonlinearity = nonlinearity

    def forward(self, input: Any, hx: Any = None) -> nets.Tensor:
        x, h, _, single = self._parts(input, hx)
        made = nets.tanh(x + h) if self.nonlinearity == "tanh" else nets.relu(x + h)
        return made[0] if single else made


class GRUCell(_Cell):
    """One step of ``GRU``: (N, input_size) and (N, hidden_size) give (N, hidden_size)."""

    gates = 3

    def forward(self, input: Any, hx: Any = None) -> nets.Tensor:
        x, h, state, single = self._parts(input, hx)
        made = gru_step(x, h, state)
        return made[0] if single else made


class LSTMCell(_Cell):
    """One step of ``LSTM``: (N, input_size) and a pair (h, c) give the next pair."""

    gates = 4

    def forward(self, input: Any, hx: Any = None) -> tuple[nets.Tensor, nets.Tensor]:
        if hx is not None and (not isinstance(hx, (tuple, list)) or len(hx) != 2):
            raise nets.errors.ArgumentError(
                "the state of an LSTMCell is a pair (h, c)", nets.user_location()
            )
        hidden, cell = (None, None) if hx is None else hx
        x, h, _, single = self._parts(input, hidden)
        new = lstm_step(x, h, self._state(x, cell, single))
        return (new[0][0], new[1][0]) if single else (new[0], new[1])
