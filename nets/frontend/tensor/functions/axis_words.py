"""PyTorch's words ``dim`` and ``keepdim`` for ``axis`` and ``keepdims``, for every function."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, TypeVar

from nets.errors import ArgumentError
from nets.ir.location import user_location

Function = TypeVar("Function", bound=Callable[..., Any])

WORDS: Final = {"dim": "axis", "dims": "axis", "keepdim": "keepdims"}

_OTHERWISE: Final = {
    "max": "values and positions: write max(x, axis=…) and argmax(x, axis=…)",
    "min": "values and positions: write min(x, axis=…) and argmin(x, axis=…)",
    "split": "pieces of a size: write split(x, number_of_pieces, axis=…)",
    "var": "the sum divided by n − 1: write var(x, axis=…, ddof=1), or ddof=0 for n",
    "std": "the sum divided by n − 1: write std(x, axis=…, ddof=1), or ddof=0 for n",
}
"""Functions that give something else in PyTorch, so that its words would not tell the whole."""


def takes_dim(function: Function) -> Function:
    """The function, which takes an axis under PyTorch's names, too."""

    @functools.wraps(function)
    def taking(*args: object, **options: object) -> Any:
        if not options or WORDS.keys().isdisjoint(options):
            return function(*args, **options)
        return function(**_renamed(function, args, options))

    return taking  # type: ignore[return-value]


def _renamed(
    function: Callable[..., object], args: Sequence[object], options: Mapping[str, object]
) -> dict[str, object]:
    """The arguments by their own names; ArgumentError where one is given under two names."""
    name, signature = function.__name__, inspect.signature(function)
    chosen = {key: value for key, value in options.items() if key not in WORDS}
    found = signature.bind_partial(*args, **chosen).arguments
    says_divisor = {"ddof", "correction"} & chosen.keys() or found.get("ddof")
    if name in _OTHERWISE and not says_divisor:
        raise ArgumentError(
            f"{name} with dim= gives in PyTorch {_OTHERWISE[name]}", user_location()
        )
    for word in options.keys() & WORDS.keys():
        own = WORDS[word]
        if own not in signature.parameters:
            raise ArgumentError(f"{name} takes no {word}", user_location())
        default = signature.parameters[own].default
        if own in found and found[own] is not default:
            raise ArgumentError(f"{name} takes {own} or {word}, not both", user_location())
        found[own] = options[word]
    return found
