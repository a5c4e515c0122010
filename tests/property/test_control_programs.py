"""Random loops and branches: native code has the bits of the same steps written out."""

from __future__ import annotations

import random

import numpy as np
import pytest

from nets.backend.numpy.interpreter import evaluate
from nets.ir.builder import Builder
from nets.ir.clone import body_without_terminator, clone_into
from nets.ir.core import Block, Function, Operation, Region, Value
from nets.ir.parser import parse_function
from nets.ir.printer import print_function
from nets.ir.types import TensorType, bool_, i64
from nets.ops.definition.emitter import GraphEmitter
from nets.ops.definition.registry import lookup
from nets.passes.derivatives.vjp import carries_cotangent, value_and_vjp
from tests.property.compiled import Way
from tests.property.programs import arguments, random_program, shape_of
from tests.property.results import assert_same


class Loop:
    """A random program as the body of a scan: which arguments are carried, cut, or the same.

    Its arguments are ordered so; ``following`` are the next carries, ``added`` what is stacked.
    Of the results some are ``returned``, so that carries and stacks are there that nobody needs.
    """

    def __init__(self, seed: int, smooth: bool) -> None:
        choose = random.Random(seed)
        self.body = random_program(seed, 8, smooth=smooth)
        ops = list(body_without_terminator(self.body))
        made = [*self.body.arguments, *(value for op in ops for value in op.results)]
        self.carried, self.cut, self.same, self.following = [], [], [], []
        for x in self.body.arguments:
            fitting = [value for value in made if value.type == x.type]
            kind = choose.randrange(4)
            if kind < 2:
                self.carried.append(x)
                self.following.append(choose.choice(choose.choice((fitting[-3:], fitting[:2]))))
            else:
                (self.cut if kind == 2 else self.same).append(x)
        self.added = [choose.choice(made) for _ in range(choose.randrange(3))]
        self.added += list(self.body.returned)[:1]
        self.reverse = bool(choose.randrange(2))
        self.order = [*self.carried, *self.cut, *self.same]
        self.inner = 2 if choose.randrange(4) == 0 and self.carried else 1
        self.length = choose.choice((3, 3, 2, 1, 0))
        self.counts = not self.cut and not smooth and choose.randrange(2) == 0
        if self.counts:
            self.added = []
        count = len(self.carried) + len(self.added)
        self.returned = [i for i in range(count) if not choose.randrange(3)] or list(range(count))

    def function(self, written_out: bool) -> Function:
        """Initial carries, stacks, the rest → last carries and stacks."""
        types = [x.type if x not in self.cut else self.stack_type(x) for x in self.order]
        function = Function("loop", types)
        b = GraphEmitter(Builder(function.body))
        kept = self.counted if self.counts else self.scanned
        results = (self.unrolled if written_out else kept)(b, function.arguments)
        b.emit_all("return", *(results[i] for i in self.returned))
        return function

    def stack_type(self, x: Value) -> TensorType:
        return shape_of(x).with_shape((self.length, *shape_of(x).shape))

    def scanned(self, b: GraphEmitter, operands: list[Value]) -> list[Value]:
        block = Block([x.type for x in self.order])
        inner = GraphEmitter(Builder(block))
        carried, added = self.steps(inner, block.arguments)
        block.append(Operation(lookup("yield"), [*carried, *added], ()))
        attributes = {
            "carries": len(self.carried),
            "xs": len(self.cut),
            "length": self.length,
            "reverse": self.reverse,
        }
        scan = b.builder.create(lookup("scan"), operands, attributes, [Region(block)])
        return list(scan.results)

    def counted(self, b: GraphEmitter, operands: list[Value]) -> list[Value]:
        """As a while, which carries the number of the step, too."""
        operands = [b.constant(0, i64), *operands]
        test, body = (Block([x.type for x in operands]) for _ in range(2))
        inner = GraphEmitter(Builder(test))
        goes_on = inner.emit("less", test.arguments[0], inner.constant(self.length, i64))
        test.append(Operation(lookup("yield"), [goes_on], ()))
        inner = GraphEmitter(Builder(body))
        following = inner.add(body.arguments[0], inner.constant(1, i64))
        carried, _ = self.steps(inner, body.arguments[1:])
        body.append(Operation(lookup("yield"), [following, *carried], ()))
        attributes, regions = {"carries": 1 + len(self.carried)}, [Region(test), Region(body)]
        made = b.builder.create(lookup("while"), operands, attributes, regions)
        return list(made.results[1:])

    def steps(self, b: GraphEmitter, given: list[Value]) -> tuple[list[Value], list[Value]]:
        """One step, or every fourth time two in a branch that is taken."""
        carried, added = self.step(b, given)
        if self.inner == 2:
            rest = given[len(self.carried) :]
            types = [x.type for x in (*carried, *rest)]
            regions = []
            for taken in (True, False):
                block = Block(types)
                inner = GraphEmitter(Builder(block))
                found = self.step(inner, block.arguments)[0] if taken else block.arguments
                block.append(Operation(lookup("yield"), found[: len(carried)], ()))
                regions.append(Region(block))
            chosen = b.constant(True, bool_)
            made = b.builder.create(lookup("cond"), [chosen, *carried, *rest], {}, regions)
            carried = list(made.results)
        return carried, added

    def step(self, b: GraphEmitter, given: list[Value]) -> tuple[list[Value], list[Value]]:
        mapping = dict(zip(self.order, given, strict=True))
        clone_into(b.builder, body_without_terminator(self.body), mapping)
        return [mapping[x] for x in self.following], [mapping[x] for x in self.added]

    def unrolled(self, b: GraphEmitter, operands: list[Value]) -> list[Value]:
        count, rows = len(self.carried), len(self.cut)
        carried, cut, same = (
            operands[:count],
            operands[count : count + rows],
            operands[count + rows :],
        )
        stacks: list[list[Value]] = [[] for _ in self.added]
        for i in range(self.length)[:: -1 if self.reverse else 1]:
            slices = [row(b, x, i) for x in cut]
            carried, added = self.step(b, [*carried, *slices, *same])
            if self.inner == 2:
                carried, _ = self.step(b, [*carried, *slices, *same])
            for stack, value in zip(stacks, added, strict=True):
                stack.append(b.reshape(value, (1, *shape_of(value).static_shape)))
        order = -1 if self.reverse else 1
        if not self.length:
            types = [self.stack_type(x) for x in self.added]
            return [*carried, *(b.full(t.shape, 0, t.dtype) for t in types)]
        return [*carried, *(b.emit("concatenate", *s[::order], axis=0) for s in stacks)]


