"""check_grads: derivatives against differences."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

import numpy as np

from nets.errors import ArgumentError, GradientError
from nets.frontend.derived.forward import jvp
from nets.frontend.derived.pullback import vjp
from nets.frontend.pytree import flatten
from nets.frontend.tensor.conversion import integer_of
from nets.frontend.tensor.dispatch import as_tensor
from nets.frontend.tensor.inner import elements_of
from nets.frontend.tensor.variable import Array
from nets.frontend.tracing.binding import Binding
from nets.ir.location import user_location

_STEPS: Final = {"float32": 1e-2, "float64": 1e-5}
"""Of differences: the cube root of the rounding error, about."""

_TOLERANCES: Final = {"float32": 2e-2, "float64": 1e-6}

_WORDS: Final = {"fwd": "forward mode", "rev": "reverse mode"}


def check_grads(
    function: Callable[..., Any],
    args: Sequence[Any],
    order: int = 2,
    modes: Sequence[str] = ("fwd", "rev"),
    atol: float | None = None,
    rtol: float | None = None,
    eps: float | None = None,
) -> None:
    """Compare derivatives of a function with central differences, up to an order, in each mode
    of ``modes``: "fwd" and "rev".

    ``args``: nests of floating-point arrays, the point. Along a random direction the tangent of
    forward mode must be the difference of the results, and that of reverse mode what the
    difference is to random cotangents; for higher orders, the same of these derivatives. ``eps`` is
    the step, ``atol`` and ``rtol`` the tolerances; by default they fit the narrowest dtype.

    GradientError where they differ, or an operation has no derivative; ArgumentError for another
    mode. A function with a kink near the point may fail. As ``jax.test_util.check_grads``.
    """
    Binding(function)  # refuses what is no function
    order = integer_of(order, "order")
    for mode in modes:
        if mode not in _WORDS:
            raise ArgumentError(f"modes are 'fwd' and 'rev', not {mode!r}", user_location())
    leaves, tree = flatten(tuple(args))
    arrays = [elements_of(as_tensor(leaf), "check_grads") for leaf in leaves]
    narrow = "float32" if any(x.dtype == np.float32 for x in arrays) else "float64"
    tolerance = _TOLERANCES[narrow]
    check = _Check(
        _STEPS[narrow] if eps is None else eps,
        tolerance if atol is None else atol,
        tolerance if rtol is None else rtol,
        np.random.default_rng(0),
    )
    check.run(function, tree.unflatten(arrays), order, modes, "")


class _Check:
    """Steps, tolerances and where random numbers come from."""

    def __init__(self, eps: float, atol: float, rtol: float, rng: np.random.Generator) -> None:
        self.eps, self.atol, self.rtol, self.rng = eps, atol, rtol, rng

    def run(
        self,
        function: Callable[..., Any],
        args: tuple[Any, ...],
        order: int,
        modes: Sequence[str],
        before: str,
    ) -> None:
        if order < 1:
            return
        direction = self._like(args)
        slope = self._difference(function, args, direction)
        ct = self._like(function(*args))
        for mode in modes:
            words = f"{before}{_WORDS[mode]}"
            if mode == "fwd":
                found = _arrays(jvp(function, args, direction)[1])
                self._compare(found, slope, words)
            else:
                gradients = _arrays(vjp(function, *args)[1](ct))
                total = _product(gradients, _arrays(direction))
                self._compare([total], [_product(_arrays(ct), slope)], words)
            derived = _along(function, direction) if mode == "fwd" else _pulled(function, ct)
            self.run(derived, args, order - 1, modes, f"{words}, then ")

    def _like(self, nest: Any) -> Any:
        """Random numbers in the nest, of unit size."""
        leaves, tree = flatten(nest)
        shapes = [(np.shape(x), as_tensor(x).dtype) for x in leaves]
        return tree.unflatten([self.rng.uniform(-1, 1, s).astype(d) for s, d in shapes])

    def _difference(
        self, function: Callable[..., Any], args: tuple[Any, ...], direction: Any
    ) -> list[Array]:
        points, tree = flatten(args)
        steps, _ = flatten(direction)
        ahead, behind = (
            _arrays(
                function(
                    *tree.unflatten(
                        [
                            np.asarray(x + sign * self.eps * t, x.dtype)
                            for x, t in zip(points, steps, strict=True)
                        ]
                    )
                )
            )
            for sign in (1, -1)
        )
        return [(a - b) / (2 * self.eps) for a, b in zip(ahead, behind, strict=True)]

    def _compare(self, found: Sequence[Any], slope: Sequence[Any], words: str) -> None:
        for x, y in zip(found, slope, strict=True):
            error = np.abs(np.asarray(x, "float64") - y) - self.rtol * np.abs(y)
            if not np.all(error <= self.atol):
                worst = np.unravel_index(np.argmax(np.nan_to_num(error, nan=np.inf)), error.shape)
                raise GradientError(
                    f"check_grads: by {words} the derivative along a random direction is "
                    f"{np.asarray(x)[worst]:.6g}, by differences {np.asarray(y)[worst]:.6g}",
                    user_location(),
                )


def _along(function: Callable[..., Any], direction: Any) -> Callable[..., Any]:
    return lambda *args: jvp(function, args, direction)[1]


def _pulled(function: Callable[..., Any], ct: Any) -> Callable[..., Any]:
    return lambda *args: vjp(function, *args)[1](ct)


def _arrays(nest: Any) -> list[Array]:
    return [elements_of(as_tensor(x), "check_grads") for x in flatten(nest)[0]]


def _product(first: Sequence[Array], second: Sequence[Array]) -> float:
    """The sum of products of all elements."""
    pairs = zip(first, second, strict=True)
    return sum(float(np.sum(x * np.asarray(y, "float64"))) for x, y in pairs)
