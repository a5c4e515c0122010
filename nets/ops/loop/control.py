"""Control: loops, branches, ends of regions, and operations with an effect on the whole call."""
# Op classes are namespaces: their functions take no self.
# mypy: disable-error-code="misc"

from __future__ import annotations

from collections.abc import Sequence

from nets.errors import VerifyError
from nets.ir.core import Region, Trait
from nets.ir.types import BufferType, ScalarType, Type, bool_, index
from nets.ops.definition.registry import structural
from nets.ops.loop.reduction_tree import ARG_COMBINERS, COMBINERS
from nets.ops.loop.register_types import listed


@structural("loop.return", Trait.TERMINATOR | Trait.RETURN)
class Return:
    """Ends a function of the loop dialect."""

    operands = ()

    def infer() -> tuple[Type, ...]:
        return ()


@structural("loop.yield", Trait.TERMINATOR)
class Yield:
    """Ends a region; its operands are the values the region gives to its operation."""

    operands = ("*values",)

    def infer(*values: Type) -> tuple[Type, ...]:
        return ()


@structural("loop.for", attributes=("step",), regions=1)
class For:
    """Counts ``iv`` from ``lo`` below ``hi`` by ``step`` and carries values along.

    The region takes ``iv`` and the carried values and yields their next ones; the results are the
    last ones. Iterations run in order.
    """

    operands = ("lo", "hi", "*carried")

    def infer(
        lo: Type, hi: Type, *carried: Type, step: int, regions: Sequence[Region]
    ) -> tuple[Type, ...]:
        _bounds("loop.for", lo, hi)
        if step < 1:
            raise VerifyError(f"loop.for needs a positive step, not {step}")
        _region_arguments("loop.for", regions[0], (ScalarType(index), *carried))
        return carried


@structural("loop.parallel", attributes=(), regions=1)
class Parallel:
    """Runs the region for ``iv`` from ``lo`` below ``hi``; iterations are independent.

    They may run on several threads, in any order; the results must not depend on it.
    """

    operands = ("lo", "hi")

    def infer(lo: Type, hi: Type, *, regions: Sequence[Region]) -> tuple[Type, ...]:
        _bounds("loop.parallel", lo, hi)
        _region_arguments("loop.parallel", regions[0], (ScalarType(index),))
        return ()


@structural("loop.reduce", attributes=("combiners",), regions=1)
class Reduce:
    """Combines what the region yields for ``iv`` from 0 below ``hi``, by the fixed lane tree.

    ``combiners[i]`` combines the i-th yielded scalar. Lane ``iv mod lanes`` takes the values in
    order, starting from the combiner's identity; then the lanes combine by halving
    (``lanes = reduce_lanes(dtype)``). For ``argmax`` and ``argmin`` the results are the extreme
    value and the smallest ``iv`` (an index) that has it, where a NaN counts as the extreme.
    The region may also store.
    """

    operands = ("hi",)

    def infer(
        hi: Type, *, combiners: tuple[str, ...], regions: Sequence[Region]
    ) -> tuple[Type, ...]:
        _bounds("loop.reduce", hi, hi)
        _region_arguments("loop.reduce", regions[0], (ScalarType(index),))
        yielded = [value.type for value in regions[0].block.yielded]
        if len(yielded) != len(combiners):
            raise VerifyError("loop.reduce yields one scalar per combiner")
        results: list[Type] = []
        for combiner, type in zip(combiners, yielded, strict=True):
            if combiner not in COMBINERS + ARG_COMBINERS:
                raise VerifyError(f"loop.reduce has no combiner {combiner!r}")
            results.append(type)
            if combiner in ARG_COMBINERS:
                results.append(ScalarType(index))
        return tuple(results)


@structural("loop.repeat", regions=1)
class Repeat:
    """Runs the region again and again, until the bool scalar it yields is false; at least once."""

    operands = ()

    def infer(*, regions: Sequence[Region]) -> tuple[Type, ...]:
        _region_arguments("loop.repeat", regions[0], ())
        end = regions[0].block.terminator
        if end is not None and [value.type for value in end.operands] != [ScalarType(bool_)]:
            raise VerifyError("the region of loop.repeat yields a bool scalar")
        return ()


@structural("loop.if", regions=1)
class If:
    """Runs the region where the scalar condition holds; gives no results."""

    operands = ("condition",)

    def infer(condition: Type, *, regions: Sequence[Region]) -> tuple[Type, ...]:
        if condition != ScalarType(bool_):
            raise VerifyError(f"loop.if needs a bool scalar, not {condition}")
        _region_arguments("loop.if", regions[0], ())
        return ()


@structural("loop.check", attributes=("code",))
class Check:
    """Where ``ok`` (scalar or lanes) is false the call returns status ``code`` in the end.

    Execution goes on, so what follows must be safe. The function's attribute ``checks`` maps
    codes to what was wrong and where.
    """

    operands = ("ok",)

    def infer(ok: Type, *, code: int) -> tuple[Type, ...]:
        if ok.dtype != bool_:
            raise VerifyError(f"loop.check needs a bool, not {ok}")
        return ()


@structural("loop.stop")
class Stop:
    """Ends the call here if a check has failed. Stands in the body of the function."""

    operands = ()

    def infer() -> tuple[Type, ...]:
        return ()


@structural("loop.commit")
class Commit:
    """What follows writes to arguments, so the call is run to its end. Stands in the body of the
    function."""

    operands = ()

    def infer() -> tuple[Type, ...]:
        return ()


@structural("loop.print", attributes=("text",))
class Print:
    """Prints a text whose fields ``{0}``, ``{1}``, … stand for the elements of the buffers.

    Stands in no parallel loop, so that what is printed comes in the order of the program.
    """

    operands = ("*buffers",)

    def infer(*buffers: Type, text: str) -> tuple[Type, ...]:
        if not all(isinstance(buffer, BufferType) for buffer in buffers):
            raise VerifyError(f"loop.print needs buffers, not {listed(buffers)}")
        return ()


def _bounds(name: str, *types: Type) -> None:
    if any(type != ScalarType(index) for type in types):
        raise VerifyError(f"{name} needs index bounds, not {listed(types)}")


def _region_arguments(name: str, region: Region, expected: tuple[Type, ...]) -> None:
    found = tuple(argument.type for argument in region.block.arguments)
    if found != expected:
        raise VerifyError(f"the region of {name} takes ({listed(expected)}), not ({listed(found)})")
