"""Recipes: how each call makes anew what a trace left in the world, and puts it where it belongs.

A recipe makes one thing, a change puts what recipes made into one place that the function reaches.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from nets.frontend.tensor.dispatch import apply
from nets.frontend.tensor.tensor import Tensor
from nets.frontend.tensor.views import View, shown
from nets.frontend.world.holders import Holder

# ------------------------------------------------------------------------------- recipes


class Parts(NamedTuple):
    """What the recipes of one call are made of."""

    fresh: Sequence[Tensor]
    """New tensors with results of the call."""
    found: Sequence[Tensor]
    """The tensors that stood in the slots when the call began."""


class Fresh(NamedTuple):
    """A new tensor."""

    number: int

    def build(self, parts: Parts) -> Any:
        return parts.fresh[self.number]


class Told(NamedTuple):
    """A size that a call tells, as the number it is: of a new tensor."""

    number: int

    def build(self, parts: Parts) -> Any:
        return parts.fresh[self.number].item()


class Found(NamedTuple):
    """The tensor that stood in a slot."""

    number: int

    def build(self, parts: Parts) -> Any:
        return parts.found[self.number]


class Same(NamedTuple):
    """Something that was there before the trace, or that has no identity."""

    value: object

    def build(self, parts: Parts) -> Any:
        return self.value


class Count(NamedTuple):
    """A number that the function adds to and does not read otherwise."""

    holder: Holder
    key: object
    step: int

    def build(self, parts: Parts) -> Any:
        return self.holder.now()[self.key] + self.step


class Shown(NamedTuple):
    """A view of a tensor."""

    root: Recipe
    steps: tuple[tuple[str, dict[str, object], tuple[Recipe, ...]], ...]

    def build(self, parts: Parts) -> Any:
        root = self.root.build(parts)
        moves = [
            (name, attributes, tuple(recipe.build(parts) for recipe in operands))
            for name, attributes, operands in self.steps
        ]
        made = root
        for name, attributes, operands in moves:
            made = apply(name, made, *operands, **attributes)
        return shown(root, made, moves)


class Made(NamedTuple):
    """A container that each call makes anew."""

    make: Callable[[list[object]], object]
    recipes: tuple[Recipe, ...]

    def build(self, parts: Parts) -> Any:
        return self.make([recipe.build(parts) for recipe in self.recipes])


Recipe = Fresh | Told | Found | Same | Count | Shown | Made


# ------------------------------------------------------------------------------- changes


class Write(NamedTuple):
    """One change of a holder after a call: ``key`` holds what the recipe makes, or nothing."""

    holder: Holder
    key: object
    recipe: Recipe | None

    def prepare(self, parts: Parts) -> Callable[[], None]:
        """The change, of which only the doing is left."""
        if self.recipe is None:
            return self._remove
        value = self.recipe.build(parts)
        if isinstance(value, View) and _shows_the_same(self.holder.now().get(self.key), value):
            return lambda: None
        return lambda: self.holder.put(self.key, value)

    def _remove(self) -> None:
        if self.key in self.holder.now():  # it may be done twice
            self.holder.remove(self.key)


def _shows_the_same(held: object, view: View) -> bool:
    """Is a view there already that nobody can tell from the new one?"""
    return isinstance(held, View) and held.root is view.root and held.path.leads_as(view.path)


class Append(NamedTuple):
    """A list that grows by what the recipes make."""

    holder: Holder
    recipes: tuple[Recipe, ...]
    is_unread: bool
    """Whether the function does nothing else with the list."""

    def prepare(self, parts: Parts) -> Callable[[], None]:
        """The change, of which only the doing is left."""
        target, before = self.holder.target, len(self.holder.target)
        values = [recipe.build(parts) for recipe in self.recipes]

        def grow() -> None:
            if len(target) == before:  # it may be done twice
                target.extend(values)

        return grow


class Refill(NamedTuple):
    """A holder that holds just these things after a call."""

    holder: Holder
    keys: tuple[object, ...]
    recipes: tuple[Recipe, ...]

    def prepare(self, parts: Parts) -> Callable[[], None]:
        """The change, of which only the doing is left."""
        values = [recipe.build(parts) for recipe in self.recipes]
        contents = dict(zip(self.keys, values, strict=True))
        return lambda: self.holder.refill(contents)


class Overwrite(NamedTuple):
    """The elements of a NumPy array, after a call."""

    array: Any
    elements: Any

    def prepare(self, parts: Parts) -> Callable[[], None]:
        """The change, of which only the doing is left."""
        return lambda: np.copyto(self.array, self.elements)


Change = Write | Append | Refill | Overwrite
