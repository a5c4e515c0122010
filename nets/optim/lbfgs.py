"""L-BFGS: steps by an approximate inverse of the Hessian, made of the last gradients.

Nocedal and Wright, "Numerical Optimization", 2nd edition, 2006: algorithms 7.4 (the direction), 3.5
and 3.6 (the line search), formula 3.59 (the minimum of a cubic).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

import nets
from nets.nn.functional.arguments import check, check_count, check_number
from nets.optim.adaptive import Params
from nets.optim.optimizer import Moments, Optimizer, ParameterGroup, item

Array = npt.NDArray[Any]
Closure = Callable[[], Any]

_ARMIJO, _CURVATURE = 1e-4, 0.9
_MOST_TRIALS = 25


class _Point(NamedTuple):
    """A step length, and the loss, the gradient and the slope there."""

    t: float
    loss: float
    grad: Array
    slope: float


class LBFGS(Optimizer):
    """Liu and Nocedal, "On the limited memory BFGS method for large scale optimization", 1989.

    ``step(closure)`` makes up to ``max_iter`` steps of length ``lr`` along directions made of the
    last ``history_size`` gradients, or of the length that ``line_search_fn="strong_wolfe"`` finds,
    with at most ``max_eval`` (by default 1.25 · max_iter) calls of the closure, which sets
    gradients to zero, computes the loss, its gradients, and returns it. It ends early where no
    gradient is above ``tolerance_grad``, or loss and parameters change by less than
    ``tolerance_change``. How many steps these are depends on what is computed, so ``step`` is
    called outside of traced functions; the closure may be a traced one.
    """

    def __init__(
        self,
        params: Params,
        lr: float = 1.0,
        max_iter: int = 20,
        max_eval: int | None = None,
        tolerance_grad: float = 1e-7,
        tolerance_change: float = 1e-9,
        history_size: int = 100,
        line_search_fn: str | None = None,
    ) -> None:
        check_count("max_iter", max_iter)
        check_count("history_size", history_size)
        check_number("tolerance_grad", tolerance_grad, 0)
        check_number("tolerance_change", tolerance_change, 0)
        known = line_search_fn in (None, "strong_wolfe")
        check(known, f"line_search_fn is None or 'strong_wolfe', not {line_search_fn!r}")
        super().__init__(
            params,
            {
                "lr": lr,
                "max_iter": max_iter,
                "max_eval": max_iter * 5 // 4 if max_eval is None else max_eval,
                "tolerance_grad": tolerance_grad,
                "tolerance_change": tolerance_change,
                "history_size": history_size,
                "line_search_fn": line_search_fn,
            },
        )
        check(len(self.param_groups) == 1, "LBFGS takes one group of parameters")
        self._forget()

    def _forget(self) -> None:
        self._count = 0
        self._pairs: list[tuple[Array, Array]] = []
        """The last changes of the gradient and of the parameters."""
        self._scale = 1.0
        self._direction: Array | None = None
        self._length = 0.0
        self._previous: Array | None = None

    def _start(self, p: nets.Tensor, group: ParameterGroup) -> Moments:
        return {}

    # -------------------------------------------------------------------------- use

    def step(self, closure: Closure | None = None) -> Any:
        """Several steps down; gives the loss before the first. ArgumentError without a closure,
        TraceError inside a trace."""
        check(closure is not None, "LBFGS takes a closure that gives the loss anew: step(closure)")
        assert closure is not None
        if nets.Tensor(0.0).is_traced:
            raise nets.errors.TraceError(
                "LBFGS steps as often as the loss tells it: call step(closure) outside the traced "
                "function; the closure may be traced",
                nets.user_location(),
            )
        with nets.enable_grad():
            first = closure()
        self._descend(closure, float(first))
        return first

    def _descend(self, closure: Closure, loss: float) -> None:
        group = self.param_groups[0]
        grad, calls = self._gradient(), 1
        enough, small = group["tolerance_grad"], group["tolerance_change"]
        if _largest(grad) <= enough:
            return
        for number in range(1, group["max_iter"] + 1):
            self._count += 1
            direction = self._direct(grad)
            slope, before = float(grad @ direction), loss
            self._previous, self._direction = grad.copy(), direction
            is_first = self._count == 1
            t = group["lr"] * (min(1.0, 1 / float(np.abs(grad).sum())) if is_first else 1.0)
            self._length = t
            if slope > -small:
                return
            is_last = number == group["max_iter"]
            now = _Point(0.0, loss, grad, slope)
            t, loss, grad, used = self._move(closure, now, t, direction, is_last)
            self._length, calls = t, calls + used
            is_over = is_last or calls >= group["max_eval"] or _largest(grad) <= enough
            if is_over or _largest(direction * t) <= small or abs(loss - before) < small:
                return

    def _move(
        self, closure: Closure, now: _Point, t: float, direction: Array, is_last: bool
    ) -> tuple[float, float, Array, int]:
        """Go along the direction: how far, the loss and the gradient there, and the calls used."""
        start = self._parameters()

        def at(t: float) -> _Point:
            self._set(start + t * direction)
            with nets.enable_grad():
                loss = float(closure())
            grad = self._gradient()
            return _Point(t, loss, grad, float(grad @ direction))

        if self.param_groups[0]["line_search_fn"] is not None:
            small = self.param_groups[0]["tolerance_change"]
            found, used = _search(at, now, t, _largest(direction), small)
            self._set(start + found.t * direction)
            return found.t, found.loss, found.grad, used
        if is_last:  # what comes of it is asked for by the next step
            self._set(start + t * direction)
            return t, now.loss, now.grad, 0
        found = at(t)
        return t, found.loss, found.grad, 1

    def _direct(self, grad: Array) -> Array:
        """The direction: minus the gradient by the approximate inverse, after the last change."""
        if self._count == 1 or self._previous is None or self._direction is None:
            self._pairs, self._scale = [], 1.0
            return -grad
        change, move = grad - self._previous, self._direction * self._length
        curved = float(change @ move)
        if curved > 1e-10:
            size = self.param_groups[0]["history_size"]
            self._pairs = [*self._pairs, (change, move)][-size:]
            self._scale = curved / float(change @ change)
        result, parts = -grad, []
        for change, move in reversed(self._pairs):
            part = float(move @ result) / float(change @ move)
            result = result - part * change
            parts.append(part)
        result = result * self._scale
        for (change, move), part in zip(self._pairs, reversed(parts), strict=True):
            back = float(change @ result) / float(change @ move)
            result = result + (part - back) * move
        return result.astype(grad.dtype)

    # ------------------------------------------------------------- all parameters as one

    def _trained(self) -> list[nets.Tensor]:
        return [p for p in self.param_groups[0].params if p.grad is not None]

    def _gradient(self) -> Array:
        return _flat([p.grad for p in self._trained()])

    def _parameters(self) -> Array:
        return _flat(self._trained())

    def _set(self, values: Array) -> None:
        start = 0
        for p in self._trained():
            p.data = values[start : start + p.size].reshape(p.shape)
            start += p.size

    # ------------------------------------------------------------------------ state

    def state_dict(self) -> dict[str, Any]:
        """Hyperparameters, and what is remembered of the last steps."""
        own = {
            "n_iter": self._count,
            "pairs": [(change.copy(), move.copy()) for change, move in self._pairs],
            "scale": self._scale,
            "direction": self._direction,
            "length": self._length,
            "previous": self._previous,
        }
        return super().state_dict() | {"lbfgs": own}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on where the state was taken."""
        what = "the state of LBFGS"
        own = item(state, "lbfgs", what)
        names = ("n_iter", "pairs", "scale", "direction", "length", "previous")
        count, pairs, scale, direction, length, previous = (item(own, n, what) for n in names)
        super().load_state_dict(state)
        self._count, self._scale, self._length = int(count), float(scale), float(length)
        self._pairs = [(np.array(change), np.array(move)) for change, move in pairs]
        self._direction = None if direction is None else np.array(direction)
        self._previous = None if previous is None else np.array(previous)