def row(b: GraphEmitter, x: Value, i: int) -> Value:
    _, *shape = shape_of(x).static_shape
    starts, stops = (i, *(0 for _ in shape)), (i + 1, *shape)
    part = b.emit("slice", x, starts=starts, stops=stops, steps=(1,) * len(stops))
    return b.reshape(part, tuple(shape))


@pytest.mark.parametrize("seed", range(500_000, 500_025))
@pytest.mark.sampled(5)
def test_a_scan_has_the_bits_of_its_steps(seed: int) -> None:
    loop = Loop(seed, smooth=False)
    kept, written = loop.function(False), loop.function(True)
    text = print_function(kept)
    assert print_function(parse_function(text, lookup)) == text
    arrays = arguments(kept, np.random.default_rng(seed))
    assert_same(evaluate(written, arrays), evaluate(kept, arrays), kept)
    expected = Way().compile(written)(arrays)
    assert_same(expected, Way().compile(kept)(arrays), kept)
    other = Way("none" if seed % 2 else "default", threads=2, vector_bytes=16)
    assert_same(expected, other.compile(kept)(arrays), kept)


@pytest.mark.parametrize("seed", range(600_000, 600_012))
@pytest.mark.sampled(5)
def test_gradients_of_a_scan_are_those_of_its_steps(seed: int) -> None:
    loop = Loop(seed, smooth=True)
    kept, written = loop.function(False), loop.function(True)
    wrt = [i for i, x in enumerate(kept.arguments) if carries_cotangent(x.type)]
    kept, written = value_and_vjp(kept, wrt), value_and_vjp(written, wrt)
    arrays = arguments(kept, np.random.default_rng(seed), special=False)
    expected = Way().compile(written)(arrays)
    for x, y in zip(expected, Way().compile(kept)(arrays), strict=True):
        if np.all(np.isfinite(x)):
            np.testing.assert_allclose(y, x, rtol=1e-6, atol=1e-9 * (1 + np.abs(x).max(initial=0)))
