"""parallel: a training step that works on equal parts of its batch, on as many ranks as there are.

The step is traced once, for one shard, like the function of ``vmap``. What it averages over shards
becomes operations of that trace; the pass ``spread`` makes the program of a rank of it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final, Literal

from nets import communicator
from nets.errors import ArgumentError, MutatedArgumentError, OpenSizeError, ShapeError
from nets.frontend.calls.lowered import Lowered
from nets.frontend.derived.derived import Derived, inserted
from nets.frontend.derived.vectorized import spread as spread_axes
from nets.frontend.pytree import Step, expression, flatten
from nets.frontend.tensor.dispatch import as_tensor
from nets.frontend.tensor.inner import tensor_of
from nets.frontend.tensor.scope import Scope, current_scope
from nets.frontend.tensor.state import GradientPlace, Place, origin
from nets.frontend.tensor.tensor import Tensor
from nets.frontend.tracing.arguments import BoundCall
from nets.frontend.tracing.binding import Binding
from nets.frontend.tracing.nested import leaves_of, stage_nested
from nets.frontend.tracing.program import Program
from nets.frontend.tracing.regions import is_carried
from nets.frontend.tracing.spec import short
from nets.ir.builder import Builder
from nets.ir.core import Value
from nets.ir.location import user_location
from nets.ops.definition.emitter import Emitter, GraphEmitter, tensor_type
from nets.passes.distribution.over_ranks import spread, varying_values
from nets.passes.distribution.transfers import Transfers

Rows = Literal["all", "own"]


def parallel(
    step: Callable[..., Any] | None = None,
    /,
    *,
    shards: int,
    in_axes: Any = "auto",
    rows: Rows = "all",
    ranks: int | None = None,
) -> Any:
    """The step, which does each of ``shards`` equal parts of its batch by itself and averages.

    The result has the same bits for any number of ranks that divides ``shards``, for one rank
    without MPI as well: what is done for a shard depends on its number alone, and sums over shards
    are taken along one tree. Compiled like ``nets.trace``: one native call, with the communication
    inside.

    The step sees one shard: the first axis of each array of the batch is cut into ``shards`` parts.
    What it gives and changes is that of the whole batch:

    - gradients by what all shards have in common (parameters, be they arguments or held by a
      module) are the means of those of the shards: of ``backward()``, ``nets.grad`` and
      ``nets.value_and_grad``, where the step itself calls them;
    - a floating-point scalar that it returns, such as the loss, is the mean over the shards, an
      integer one the sum; arrays are put together along their first axis in the order of shards;
    - buffers that it changes, such as the running statistics of batch norm, become the means;
    - random numbers that it draws from a generator differ from shard to shard.

    For anything else there are ``all_reduce`` and its kin, which inside the step mean shards.

    ``in_axes``: which arguments are cut: 0 or None for each positional argument, or nests of these,
    as in ``vmap``. By default those that have the first axis of the last array among the arguments:
    all their leaves, that is; the others are the same for all shards. ``rows``: "all" where every
    rank is called with the whole batch, "own" where with its own part, as a ``DataLoader`` with
    ``shards`` gives it. ``ranks``: for how many ranks, by default as many as there are; for an
    export.

    ArgumentError where the shards cannot be dealt out evenly; when called, ShapeError where the
    batch cannot, MutatedArgumentError where a tensor from outside would differ from shard to shard:
    average it, or what it is made of. Inside loops and branches shards cannot meet
    (ControlFlowError).
    """
    if step is None:
        return lambda function: parallel(
            function, shards=shards, in_axes=in_axes, rows=rows, ranks=ranks
        )
    _check_count("shards", shards)
    if rows not in ("all", "own"):
        raise ArgumentError(f"rows is 'all' or 'own', not {rows!r}", user_location())
    if ranks is not None:
        _check_count("ranks", ranks)
        _check_even(shards, ranks)
    return Parallel(step, (shards, in_axes, rows, ranks))


def _check_count(name: str, value: object) -> None:
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise ArgumentError(f"{name} is a whole number from 1 on, not {value!r}", user_location())


def _check_even(shards: int, ranks: int) -> None:
    if shards % ranks:
        fitting = [n for n in range(1, shards + 1) if shards % n == 0]
        raise ArgumentError(
            f"{shards} shards cannot be dealt out evenly to {ranks} ranks; start "
            f"{', '.join(map(str, fitting[:-1]))}{' or ' if fitting[1:] else ''}{fitting[-1]} of "
            "them, or choose another number of shards",
            user_location(),
        )


class Parallel(Derived):
    """What ``parallel`` makes of a step."""

    def __init__(self, function: Callable[..., Any], arguments: tuple[Any, ...]) -> None:
        super().__init__(function, "parallel", arguments)
        self.shards, self.in_axes, self.rows, self._ranks = arguments
        self.is_traced_anew = False
        self._fixed: dict[int, Parallel] = {}
        """The same for a number of ranks that is given; of one for which it is."""

    def call(self, args: tuple[object, ...], kwargs: dict[str, object]) -> Any:
        return super().call(args, kwargs) if self._ranks else self.on(self.ranks)(*args, **kwargs)

    def lower(self, /, *args: Any, pipeline: str = "default", **kwargs: Any) -> Lowered:
        if not self._ranks:
            return self.on(self.ranks).lower(*args, pipeline=pipeline, **kwargs)
        return super().lower(*args, pipeline=pipeline, **kwargs)

    def on(self, ranks: int) -> Parallel:
        """The same for so many ranks."""
        if ranks not in self._fixed:
            _check_even(self.shards, ranks)
            arguments = (self.shards, self.in_axes, self.rows, ranks)
            self._fixed[ranks] = Parallel(self.__wrapped__, arguments)
        return self._fixed[ranks]

    @property
    def ranks(self) -> int:
        """For how many ranks it is."""
        return self._ranks or communicator.current().size

    def result_of(self, args: Sequence[object], kwargs: dict[str, object]) -> Any:
        if self.shards == 1 == self.ranks:
            return self.__wrapped__(*args, **kwargs)
        named = sorted(kwargs)
        leaves, tree = flatten(([*args], [kwargs[name] for name in named]))
        tensors = [as_tensor(leaf) for leaf in leaves]
        cut = self._cut(args, named, tensors, tree)
        types = [
            x.type.with_shape((self._rows_of(x), *x.type.shape[1:])) if is_cut else x.type
            for x, is_cut in zip(tensors, cut, strict=True)
        ]

        def of_shard(arguments: Sequence[Any], _: object) -> Any:
            scope = current_scope()
            assert scope is not None
            self._mark(scope, cut)
            positional, keyword = tree.unflatten(arguments[0])
            return self.__wrapped__(*positional, **dict(zip(named, keyword, strict=True)))

        call = BoundCall(_OF_SHARD, (tensors,), {})
        program, values = stage_nested(self.name, call, [0], of_shard, types)
        return self._inserted(program, values, cut)

    def _mark(self, scope: Scope, cut: Sequence[bool]) -> None:
        """Let a trace be that of one shard."""
        arguments = scope.function.arguments
        scope.varying = [x for x, is_cut in zip(arguments, cut, strict=True) if is_cut]
        scope.averaged_over = self.shards
        scope.shard = tensor_of(scope.emitter.emit("shard_index", shards=self.shards))

    # ----------------------------------------------------------------------- what is cut

    def _cut(
        self, args: Sequence[object], named: Sequence[str], tensors: Sequence[Tensor], tree: Any
    ) -> list[bool]:
        """Which leaves of ``(args, values of keywords)`` are cut into shards."""
        if self.in_axes != "auto":
            given = self.in_axes if isinstance(self.in_axes, tuple) else [self.in_axes] * len(args)
            if len(given) != len(args):
                raise ArgumentError(
                    f"in_axes of {self.name} has {len(given)} entries for {len(args)} positional "
                    "arguments",
                    user_location(),
                )
            axes = spread_axes("in_axes", ([*given], [0] * len(named)), tree)
            if any(axis not in (None, 0) for axis in axes):
                raise ArgumentError(
                    f"{self.name} is cut along the first axis: in_axes has 0 and None alone",
                    user_location(),
                )
            return [axis is not None for axis in axes]
        of_argument: dict[tuple[object, object], list[Tensor]] = {}
        places = [(path[0].key, path[1].key) for path in tree.paths()]
        for place, x in zip(places, tensors, strict=True):
            of_argument.setdefault(place, []).append(x)
        batch = next((x.type.shape[0] for x in reversed(tensors) if x.type.shape), None)
        cut = {
            place: all(x.type.shape[:1] == (batch,) for x in found)
            for place, found in of_argument.items()
        }
        return [cut[place] for place in places]

    def _rows_of(self, x: Tensor) -> int:
        """How many rows of it a shard has."""
        shape = x.type.shape
        parts = self.shards if self.rows == "all" else self.shards // self.ranks
        what = f"{parts} shards" + ("" if self.rows == "all" else " of this rank")
        if not shape:
            raise ShapeError(f"{self.name} cannot cut a scalar into {what}", user_location())
        if not isinstance(shape[0], int):
            raise OpenSizeError(
                f"{self.name} needs batches of a known size, unlike {short(x.type)}",
                user_location(),
            )
        if shape[0] % parts:
            raise ShapeError(
                f"{self.name} cannot cut {short(x.type)} evenly into {what}: choose a size of "
                "batch that is a multiple, and leave out a last one that is smaller "
                "(drop_last=True)",
                user_location(),
            )
        return shape[0] // parts  # type: ignore[no-any-return]

    # ------------------------------------------------------------------------- the shards

    def _inserted(self, program: Program, values: Sequence[Value], cut: Sequence[bool]) -> Any:
        """The program for all shards of this rank, in the current trace; its result."""
        scope = current_scope()
        assert scope is not None
        function = program.function
        varying = [*cut, *(False for _ in program.captures)]
        self._join(program, varying)
        own = spread(function, varying, self.shards, self.ranks)
        transfers = Transfers(scope.emitter, self.shards, self.ranks)
        given = [
            self._own(transfers, x, tensor_type(argument).shape) if is_cut else x
            for x, argument, is_cut in zip(values, own.arguments, cut, strict=False)
        ]
        found, _ = inserted(program, own, given, ())
        return program.tree.unflatten(leaves_of(program, found))

    def _own(self, t: Transfers, x: Value, shape: tuple[Any, ...]) -> Value:
        """The part of an argument that is this rank's."""
        if self.rows == "all":
            x = t.own_slices(x, tensor_type(x).shape[0] // self.shards)
        return t.b.reshape(x, shape)

    def _join(self, program: Program, varying: Sequence[bool]) -> None:
        """Make of each result that differs from shard to shard one of the whole batch."""
        function = program.function
        cut = [x for x, differs in zip(function.arguments, varying, strict=True) if differs]
        differing = varying_values(function, cut)
        end = function.body.terminator
        assert end is not None
        places = {number: place for place, number in program.updates}
        paths = program.tree.paths()
        for number, value in enumerate(function.returned):
            if value not in differing:
                continue
            b = GraphEmitter(Builder(function.body, end, value.operation.location))  # type: ignore[union-attr]
            if number in places:
                new = self._joined_state(b, value, places[number])
            else:
                path = paths[number] if number < len(paths) else ()
                new = self._joined_result(b, value, path)
            end.set_operand(number, new)

    def _joined_result(self, b: Emitter, value: Value, path: Sequence[Step]) -> Value:
        type = tensor_type(value)
        if type.rank:
            stack = b.emit("all_gather", value, shards=self.shards)
            return b.reshape(stack, (self.shards * type.shape[0], *type.shape[1:]))
        if type.dtype.is_bool:
            raise ArgumentError(
                f"{expression('result', path)} of {self.name} is a bool that may differ from shard "
                "to shard: return a number, whose mean or sum is meant",
                user_location(),
            )
        reduction = "mean" if type.dtype.is_float else "sum"
        return b.emit("all_reduce", value, reduction=reduction, shards=self.shards)

    def _joined_state(self, b: Emitter, value: Value, place: Place) -> Value:
        """A new value of a tensor from outside: the mean, unless it should not differ at all."""
        type = tensor_type(value)
        if not isinstance(place, GradientPlace):
            held = origin(place)  # type: ignore[arg-type]
            is_parameter = held is not None and held.requires_grad
            if is_parameter or is_carried(place) or not type.dtype.is_float:
                what = "parameter" if is_parameter else "tensor from outside"
                raise MutatedArgumentError(
                    f"{self.name} would give a {what}, {short(type)}, a value that differs from "
                    "shard to shard: make it of gradients that the step takes itself, outside of "
                    "loops, or of what nets.distributed.all_reduce gives",
                    user_location(),
                )
        return b.emit("all_reduce", value, reduction="mean", shards=self.shards)


Parallel.make = lambda function, *arguments: Parallel(function, arguments)

_OF_SHARD: Final = Binding(lambda leaves: None)