def _flat(tensors: list[Any]) -> Array:
    return np.concatenate([x.numpy().reshape(-1) for x in tensors])


def _largest(x: Array) -> float:
    return float(np.abs(x).max(initial=0))


# ------------------------------------------------------------------------- the line search


def _search(
    at: Callable[[float], _Point], start: _Point, t: float, size: float, small: float
) -> tuple[_Point, int]:
    """A point where the loss is low enough and the slope flat enough (strong Wolfe conditions),
    and how many points were tried. ``size`` is the largest element of the direction."""

    def is_high(point: _Point) -> bool:
        return point.loss > start.loss + _ARMIJO * point.t * start.slope

    def is_flat(point: _Point) -> bool:
        return abs(point.slope) <= -_CURVATURE * start.slope

    before, point, trials = start, at(t), 0
    while trials < _MOST_TRIALS:
        if is_high(point) or (trials > 1 and point.loss >= before.loss):
            break
        if is_flat(point):
            return point, trials + 1
        if point.slope >= 0:
            break
        bounds = point.t + 0.01 * (point.t - before.t), 10 * point.t
        before, point = point, at(_cubic(before, point, bounds))
        trials += 1
    else:
        before = start
    ends, stuck = sorted((before, point), key=lambda end: end.loss), False
    while trials < _MOST_TRIALS and abs(ends[0].t - ends[1].t) * size >= small:
        t, stuck = _between(ends, _cubic(before, point, None), stuck)
        new, trials = at(t), trials + 1
        if is_high(new) or new.loss >= ends[0].loss:
            pair = [new if end is ends[1] else end for end in (before, point)]
        else:
            if is_flat(new):
                return new, trials + 1
            low, high = ends
            kept = low if new.slope * (high.t - low.t) >= 0 else high
            pair = [kept if end is high else new for end in (before, point)]
        before, point = pair
        ends = sorted(pair, key=lambda end: end.loss)
    return ends[0], trials + 1


def _between(ends: list[_Point], t: float, stuck: bool) -> tuple[float, bool]:
    """The length to try next; away from the ends of the bracket where it was near one before."""
    low, high = sorted(end.t for end in ends)
    margin = 0.1 * (high - low)
    if min(high - t, t - low) >= margin:
        return t, False
    if not stuck and low < t < high:
        return t, True
    return (high - margin if abs(t - high) < abs(t - low) else low + margin), False


def _cubic(one: _Point, other: _Point, bounds: tuple[float, float] | None) -> float:
    """Where the cubic through both points with these slopes is least, within the bounds."""
    low, high = bounds if bounds is not None else tuple(sorted((one.t, other.t)))
    if one.t == other.t:
        return (low + high) / 2
    a = one.slope + other.slope - 3 * (one.loss - other.loss) / (one.t - other.t)
    square = a * a - one.slope * other.slope
    if not square >= 0:
        return (low + high) / 2
    root = math.sqrt(square)
    first, last = (one, other) if one.t <= other.t else (other, one)
    part = (last.slope + root - a) / (last.slope - first.slope + 2 * root)
    return min(max(last.t - (last.t - first.t) * part, low), high)
