"""PyTorch's words ``dim`` and ``keepdim`` for ``axis`` and ``keepdims``, for every function.

They are taken both ways: a function of NumPy's takes ``dim``, one of PyTorch's takes ``axis``.
Where ``dim`` means something else in PyTorch than ``axis`` in NumPy (``MEANS_PYTORCH``), who writes
``dim`` gets what PyTorch gives.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from typing import Any, Final, TypeVar

from nets.errors import ArgumentError
from nets.ir.location import user_location

Function = TypeVar("Function", bound=Callable[..., Any])

WORDS: Final = {"dim": "axis", "dims": "axis", "keepdim": "keepdims"}
"""PyTorch's words, and NumPy's for the same."""

_OTHERS: Final = {
    "axis": ("dim", "dims"),
    "keepdims": ("keepdim",),
    "dim": ("axis", "dims"),
    "dims": ("axis", "dim"),
    "keepdim": ("keepdims",),
}
"""What else a parameter may be called."""

MEANS_PYTORCH: Final = {
    "max": "reductions",
    "min": "reductions",
    "median": "ordering",
    "nanmedian": "ordering",
    "var": "reductions",
    "std": "reductions",
    "split": "pieces",
    "squeeze": "shapes",
    "sort": "ordering",
}
"""Functions of NumPy's that give something else in PyTorch: where ``dim`` is given, the function of
this name in that file of ``nets/frontend/tensor/pytorch`` is called."""


_IN_THE_SAME_PLACE: Final = {"indices_or_sections": "split_size_or_sections"}
"""What PyTorch has where NumPy has something else."""

_OF_NUMBERS: Final = frozenset({"cumsum", "cumprod", "flip", "softmax", "log_softmax"})
"""Functions, beside reductions, that in PyTorch take a number as having one axis."""


def takes_dim(function: Function) -> Function:
    """The function, which takes its axis under the other names, too."""
    own = inspect.signature(function).parameters
    others, is_numpy = _other_words(own), "dim" not in own

    @functools.wraps(function)
    def taking(*args: Any, **options: Any) -> Any:
        if not options or others.keys().isdisjoint(options):
            return function(*args, **options)
        if is_numpy and function.__name__ in MEANS_PYTORCH:
            meant = _of_pytorch(function, args, options)
            if meant is not None:
                return meant[0](**meant[1])
        found = _renamed(function, others, args, options)
        return _of_number(function, found) if is_numpy else function(**found)

    return taking  # type: ignore[return-value]


def _of_pytorch(
    function: Callable[..., Any], args: Sequence[Any], options: Mapping[str, Any]
) -> tuple[Callable[..., Any], dict[str, Any]] | None:
    """The function of PyTorch's that is meant and its arguments; None where an argument is one
    that it has not."""
    name, own = function.__name__, inspect.signature(function).parameters
    room = import_module(f"nets.frontend.tensor.pytorch.{MEANS_PYTORCH[name]}")
    theirs = getattr(room, name)
    names = list(inspect.signature(theirs).parameters)
    found = {names[0]: args[0]} if args else {}
    for key, value in zip(list(own)[1:], args[1:], strict=False):
        if value is not own[key].default:
            found[_IN_THE_SAME_PLACE.get(key, key)] = value
    found |= options
    if (first := next(iter(own))) in options:
        found[names[0]] = found.pop(first)
    return (theirs, found) if found.keys() <= set(names) else None


def _of_number(function: Callable[..., Any], found: dict[str, Any]) -> Any:
    """The function of a tensor; of a number as of a tensor of one axis, as PyTorch has it. No axes
    mean all."""
    axis = found.get("axis")
    is_reduction = "keepdims" in inspect.signature(function).parameters
    if is_reduction and isinstance(axis, (tuple, list)) and not axis:
        return function(**{**found, "axis": None})
    first, x = next(iter(found.items()))
    rank: Any = getattr(x, "ndim", 1)
    takes_numbers = is_reduction or function.__name__ in _OF_NUMBERS
    if not takes_numbers or rank or axis is None:
        return function(**found)
    found |= {first: x.reshape(1), **({"keepdims": False} if is_reduction else {})}
    made = function(**found)
    return made if is_reduction else made.reshape(())


def _other_words(own: Mapping[str, object]) -> dict[str, str]:
    """Other names of the parameters, and their own."""
    words: dict[str, str] = {}
    for name in own:
        for other in _OTHERS.get(name, ()):
            if other not in own:
                words.setdefault(other, name)
    # A word of PyTorch's for what a function has not is refused by its name, too.
    return {**{word: axis for word, axis in WORDS.items() if word not in own}, **words}


def _renamed(
    function: Callable[..., object],
    others: Mapping[str, str],
    args: Sequence[object],
    options: Mapping[str, object],
) -> dict[str, object]:
    """The arguments by their own names; ArgumentError where one is given under two names."""
    name, signature = function.__name__, inspect.signature(function)
    chosen = {key: value for key, value in options.items() if key not in others}
    found = signature.bind_partial(*args, **chosen).arguments
    for word in options.keys() & others.keys():
        own = others[word]
        if own not in signature.parameters:
            raise ArgumentError(f"{name} takes no {word}", user_location())
        default = signature.parameters[own].default
        if own in found and found[own] is not default:
            raise ArgumentError(f"{name} takes {own} or {word}, not both", user_location())
        found[own] = options[word]
    return found
