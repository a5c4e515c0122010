"""vmap: a function of one example as a function of many.

The function is traced once, for one example, and the pass ``batch`` makes of its IR that for all.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

import nets.frontend.tensor.functions as functions
from nets.errors import ArgumentError, MutatedArgumentError, ShapeError
from nets.frontend.calls.staged import kept
from nets.frontend.derived.derived import Derived, inserted
from nets.frontend.pytree import Step, TreeDef, expression, flatten
from nets.frontend.tensor.dispatch import as_tensor
from nets.frontend.tensor.inner import tensor_of
from nets.frontend.tensor.scope import current_scope
from nets.frontend.tensor.tensor import Tensor
from nets.frontend.tracing.arguments import BoundCall
from nets.frontend.tracing.binding import Binding
from nets.frontend.tracing.control_flow import map as map_slices
from nets.frontend.tracing.nested import stage_nested
from nets.frontend.tracing.program import Program, lift_results
from nets.frontend.tracing.regions import is_carried
from nets.frontend.tracing.spec import short
from nets.ir.core import Value
from nets.ir.location import user_location
from nets.ir.sizes import Dim
from nets.ir.sizes import expression as size_text
from nets.passes.derivatives.batch import batch

Axes = Any
"""An axis, None, or a nest of them."""

_RANDOMNESS: Final = ("error", "same", "different")


def vmap(
    function: Callable[..., object],
    in_axes: Axes = 0,
    out_axes: Axes = 0,
    axis_size: int | None = None,
    randomness: str = "error",
) -> Vectorized:
    """A function that does to each entry along an axis what ``function`` does to one.

    ``in_axes``: for each positional argument the axis that is mapped, None for an argument that is
    the same for all entries, or a nest of these that fits (the beginning of) the argument's. One
    int for all arguments. Keyword arguments are mapped along axis 0. ``out_axes``: where the new
    axis stands in the results, likewise; None for a result that is the same for all entries.
    ``axis_size``: how many entries there are, where no argument tells.

    An entry of the result has the bits of the function for that entry alone, but it runs as one
    program. Conditions that differ from entry to entry become a choice, or where a branch may only
    run where it is taken, a loop; a ``while_loop`` runs until all entries are done.

    ``randomness``: what becomes of random numbers that are drawn inside: "error" refuses them,
    "same" draws once for all entries, "different" runs the entries one after the other.

    When called: ArgumentError where ``in_axes`` or ``out_axes`` do not fit, ShapeError where
    arguments differ in the number of entries or one lacks the axis, MutatedArgumentError where a
    tensor from outside would get a value that differs from entry to entry. As in JAX (Bradbury et
    al., 2018); ``randomness`` as in PyTorch.
    """
    if randomness not in _RANDOMNESS:
        raise ArgumentError(
            f"randomness is one of {', '.join(map(repr, _RANDOMNESS))}, not {randomness!r}",
            user_location(),
        )
    arguments = (_frozen(in_axes), _frozen(out_axes), axis_size, randomness)
    return _vectorized(function, *arguments)


def _vectorized(function: Callable[..., object], *arguments: Any) -> Vectorized:
    return kept(function, ("vmap", *map(repr, arguments)), lambda: Vectorized(function, arguments))


def _frozen(axes: Axes) -> Axes:
    return tuple(axes) if isinstance(axes, list) else axes


class Vectorized(Derived):
    """What ``vmap`` makes of a function."""

    def __init__(self, function: Callable[..., Any], arguments: tuple[Any, ...]) -> None:
        super().__init__(function, "vmap", arguments)
        self.in_axes, self.out_axes, self.axis_size, self.randomness = arguments

    def result_of(self, args: Sequence[object], kwargs: dict[str, object]) -> Any:
        """The function of all entries, in the current scope."""
        named = sorted(kwargs)
        leaves, tree = flatten(([*args], [kwargs[name] for name in named]))
        axes = self._axes_of(args, len(named), tree)
        size = self._size(leaves, axes, tree, named)
        mapped = [i for i, axis in enumerate(axes) if axis is not None]

        def of_entry(entry: Sequence[object]) -> Any:
            given = dict(zip(mapped, entry, strict=True))
            positional, keyword = tree.unflatten([given.get(i, x) for i, x in enumerate(leaves)])
            return self.__wrapped__(*positional, **dict(zip(named, keyword, strict=True)))

        entries = [
            functions.moveaxis(as_tensor(leaf), axis, 0)
            for leaf, axis in zip(leaves, axes, strict=True)
            if axis is not None
        ]
        if self.randomness == "different":
            return self._one_by_one(of_entry, entries, size)
        return self._together(of_entry, entries, size)

    # ------------------------------------------------------------------------ the entries

    def _axes_of(self, args: Sequence[object], named: int, tree: TreeDef) -> list[int | None]:
        """The axis of each leaf of ``(args, values of keywords)``."""
        given = self.in_axes
        if isinstance(given, tuple):
            if len(given) != len(args):
                raise ArgumentError(
                    f"in_axes of {self.name} has {len(given)} entries for {len(args)} positional "
                    "arguments",
                    user_location(),
                )
            given = list(given)
        elif given is None or isinstance(given, int):
            given = [given] * len(args)
        else:
            raise _no_axes("in_axes", given)
        return spread("in_axes", (given, [0] * named), tree)

    def _size(
        self,
        leaves: Sequence[object],
        axes: Sequence[int | None],
        tree: TreeDef,
        named: Sequence[str],
    ) -> Dim:
        """How many entries there are."""
        found: dict[Dim, str] = {}
        if self.axis_size is not None:
            found[self.axis_size] = "axis_size"
        for leaf, axis, path in zip(leaves, axes, tree.paths(), strict=True):
            if axis is None:
                continue
            what = _named_argument(self.binding.root, named, path)
            tensor = as_tensor(leaf)  # type: ignore[arg-type]
            shape = tensor.type.shape
            if not -len(shape) <= axis < len(shape):
                raise ShapeError(
                    f"{self.name} maps axis {axis} of {what}, which is {short(tensor.type)}",
                    user_location(),
                )
            found.setdefault(shape[axis], what)
        if not found:
            raise ArgumentError(
                f"{self.name} maps no argument: in_axes is None for all, and there is no axis_size",
                user_location(),
            )
        if len(found) > 1:
            sizes = ", ".join(f"{size_text(size)} ({what})" for size, what in found.items())
            raise ShapeError(
                f"{self.name} maps arguments of different numbers of entries: {sizes}",
                user_location(),
            )
        return next(iter(found))

    # ------------------------------------------------------------------------- two ways

    def _together(
        self, of_entry: Callable[[Sequence[object]], Any], entries: Sequence[Tensor], size: Dim
    ) -> Any:
        call = BoundCall(_OF_ENTRY, (list(entries),), {})
        types = [x.type.with_shape(x.type.shape[1:]) for x in entries]
        program, values = stage_nested(
            self.name, call, [0], lambda args, _: of_entry(args[0]), types
        )
        self._refuse_draws(program)
        count = len(values)
        flags = [i < count for i in range(len(program.function.arguments))]
        function, stacked = batch(program.function, flags, size)
        if any(stacked[program.tree.leaf_count :]):
            raise MutatedArgumentError(
                f"{self.name} would give a tensor from outside a value that differs from entry to "
                "entry: return it instead",
                user_location(),
            )
        own, _ = inserted(program, function, values, ())
        return self._placed(own, stacked, program.tree, size)

    def _one_by_one(
        self, of_entry: Callable[[Sequence[object]], Any], entries: Sequence[Tensor], size: Dim
    ) -> Any:
        xs = list(entries) or [functions.zeros((size,))]
        count = len(entries)
        found = map_slices(lambda one: of_entry(one[:count]), xs)
        values, tree = lift_results(found)
        return self._placed(values, [True] * len(values), tree, size)

    def _placed(
        self, values: Sequence[Value], stacked: Sequence[bool], tree: TreeDef, size: Dim
    ) -> Any:
        """The results with the new axis where ``out_axes`` says."""
        scope = current_scope()
        assert scope is not None
        axes = spread("out_axes", self.out_axes, tree)
        found = []
        for value, is_stack, axis, path in zip(values, stacked, axes, tree.paths(), strict=False):
            if axis is None:
                if is_stack:
                    raise ArgumentError(
                        f"out_axes of {self.name} is None for {expression('result', path)}, which "
                        "differs from entry to entry",
                        user_location(),
                    )
                found.append(tensor_of(value))
                continue
            stack = tensor_of(value if is_stack else scope.emitter.repeated(value, size))
            rank = len(stack.type.shape)
            if not -rank <= axis < rank:
                raise ShapeError(
                    f"out_axes of {self.name} puts the new axis of {expression('result', path)}, "
                    f"{short(stack.type)}, at {axis}",
                    user_location(),
                )
            found.append(functions.moveaxis(stack, 0, axis))
        return tree.unflatten(found)

    def _refuse_draws(self, program: Program) -> None:
        if self.randomness == "error" and any(is_carried(x) for x, _ in program.updates):
            raise ArgumentError(
                f"{self.name} draws random numbers: pass randomness='same' to draw once for all "
                "entries, or randomness='different' to draw for each",
                user_location(),
            )


Vectorized.make = _vectorized

_OF_ENTRY: Final = Binding(lambda entry: None)


def spread(what: str, axes: Axes, tree: TreeDef) -> list[int | None]:
    """The axis of each leaf of a nest, of which ``axes`` is (the beginning of) one like it.

    ArgumentError where it is not.
    """
    return [_axis_at(what, axes, path, tree) for path in tree.paths()]


def _axis_at(what: str, axes: Axes, path: Sequence[Step], tree: TreeDef) -> int | None:
    found = axes
    for step in path:
        if found is None or _is_axis(found):
            return found  # type: ignore[no-any-return]
        try:
            found = getattr(found, step.key) if str(step).startswith(".") else found[step.key]
        except (LookupError, AttributeError, TypeError):
            raise _no_axes(what, axes) from None
    if found is None or _is_axis(found):
        return found  # type: ignore[no-any-return]
    raise _no_axes(what, axes)


def _is_axis(x: object) -> bool:
    return isinstance(x, int) and not isinstance(x, bool)


def _no_axes(what: str, given: object) -> ArgumentError:
    return ArgumentError(
        f"{what} is an axis, None, or a nest of these like what it is for, not {given!r}",
        user_location(),
    )


def _named_argument(root: Callable[[int], str], named: Sequence[str], path: Sequence[Step]) -> str:
    """What the user calls a leaf of ``(args, values of keywords)``."""
    kind, place, *rest = path
    name = root(place.key) if kind.key == 0 else named[place.key]
    return expression(name, rest)
