"""Recurrent layers: a state carried along a sequence.

Parameters have PyTorch's names (``weight_ih_l0``, ``bias_hh_l1_reverse``, …) and the order of
gates within them. What the inputs contribute is computed for all times in one product; the loop
over time is Python's, so a trace unrolls it.
"""

from __future__ import annotations

import math
from typing import Any, Literal

import numpy.typing as npt

import nets
from nets.nn import functional as F
from nets.nn import init
from nets.nn.functional.arguments import check_count, check_number
from nets.nn.linear import parameter
from nets.nn.module import Module
from nets.nn.utils.rnn import PackedSequence

States = list[nets.Tensor]


def gru_step(x: nets.Tensor, h: nets.Tensor, state: nets.Tensor) -> nets.Tensor:
    """The state of gated recurrent units after a step, from what input and state contribute."""
    n = state.shape[-1]
    gates = nets.sigmoid(x[:, : 2 * n] + h[:, : 2 * n])
    reset, update = gates[:, :n], gates[:, n:]
    new = nets.tanh(x[:, 2 * n :] + reset * h[:, 2 * n :])
    return (1 - update) * new + update * state


def lstm_step(x: nets.Tensor, h: nets.Tensor, cell: nets.Tensor) -> States:
    """Both states of long short-term memory after a step, from what input and state contribute."""
    n, total = cell.shape[-1], x + h
    let_in, forget = nets.sigmoid(total[:, :n]), nets.sigmoid(total[:, n : 2 * n])
    new, let_out = nets.tanh(total[:, 2 * n : 3 * n]), nets.sigmoid(total[:, 3 * n :])
    cell = forget * cell + let_in * new
    return [let_out * nets.tanh(cell), cell]


