"""Random compositions of derivatives and batching over random programs with loops and branches.

``python -m tests.property.transforms FIRST COUNT [native]`` runs a campaign: for each seed a random
program, up to two transforms of it, and then the checks of each transform of what came out:

* an entry of ``batch`` has the bits of the function for that entry alone;
* ⟨ct, jvp(step)⟩ = ⟨vjp(ct), step⟩, where there are both;
* the tangent is the slope, where differences tell.
"""

from __future__ import annotations

import random
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from nets.backend.numpy.interpreter import evaluate
from nets.compiler.compile import Compilation, CompileOptions
from nets.errors import GradientError
from nets.ir.core import Function, Operation
from nets.ir.types import TensorType
from nets.ir.verifier import verify_function
from nets.ops.definition.emitter import tensor_type
from nets.ops.definition.registry import Array
from nets.passes.derivatives.batch import batch
from nets.passes.derivatives.forward import jvp
from nets.passes.derivatives.vjp import carries_cotangent, value_and_vjp, vjp
from tests.property.loop_programs import Loop
from tests.property.native_order import evaluate_in_order
from tests.property.programs import arguments, random_program
from tests.property.results import assert_same

STEPS: Final = (1e-5, 1e-6)
LARGEST: Final = 1e4
"""Of values next to which differences tell nothing."""


@dataclass
class Case:
    """A function and arrays for it."""

    function: Function
    arrays: list[Array]
    rng: np.random.Generator
    words: list[str]

    @property
    def wrt(self) -> list[int]:
        return [i for i, x in enumerate(self.function.arguments) if carries_cotangent(x.type)]

    def draw(self, type: TensorType) -> Array:
        if type.dtype.is_float:
            return self.rng.uniform(-1, 1, type.static_shape).astype(type.dtype.numpy)
        return np.zeros(type.static_shape, type.dtype.numpy)

    def then(self, function: Function, further: Sequence[Array], word: str) -> Case:
        verify_function(function)
        return Case(function, [*self.arrays, *further], self.rng, [*self.words, word])


def random_case(seed: int) -> Case:
    """A program with a loop in it, or without, and up to two transforms of it."""
    choose = random.Random(seed)
    rng = np.random.default_rng(seed)
    if choose.randrange(2):
        function = Loop(seed, smooth=True).function(written_out=False)
    else:
        function = random_program(seed, 6, smooth=True)
    case = Case(function, arguments(function, rng, special=False), rng, [])
    for _ in range(choose.randrange(3)):
        case = choose.choice((pushed, pulled, batched))(case, choose)
    return case


def pushed(case: Case, choose: random.Random) -> Case:
    wrt = _some(case.wrt, choose)
    tangents = [case.draw(tensor_type(case.function.arguments[i])) for i in wrt]
    return case.then(jvp(case.function, wrt), tangents, "jvp")


def pulled(case: Case, choose: random.Random) -> Case:
    transform = choose.choice((vjp, value_and_vjp))
    try:
        function = transform(case.function, _some(case.wrt, choose))
    except GradientError:  # of a while, which has none in reverse
        return case
    cts = [case.draw(tensor_type(x)) for x in case.function.returned]
    return case.then(function, cts, "vjp")


def batched(case: Case, choose: random.Random) -> Case:
    size = choose.choice((2, 3, 1))
    stacked = [bool(choose.randrange(3)) for _ in case.arrays]
    function, _ = batch(case.function, stacked, size)
    verify_function(function)
    arrays = [
        np.stack([x, *(_near(x, case.rng) for _ in range(size - 1))]) if s else x
        for x, s in zip(case.arrays, stacked, strict=True)
    ]
    return Case(function, arrays, case.rng, [*case.words, f"batch{size}"])


def _some(places: Sequence[int], choose: random.Random) -> list[int]:
    """Most of the places, at least one."""
    found = [i for i in places if choose.randrange(4)]
    return found or list(places[:1])


def _near(x: Array, rng: np.random.Generator) -> Array:
    """Another example: other numbers of the same kind."""
    if x.dtype.kind == "f":
        return np.asarray(rng.permutation(x.ravel()).reshape(x.shape) * 0.75, x.dtype)
    return rng.permutation(x.ravel()).reshape(x.shape)


# --------------------------------------------------------------------------------- checks


