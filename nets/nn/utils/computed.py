"""Tensors of a module that are computed when they are read: its class, for as long as it has them.

Such a module is of a class made for it, with a property for each of these names. What computes them
stands in the module: in its child ``parametrizations``, or among its *norms*, which are asked once
more before each forward.
"""

from __future__ import annotations

from functools import cache
from typing import Any, Protocol

import nets
from nets.nn.module import Module

HELD = "parametrizations"
NORMS = "_norms"


class Norm(Protocol):
    """What computes a tensor of other attributes of the module."""

    def weight(self, module: Any) -> nets.Tensor:
        """The tensor as it is now."""

    def before_forward(self, module: Any) -> None:
        """What each forward begins with."""


def norms(module: Module) -> dict[str, Norm]:
    """By name, what computes tensors of other attributes of the module."""
    found: dict[str, Norm] = vars(module).get(NORMS, {})
    return found


def give_class(module: Module) -> None:
    """Let the module be of the class that computes what is to be computed of it."""
    kind = type(module)
    base: Any = getattr(kind, "uncomputed", kind)
    held = tuple(vars(module)[HELD]) if HELD in vars(module) else ()
    normed = tuple(norms(module))
    module.__class__ = _class_of(base, held, normed) if held or normed else base


def _held(name: str) -> property:
    def read(module: Any) -> Any:
        return vars(module)[HELD][name]()

    def write(module: Any, value: Any) -> None:
        vars(module)[HELD][name].right_inverse(value)

    return property(read, write)


def _normed(name: str) -> property:
    return property(lambda module: norms(module)[name].weight(module))


@cache
def _class_of(base: Any, held: tuple[str, ...], normed: tuple[str, ...]) -> type[Module]:
    """The class of modules with these tensors."""

    def forward(self: Module, *inputs: Any, **options: Any) -> Any:
        for norm in norms(self).values():
            norm.before_forward(self)
        return base.forward(self, *inputs, **options)

    def reduced(self: Module, protocol: Any) -> tuple[Any, ...]:
        return _blank, (base, held, normed), vars(self)

    members: dict[str, Any] = {name: _held(name) for name in held}
    members |= {name: _normed(name) for name in normed}
    members |= {"uncomputed": base, "__reduce_ex__": reduced, "__module__": base.__module__}
    if normed:
        members["forward"] = forward
    return type(f"Parametrized{base.__name__}" if held else base.__name__, (base,), members)


def _blank(base: Any, held: tuple[str, ...], normed: tuple[str, ...]) -> Module:
    """A module of that class without attributes: what copies and pickles begin with."""
    made: Module = object.__new__(_class_of(base, held, normed))
    return made