class _Recurrent(Module):
    """``num_layers`` layers, each in one direction or both, over (L, N, input_size).

    With ``batch_first`` over (N, L, input_size); without the axis N, one sequence; or over a
    ``PackedSequence`` of sequences of several lengths, which gives another one. In training,
    ``dropout`` acts on the output of each layer but the last.

    ``input_size`` features come in, ``hidden_size`` make up the state. ``bias`` says whether biases
    are added. ``bidirectional`` adds to each layer one from the end to the start, so that ways are
    2, else 1. ``proj_size`` is for ``LSTM`` alone and below ``hidden_size``; 0 is for none.
    ``dtype``, float32 or float64, is that of the parameters; others are a DTypeError.
    """

    gates: int
    states: int = 1
    adds_biases = True
    """Whether the bias of the state may be added to what the inputs contribute."""
    projects = False
    """Whether ``proj_size`` may be given: the state h is then a product of that many features."""

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        proj_size: int = 0,
        dtype: npt.DTypeLike = "float32",
    ) -> None:
        super().__init__()
        check_count("input_size", input_size, 0)
        check_count("hidden_size", hidden_size)
        check_count("num_layers", num_layers)
        check_number("dropout", dropout, 0, 1)
        check_count("proj_size", proj_size, 0)
        if proj_size and not (self.projects and 0 < proj_size < hidden_size):
            raise nets.errors.ArgumentError(
                "proj_size is for LSTM, and below hidden_size", nets.user_location()
            )
        self.input_size, self.hidden_size, self.num_layers = input_size, hidden_size, num_layers
        self.batch_first, self.dropout = batch_first, dropout
        self.bidirectional, self.proj_size = bidirectional, proj_size
        rows, outputs = self.gates * hidden_size, self._sizes()[0]
        for layer in range(num_layers):
            inputs = outputs * len(self._ways()) if layer else input_size
            for way in self._ways():
                name = f"l{layer}{way}"
                setattr(self, f"weight_ih_{name}", parameter((rows, inputs), dtype))
                setattr(self, f"weight_hh_{name}", parameter((rows, outputs), dtype))
                for kind in ("ih", "hh") if bias else ():
                    setattr(self, f"bias_{kind}_{name}", parameter((rows,), dtype))
                if proj_size:
                    setattr(self, f"weight_hr_{name}", parameter((proj_size, hidden_size), dtype))
        bound = 1 / math.sqrt(hidden_size)
        for weight in self.parameters():
            init.uniform_(weight, -bound, bound)

    def _sizes(self) -> tuple[int, ...]:
        """How many features each state has; the first is what the layer puts out."""
        return (self.proj_size or self.hidden_size,) + (self.hidden_size,) * (self.states - 1)

    def _ways(self) -> tuple[str, ...]:
        return ("", "_reverse") if self.bidirectional else ("",)

    def _advance(self, x: nets.Tensor, h: nets.Tensor, states: States) -> States:
        """The states after a step, from what inputs and state contribute (N, rows)."""
        raise NotImplementedError

    def _run(self, input: Any, initial: States | None) -> tuple[Any, States]:
        """Output, and each state after the last step: (layers · ways, N, hidden_size)."""
        if isinstance(input, PackedSequence):
            return self._run_packed(input, initial)
        x = nets.as_tensor(input)
        single = x.ndim == 2
        if x.ndim not in (2, 3) or x.shape[-1] != self.input_size:
            raise nets.errors.ShapeError(
                f"{type(self).__name__}({self.input_size}, …) does not take shape {x.shape}",
                nets.user_location(),
            )
        if single:
            x = nets.expand_dims(x, 1)
            initial = initial and [nets.expand_dims(state, 1) for state in initial]
        elif self.batch_first:
            x = nets.swapaxes(x, 0, 1)
        x, last = self._layers(x, self._initial(x, initial))
        if single:
            return nets.squeeze(x, 1), [nets.squeeze(state, 1) for state in last]
        return nets.swapaxes(x, 0, 1) if self.batch_first else x, last

    def _run_packed(
        self, input: PackedSequence, initial: States | None
    ) -> tuple[PackedSequence, States]:
        """The same of sequences of several lengths: the states are those after each one's end."""
        x, lengths = input.padded()
        if x.ndim != 3 or x.shape[-1] != self.input_size:
            raise nets.errors.ShapeError(
                f"{type(self).__name__}({self.input_size}, …) does not take packed sequences of "
                f"shape {input.data.shape}",
                nets.user_location(),
            )
        runs = nets.expand_dims(nets.arange(x.shape[0]), -1) < lengths
        output, last = self._layers(x, self._initial(x, initial), nets.expand_dims(runs, -1))
        return input.like(output), last

    def _initial(self, x: nets.Tensor, initial: States | None) -> States:
        shapes = [(self.num_layers * len(self._ways()), x.shape[1], n) for n in self._sizes()]
        if initial is None:
            return [nets.zeros(shape, x.dtype) for shape in shapes]
        if [nets.as_tensor(state).shape for state in initial] != shapes:
            raise nets.errors.ShapeError(
                f"{type(self).__name__}: the initial state has the shape "
                f"{' and '.join(map(str, shapes))}, without the middle axis for one sequence",
                nets.user_location(),
            )
        return initial

    def _layers(
        self, x: nets.Tensor, initial: States, runs: nets.Tensor | None = None
    ) -> tuple[nets.Tensor, States]:
        """All layers; ``runs`` (L, N, 1) tells which sequences have not ended."""
        last: list[States] = []
        for layer in range(self.num_layers):
            outputs = []
            for way in self._ways():
                states = [state[len(last)] for state in initial]
                output, states = self._sweep(x, states, f"l{layer}{way}", bool(way), runs)
                outputs.append(output)
                last.append(states)
            x = outputs[0] if len(outputs) == 1 else nets.concatenate(outputs, -1)
            if self.dropout and layer < self.num_layers - 1:
                x = F.dropout(x, self.dropout, self.training)
        return x, [nets.stack(list(states)) for states in zip(*last, strict=True)]

    def _sweep(
        self,
        x: nets.Tensor,
        states: States,
        name: str,
        backwards: bool,
        runs: nets.Tensor | None,
    ) -> tuple[nets.Tensor, States]:
        """One layer in one direction: its output at each time, and its last states."""
        bias_x, bias_h = (getattr(self, f"bias_{kind}_{name}", None) for kind in ("ih", "hh"))
        weight = nets.transpose(getattr(self, f"weight_hh_{name}"))
        projection = getattr(self, f"weight_hr_{name}", None)
        contributed = F.linear(x, getattr(self, f"weight_ih_{name}"), bias_x)
        if bias_h is not None and self.adds_biases:
            contributed, bias_h = contributed + bias_h, None

        def step(states: States, x: nets.Tensor) -> tuple[States, nets.Tensor]:
            of_state = nets.matmul(states[0], weight)
            of_state = of_state if bias_h is None else of_state + bias_h
            states = self._advance(x, of_state, states)
            if projection is not None:
                states = [F.linear(states[0], projection), *states[1:]]
            return states, states[0]

        def held(states: States, now: Any) -> tuple[States, nets.Tensor]:
            x, goes_on = now
            new, _ = step(states, x)
            states = [nets.where(goes_on, *pair) for pair in zip(new, states, strict=True)]
            return states, states[0]

        if runs is None:
            states, output = nets.scan(step, states, contributed, reverse=backwards)
        else:
            states, output = nets.scan(held, states, (contributed, runs), reverse=backwards)
        return output, states

    def extra_repr(self) -> str:
        more = self._unlike(
            num_layers=1, batch_first=False, dropout=0.0, bidirectional=False, proj_size=0
        )
        return f"{self.input_size}, {self.hidden_size}{more}"


