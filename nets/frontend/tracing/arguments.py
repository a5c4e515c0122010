"""Arguments: one call of a function, bound to its parameters and taken apart.

A ``BoundCall`` is made of what the caller gave and is what all rooms hand on. It knows which
parameter each argument belongs to, the leaves of the nests and their arrays; and it makes of them
what is asked for: the signature, the declared arguments of a program, an error at its argument, or
what to call the Python function with.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from nets.errors import NetsError
from nets.frontend.pytree import Step, TreeDef, expression, flatten
from nets.frontend.tensor.dimension import is_open
from nets.frontend.tensor.variable import Array
from nets.frontend.tracing.binding import Binding, Static
from nets.frontend.tracing.open_sizes import OpenSizes, merged
from nets.frontend.tracing.signature import (
    Input,
    LeafError,
    LeafKey,
    Signature,
    StaticKey,
    at_argument,
    declared,
    read_leaves,
    shown,
    spec_keys,
    static_key,
    type_of,
)
from nets.frontend.tracing.spec import TensorSpec
from nets.ir.sizes import Range


class Form(NamedTuple):
    """What calls of one lowered function have in common."""

    binding: Binding
    tree: TreeDef
    """The nest of ``(args, kwargs)``, static arguments left out."""
    static: StaticKey

    @property
    def parameter_names(self) -> list[str]:
        """Names of the positional arguments that are not static."""
        args, _ = self.tree.unflatten(range(self.tree.leaf_count))
        static = {entry[0] for entry in self.static}
        count = len(args) + sum(isinstance(key, int) for key in static)
        return [self.binding.root(i) for i in range(count) if i not in static]


class BoundCall:
    """The arguments of one call.

    ``args`` and ``kwargs`` are the dynamic ones, keywords moved to their positions; ``static`` has
    (position or keyword, value) of the others. ``arrays`` and ``keys`` are of the leaves of
    ``(args, kwargs)``, once ``read`` has looked at them.
    """

    __slots__ = (
        "args",
        "arrays",
        "binding",
        "keys",
        "kwargs",
        "leaves",
        "ranges",
        "static",
        "tree",
    )

    leaves: list[Any]
    """The leaves of ``(args, kwargs)``."""
    tree: TreeDef
    """The nest of ``(args, kwargs)``."""
    arrays: list[Array]
    keys: tuple[LeafKey, ...]
    ranges: dict[str, Range]
    """The dimensions whose sizes a call tells."""

    def __init__(self, binding: Binding, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        self.binding = binding
        self.args, self.kwargs, self.static = binding.sorted(args, kwargs)
        self.ranges = {}

    # ------------------------------------------------------------------------ the nests

    def __getattr__(self, name: str) -> object:
        """Leaves and tree, when somebody first asks. ArgumentError where a nest contains itself."""
        if name not in ("leaves", "tree"):
            raise AttributeError(name)
        self.leaves, self.tree = flatten((self.args, self.kwargs))
        return self.leaves if name == "leaves" else self.tree

    def complete(self) -> tuple[list[object], dict[str, object]]:
        """What to call the function with, as it was given."""
        return with_static(self.static, self.args, self.kwargs)

    def with_leaves(self, leaves: Sequence[object]) -> tuple[list[object], dict[str, object]]:
        """The same with other leaves in their places."""
        return with_static(self.static, *self.tree.unflatten(leaves))

    @property
    def positions(self) -> list[int]:
        """Which of the positional arguments of the function are dynamic."""
        taken = {key for key, _ in self.static}
        count = len(self.args) + sum(isinstance(key, int) for key in taken)
        return [i for i in range(count) if i not in taken]

    # ------------------------------------------------------------------------ its kind

    def read(self) -> None:
        """Read the leaves; the error of one that cannot be an argument says which it is."""
        self.leaves, self.tree = flatten((self.args, self.kwargs))
        try:
            self.arrays, self.keys = read_leaves(self.leaves)
        except LeafError as error:
            raise self._located(error) from None
        if self.binding.dims is not None:
            self._open(self.binding.dims)

    def read_specs(self) -> None:
        """Read the leaves where some are specs in the place of arrays."""
        try:
            self.keys = spec_keys(self.leaves)
        except LeafError as error:
            raise self._located(error) from None
        for leaf, (root, rest) in zip(self.leaves, self._paths(), strict=True):
            if isinstance(leaf, TensorSpec):
                merged(self.ranges, leaf.dims, f"argument {expression(root, rest)}")
        if self.binding.dims is not None:
            self._open(self.binding.dims)

    def _open(self, dims: OpenSizes) -> None:
        """Give the axes their names that have sizes a call tells. ShapeError where an array does
        not have these axes."""
        self.check()
        merged(self.ranges, dims.ranges, "dims")
        paths = [expression(root, rest) for root, rest in self._paths()]
        self.keys = tuple(
            (dtype, shape if is_open(shape) else dims.opened(path, shape), weak)
            for path, (dtype, shape, weak) in zip(paths, self.keys, strict=True)
        )

    def static_key(self) -> StaticKey:
        """The static values as a key; ArgumentError where one is not hashable."""
        return static_key(self.static, self.binding.name)

    @property
    def signature(self) -> Signature:
        """What decides which specialisation fits."""
        tree = self.tree
        return tree.tokens, tree.orders, self.keys, self.static_key() if self.static else ()

    @property
    def form(self) -> Form:
        """What a lowered function asks of the calls it takes."""
        return Form(self.binding, self.tree, self.static_key())

    def check(self) -> None:
        """ArgumentError, in Python's words, where the function does not take these arguments."""
        self.binding.check(*self.complete())

    # ------------------------------------------------------------------------ its words

    def inputs(self) -> list[Input]:
        """The declared arguments of a program for calls like this one.

        DTypeError for foreign dtypes.
        """
        paths = self._paths()
        types = [
            (type_of(root, rest, dtype, shape), weak)
            for (root, rest), (dtype, shape, weak) in zip(paths, self.keys, strict=True)
        ]
        inputs = declared(paths, types)
        if not self.binding.donated:
            return inputs
        donated = map(self._is_donated, self.tree.paths())
        return [x._replace(donated=given) for x, given in zip(inputs, donated, strict=True)]

    def describe_static(self) -> dict[str, str]:
        """The static values, by the name of their parameter."""
        root = self.binding.root
        return {
            root(key) if isinstance(key, int) else key: f"{shown(value)} (static)"
            for key, value in self.static
        }

    def _paths(self) -> list[tuple[str, Sequence[Step]]]:
        """(name of the parameter, path within the argument) of each leaf."""
        roots = [self.binding.root(position) for position in self.positions]
        return [
            (roots[second.key] if first.key == 0 else second.key, rest)
            for first, second, *rest in self.tree.paths()
        ]

    def _is_donated(self, path: Sequence[Step]) -> bool:
        first, argument = path[0].key, path[1].key
        key = self.positions[argument] if first == 0 else argument
        return key in self.binding.donated

    def _located(self, error: LeafError) -> NetsError:
        """The error of a leaf with its path; that of a wrong call comes first."""
        self.check()
        return at_argument(error, *self._paths()[error.position])


def with_static(
    static: Static, args: Sequence[object], kwargs: Mapping[str, object]
) -> tuple[list[object], dict[str, object]]:
    """Dynamic arguments, with static ones put in where they belong."""
    positional, named = list(args), dict(kwargs)
    for key, value in static:
        if isinstance(key, str):
            named[key] = value
        else:
            positional.insert(key, value)
    return positional, named
