"""Faults planted at the seam of Python and the trace: ``python -m tests.property.planted_state``.

Each makes nets forget one kind of read or write; random stateful programs must find it. ``SEEDS``
programs of all kinds are tried for each fault, or until one goes wrong.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Final

import pytest

from nets.frontend.calls import specialisation
from nets.frontend.calls.staged import Staged
from nets.frontend.derived.transforms import Gradient
from nets.frontend.tensor import state
from nets.frontend.tensor.functions import assignment
from nets.frontend.tracing import arguments
from nets.frontend.world import arrays, guards, names, reach, recipes, world
from nets.frontend.world.guards import SKIP, Guard
from nets.frontend.world.holders import Holder
from tests.property.lifecycle import Choice, examine

SEEDS: Final = 300

Plant = Callable[[pytest.MonkeyPatch], None]


def _without(*kinds: str) -> Plant:
    """Guards of these kinds are left out."""

    def plant(patch: pytest.MonkeyPatch) -> None:
        own = guards.guards_of

        def some(*given: Any) -> Iterator[Guard]:
            return (guard for guard in own(*given) if guard.kind not in kinds)

        patch.setattr(world, "guards_of", some)

    return plant


def _blind_to(is_seen: Callable[[Holder, Any, Any], bool]) -> Plant:
    """Guards of dicts and objects do not look at some values."""

    def plant(patch: pytest.MonkeyPatch) -> None:
        own = guards._matters

        def matters(found: Any, holder: Holder, key: Any) -> bool:
            value = holder.entry.get(key)
            return own(found, holder, key) and is_seen(holder, key, value)

        patch.setattr(guards, "_matters", matters)

    return plant


def _replaced(owner: Any, name: str, value: Any) -> Plant:
    return lambda patch: patch.setattr(owner, name, value)


def _no_structure(patch: pytest.MonkeyPatch) -> None:
    """Keys of dicts that come or go are not seen."""
    own = guards._of_holder

    def items(*given: Any) -> Iterator[Guard]:
        for guard in own(*given):
            if guard.kind != "dict":
                yield guard
                continue
            pairs = zip(guard.key, guard.expected, strict=True)
            yield from (
                Guard("item", guard.target, key, value, guard.holder)
                for key, value in pairs
                if value is not SKIP
            )

    patch.setattr(guards, "_of_holder", items)


def _no_writes(kind: type) -> Plant:
    """Changes of one kind are not done again."""

    def plant(patch: pytest.MonkeyPatch) -> None:
        patch.setattr(kind, "prepare", lambda change, parts: lambda: None)

    return plant


def _stale_slots(patch: pytest.MonkeyPatch) -> None:
    """What stands in a slot is what stood there first."""
    own = state.at_call

    def first(place: Any, found: Any) -> Any:
        return place.tensor if isinstance(place, state.Slot) else own(place, found)

    patch.setattr(specialisation, "at_call", first)


def _no_gradients_written(patch: pytest.MonkeyPatch) -> None:
    own = specialisation.write_back

    def elements(updates: Any, results: Any, found: Any = ()) -> None:
        kept = [u for u in updates if not isinstance(u.place, state.GradientPlace)]
        own(kept, results, found)

    patch.setattr(specialisation, "write_back", elements)


def _frozen_transforms(patch: pytest.MonkeyPatch) -> None:
    """A transform keeps the first program of each signature, whatever the world."""
    own = Staged.find

    def find(self: Any, call: Any) -> Any:
        if isinstance(self, Gradient):
            self.is_traced_anew = False
        return own(self, call)

    patch.setattr(Staged, "find", find)
    _without("item", "cell", "dict", "list", "call", "array")(patch)


def _loose_equality(patch: pytest.MonkeyPatch) -> None:
    """0.0 is −0.0, and 1 is True."""
    patch.setattr(guards, "_table", guards.Table)
    patch.setattr(guards, "same_plain", lambda now, expected: bool(now == expected))


def _frozen_arrays(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(arrays.Arrays, "source", lambda found, array: None)
    patch.setattr(arrays.Arrays, "note", lambda found, array: None)


def _views_that_keep(patch: pytest.MonkeyPatch) -> None:
    """A write to a view does not reach its root."""
    patch.setattr(assignment, "_whole", lambda view, part: view.root * 1)


FAULTS: Final[dict[str, Plant]] = {
    "closures are not guarded": _without("cell"),
    "globals are not guarded": _without("item"),
    "lists are not guarded": _without("list"),
    "slots, classes, deques and sets are not guarded": _without("call"),
    "arrays are not guarded": _without("array"),
    "code and defaults are not guarded": _without("function"),
    "numbers of objects are not guarded": _blind_to(
        lambda holder, key, value: not isinstance(value, reach.PLAIN)
    ),
    "tensors of objects are not guarded": _blind_to(
        lambda holder, key, value: isinstance(value, reach.PLAIN)
    ),
    "keys are not guarded": _no_structure,
    "numbers are compared by equality": _loose_equality,
    "methods are not followed": _replaced(
        reach, "names_of", lambda code: names.names_of(code)._replace(methods=frozenset())
    ),
    "arrays are constants": _frozen_arrays,
    "bound names are not written": _no_writes(recipes.Write),
    "lists do not grow": _no_writes(recipes.Append),
    "containers are not refilled": _no_writes(recipes.Refill),
    "slots hold their first tensor": _stale_slots,
    "gradients are not written": _no_gradients_written,
    "the world is not put back": _replaced(world.World, "restore", lambda found: None),
    "static values are compared by equality": _replaced(
        arguments, "static_key", lambda static, name: static
    ),
    "transforms are frozen": _frozen_transforms,
    "views do not write through": _views_that_keep,
}


def found_after(fault: str, choice: Choice, seeds: Iterable[int] = range(SEEDS)) -> int | None:
    """After how many programs the fault was found; None for not at all."""
    with pytest.MonkeyPatch.context() as patch:
        FAULTS[fault](patch)
        for count, seed in enumerate(seeds, 1):
            if examine(seed, choice).verdict.what == "wrong":
                return count
    return None


def main() -> None:
    missed = 0
    for fault in sys.argv[1:] or FAULTS:
        count = found_after(fault, Choice(native=0))
        missed += count is None
        print(f"{fault}: {'MISSED' if count is None else f'found after {count} programs'}")
    sys.exit(missed > 0)


if __name__ == "__main__":
    main()