class RNN(_Recurrent):
    """h′ = tanh(W x + b + V h + c), or relu: (L, N, input_size) → output and last state.

    ``output`` is (L, N, ways · hidden_size), the state (num_layers · ways, N, hidden_size).

    ``nonlinearity`` is "tanh" or "relu", else there is an ArgumentError; ``options`` are the other
    arguments of ``GRU``, by name.
    """

    gates = 1

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        nonlinearity: Literal["tanh", "relu"] = "tanh",
        **options: Any,
    ) -> None:
        super().__init__(input_size, hidden_size, num_layers, **options)
        if nonlinearity not in ("tanh", "relu"):
            raise nets.errors.ArgumentError(
                f"nonlinearity is 'tanh' or 'relu', not {nonlinearity!r}", nets.user_location()
            )
        self.nonlinearity = nonlinearity

    def forward(self, x: Any, hx: nets.Tensor | None = None) -> tuple[Any, nets.Tensor]:
        output, (state,) = self._run(x, None if hx is None else [hx])
        return output, state

    def _advance(self, x: nets.Tensor, h: nets.Tensor, states: States) -> States:
        return [nets.tanh(x + h) if self.nonlinearity == "tanh" else nets.relu(x + h)]


class GRU(_Recurrent):
    """Gated recurrent units (Cho et al., 2014): (L, N, input_size) → output and last state.

    The state is (num_layers · ways, N, hidden_size).
    """

    gates = 3
    adds_biases = False

    def forward(self, x: Any, hx: nets.Tensor | None = None) -> tuple[Any, nets.Tensor]:
        output, (state,) = self._run(x, None if hx is None else [hx])
        return output, state

    def _advance(self, x: nets.Tensor, h: nets.Tensor, states: States) -> States:
        return [gru_step(x, h, states[0])]


class LSTM(_Recurrent):
    """Long short-term memory (Hochreiter and Schmidhuber, 1997).

    (L, N, input_size) → output and the pair (h, c) of last states, each
    (num_layers · ways, N, hidden_size). With ``proj_size``, output and h have that many features,
    a product of the hidden ones (Sak, Senior and Beaufays, 2014).
    """

    gates = 4
    states = 2
    projects = True

    def forward(
        self, x: Any, hx: tuple[nets.Tensor, nets.Tensor] | None = None
    ) -> tuple[Any, tuple[nets.Tensor, nets.Tensor]]:
        if hx is not None and (not isinstance(hx, (tuple, list)) or len(hx) != 2):
            raise nets.errors.ArgumentError(
                "the initial state of an LSTM is a pair (h, c)", nets.user_location()
            )
        output, (hidden, cell) = self._run(x, None if hx is None else list(hx))
        return output, (hidden, cell)

    def _advance(self, x: nets.Tensor, h: nets.Tensor, states: States) -> States:
        return lstm_step(x, h, states[1])