def check_batch(case: Case, choose: random.Random, native: bool) -> None:
    """Entries have the bits of single calls."""
    size = choose.choice((2, 3))
    stacked = [bool(choose.randrange(3)) for _ in case.arrays]
    function, results = batch(case.function, stacked, size)
    verify_function(function)
    rows = [[x, *(_near(x, case.rng) for _ in range(size - 1))] for x in case.arrays]
    given = [np.stack(row) if s else row[0] for row, s in zip(rows, stacked, strict=True)]
    found = _run(function, given, native)
    for i in range(size):
        alone = [row[i] if s else row[0] for row, s in zip(rows, stacked, strict=True)]
        one = _run(case.function, alone, native)
        entry = [x[i] if s else x for x, s in zip(found, results, strict=True)]
        assert_same(one, entry, f"{case.words} batch, entry {i}\n{case.function}")


def _run(function: Function, arrays: Sequence[Array], native: bool) -> list[Array]:
    if native:
        return Compilation(function, CompileOptions()).executable([x.copy() for x in arrays])
    return evaluate_in_order(function, arrays)


def check_derivatives(case: Case) -> str:
    """Forward mode against reverse mode, and against differences where these tell."""
    function, arrays, wrt = case.function, case.arrays, case.wrt
    if not wrt:
        return "constant"
    forward = jvp(function, wrt)
    verify_function(forward)
    steps = {i: case.draw(tensor_type(function.arguments[i])) for i in wrt}
    count = len(function.returned)
    tangents = evaluate(forward, [*arrays, *steps.values()])[count:]
    moved = [i for i, x in enumerate(function.returned) if carries_cotangent(x.type)]
    largest = _largest(function, arrays)
    if not all(np.isfinite(x).all() for x in tangents) or not largest < LARGEST:
        return "too large"
    cts = [case.draw(tensor_type(x)) for x in function.returned]
    along = sum(float(np.sum(cts[i] * t)) for i, t in zip(moved, tangents, strict=True))
    size = 1 + sum(float(np.sum(np.abs(cts[i] * t))) for i, t in zip(moved, tangents, strict=True))
    context = f"{case.words}\n{function}"
    try:
        gradients = evaluate(vjp(function, wrt), [*arrays, *cts])
    except GradientError:
        gradients = None
    if gradients is not None and all(np.isfinite(g).all() for g in gradients):
        back = sum(float(np.sum(g * steps[i])) for g, i in zip(gradients, wrt, strict=True))
        assert abs(back - along) < 1e-8 * size, f"reverse {back}, forward {along}: {context}"
    slopes = [_slope(function, arrays, steps, cts, moved, h) for h in STEPS]
    if not abs(slopes[0] - slopes[1]) < 1e-5 * size:
        return "no slope"
    assert abs(along - slopes[0]) < 1e-4 * size, f"forward {along}, slopes {slopes}: {context}"
    return "checked"


def _slope(
    function: Function,
    arrays: Sequence[Array],
    steps: dict[int, Array],
    cts: Sequence[Array],
    moved: Sequence[int],
    h: float,
) -> float:
    ahead, behind = (
        evaluate(function, [x + s * steps[i] if i in steps else x for i, x in enumerate(arrays)])
        for s in (h, -h)
    )
    return sum(float(np.sum(cts[i] * (ahead[i] - behind[i]))) for i in moved) / (2 * h)


def _largest(function: Function, arrays: Sequence[Array]) -> float:
    """The largest magnitude of any value; inf where one is not finite."""
    found = [0.0]

    def observe(op: Operation, results: Sequence[Array]) -> None:
        for result in results:
            if result.dtype.kind == "f" and result.size:
                largest = float(np.max(np.abs(result)))
                found.append(largest if np.isfinite(largest) else np.inf)

    evaluate(function, arrays, observe)
    return max(found)


def check(seed: int, native: bool = False) -> str:
    """All checks for one seed; what the differences told."""
    case = random_case(seed)
    check_batch(case, random.Random(seed), native)
    return check_derivatives(case)


def main() -> None:
    first, count, *rest = sys.argv[1:]
    told: Counter[str] = Counter()
    wrong = 0
    for seed in range(int(first), int(first) + int(count)):
        try:
            told[check(seed, "native" in rest)] += 1
        except Exception as error:
            wrong += 1
            lines = str(error).splitlines()[:3]
            print(f"seed {seed}: {type(error).__name__}: {' | '.join(lines)[:300]}", flush=True)
    print(f"{count} compositions, {wrong} wrong, {dict(told)}")


if __name__ == "__main__":
    main()
