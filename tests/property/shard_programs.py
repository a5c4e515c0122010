"""Random programs over shards: one result for any number of ranks.

``python -m tests.property.shard_programs FIRST COUNT [native]`` runs a campaign: for each seed a
random program in which values are joined over shards at random places, on one rank for each shard,
which says what is meant, and on fewer ranks.
"""

from __future__ import annotations

import random
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from nets.backend.numpy.interpreter import evaluate
from nets.compiler.compile import Compilation, CompileOptions
from nets.distributed import simulated
from nets.errors import IndexOutOfBoundsError
from nets.ir.builder import Builder
from nets.ir.core import Function, Value
from nets.ir.verifier import verify_function
from nets.ops.definition.emitter import GraphEmitter, tensor_type
from nets.ops.definition.registry import Array
from nets.passes.distribution.over_ranks import expand, spread, varying_values
from tests.property.programs import arguments, is_exact, random_program
from tests.property.results import assert_same

SHARDS: Final = {2: (1, 2), 3: (1, 3), 4: (1, 2, 4), 6: (1, 2, 3, 6), 8: (1, 2, 4, 8)}
"""Numbers of shards, and of the ranks that they can be dealt out to."""

Run = Callable[[Function, Sequence[Array]], list[Array]]


def by_interpreter(function: Function, arrays: Sequence[Array]) -> list[Array]:
    return evaluate(function, arrays)


def natively(function: Function, arrays: Sequence[Array]) -> list[Array]:
    return Compilation(function, CompileOptions(backend="llvm", threads=1)).executable(arrays)


@dataclass
class Case:
    """The function of a shard, and its arguments: by shard where they differ."""

    function: Function
    varying: list[bool]
    shards: int
    arrays: list[list[Array]]

    def on(self, ranks: int, run: Run) -> list[Array]:
        """The results on so many ranks, which must be the same on all of them."""
        local = self.shards // ranks
        function = spread(self.function, self.varying, self.shards, ranks)
        verify_function(function)

        def of_rank(rank: int) -> list[Array]:
            return run(function, [self._own(i, rank, local) for i in range(len(self.varying))])

        first, *others = simulated.run(of_rank, ranks)
        for found in others:
            assert [x.tobytes() for x in found] == [x.tobytes() for x in first]
        return first

    def _own(self, i: int, rank: int, local: int) -> Array:
        if not self.varying[i]:
            return self.arrays[i][0]
        own = self.arrays[i][rank * local : (rank + 1) * local]
        return own[0] if local == 1 else np.stack(own)

    def meant(self, run: Run, function: Function | None = None) -> list[Array]:
        """The results where each shard is a rank that runs the function as it is."""
        chosen = function or self.function
        return simulated.run(
            lambda rank: run(chosen, [x[rank % len(x)] for x in self.arrays]), self.shards
        )[0]


def random_case(seed: int) -> Case:
    choose, rng = random.Random(seed), np.random.default_rng(seed)
    shards = choose.choice(list(SHARDS))
    function = random_program(seed, choose.randint(3, 9))
    values = [x for op in function.body for x in op.results]
    for value in choose.sample(values, min(len(values), choose.randint(1, 3))):
        _join(function, value, shards, choose)
    varying = [choose.random() < 0.7 for _ in function.arguments]
    arrays = [
        [arguments(function, rng, special=False)[i] for _ in range(shards if differs else 1)]
        for i, differs in enumerate(varying)
    ]
    cut = [x for x, differs in zip(function.arguments, varying, strict=True) if differs]
    differing = varying_values(function, cut)
    end = function.body.terminator
    assert end is not None
    for place, value in enumerate(function.returned):
        if value in differing:
            b = GraphEmitter(Builder(function.body, end))
            end.set_operand(place, b.emit("all_gather", value, shards=shards))
    verify_function(function)
    return Case(function, varying, shards, arrays)


def _join(function: Function, value: Value, shards: int, choose: random.Random) -> None:
    """Let some of those who use a value use it joined over all shards."""
    dtype = tensor_type(value).dtype
    made = value.operation
    if dtype.is_bool or made is None or made.block is not function.body or made.next is None:
        return
    users = list(value.uses)
    reductions = ["sum", "max", "min", *(["mean", "mean"] if dtype.is_float else [])]
    b = GraphEmitter(Builder(function.body, made.next))
    joined = b.emit("all_reduce", value, reduction=choose.choice(reductions), shards=shards)
    if choose.random() < 0.2:  # and of each shard a part
        rows = b.emit("all_gather", joined, shards=shards)
        joined = b.emit("reduce_scatter", rows, shards=shards)
    for user, place in users:
        if user.block is function.body and choose.random() < 0.7:
            user.set_operand(place, joined)


def check(seed: int, native: bool = True) -> None:
    """One result for all numbers of ranks, as it is meant."""
    case = random_case(seed)
    expected = case.meant(by_interpreter)
    counts = SHARDS[case.shards]
    if all(map(is_exact, case.function.walk())):  # NumPy's functions depend on where elements stand
        for ranks in counts:
            assert_same(case.on(ranks, by_interpreter), expected)
    if native:
        results = [case.on(ranks, natively) for ranks in counts]
        results.append(case.meant(natively, expand(case.function)))
        first = [x.tobytes() for x in results[0]]
        for found in results[1:]:
            assert [x.tobytes() for x in found] == first


def main() -> None:
    first, count = map(int, sys.argv[1:3])
    for seed in range(first, first + count):
        try:
            check(seed, "native" in sys.argv)
        except IndexOutOfBoundsError:
            continue  # sums of indices are none
        except Exception as error:
            print(f"seed {seed}: {type(error).__name__}: {str(error)[:300]}", flush=True)
    print(f"{count} programs")


if __name__ == "__main__":
    main()
