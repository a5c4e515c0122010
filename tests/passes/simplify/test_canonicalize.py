"""canonicalize changes no bit: every op with every special constant, on every special input."""

import itertools

import numpy as np
import pytest

from nets.backend.numpy.interpreter import evaluate
from nets.ir.builder import Builder
from nets.ir.clone import clone_function
from nets.ir.core import Function, Trait
from nets.ir.types import DType, TensorType, bool_, f32, f64, i8, i64, u8
from nets.ir.verifier import verify_function
from nets.ops.definition.emitter import GraphEmitter
from nets.ops.definition.registry import REGISTRY, Array, OpDef, lookup
from nets.passes.manager import Options
from nets.passes.simplify.canonicalize import canonicalize
from nets.passes.simplify.patterns import RULES

DTYPES = (bool_, i8, i64, u8, f32, f64)
NAN = float("nan")
TINY = {f32: (1e-45, 1e-38, 1.1754944e-38, 8.507059e37, 1.7014118e38), f64: (5e-324, 2.0**1023)}
FLOATS = (0.0, -0.0, 1.0, -1.0, 2.0, -2.0, 0.5, 0.3, 4.0, float("inf"), float("-inf"), NAN)


def specials(dtype: DType) -> Array:
    """Numbers with rules of their own, and the extremes."""
    if dtype.is_float:
        return np.array([*FLOATS, *TINY[dtype], 3.5, 16777216.0], dtype.numpy)
    if dtype.is_bool:
        return np.array([False, True])
    limits = np.iinfo(dtype.numpy.name)
    found = {0, 1, 2, 3, 7, limits.max, limits.min} | ({-1, -2} if dtype.kind == "i" else set())
    return np.array(sorted(found), dtype.numpy)


def elementwise(operands: int) -> list[OpDef]:
    """The ops of the tensor dialect with that many operands; not power, which is not exact."""
    return [
        definition
        for definition in REGISTRY.values()
        if definition.traits & Trait.ELEMENTWISE
        and len(definition.operand_names) == operands
        and definition.name != "power"
        and not definition.traits & Trait.CHECKED
    ]


def takes(definition: OpDef, dtype: DType) -> bool:
    return any(
        spec.dtype == dtype for sample in definition.samples for spec in sample.operands[-1:]
    ) or (dtype.is_float and bool(definition.traits & Trait.FLOAT_ONLY))


BINARY = [(op, dtype) for op in elementwise(2) for dtype in DTYPES if takes(op, dtype)]


def check(function: Function, *arrays: Array) -> None:
    """Compare the bits before and after."""
    verify_function(function)
    after = canonicalize(clone_function(function), Options())
    verify_function(after)
    for before, now in zip(evaluate(function, arrays), evaluate(after, arrays), strict=True):
        assert before.dtype == now.dtype
        assert bits(before) == bits(now), f"{function}\nbecame\n{after}"


def bits(array: Array) -> bytes:
    """The bytes, every NaN alike."""
    if array.dtype.kind == "f":
        array = np.where(np.isnan(array), array.dtype.type(NAN), array)
    return array.tobytes()


def start(*types: TensorType) -> tuple[Function, GraphEmitter]:
    function = Function("f", types, [f"x{i}" for i in range(len(types))])
    return function, GraphEmitter(Builder(function.body))


def finish(b: GraphEmitter, *values: object) -> None:
    b.builder.create(lookup("return"), values)  # type: ignore[arg-type]


@pytest.mark.parametrize(("definition", "dtype"), BINARY, ids=str)
@pytest.mark.sampled(4)
def test_with_constants_and_with_itself(definition: OpDef, dtype: DType) -> None:
    x = specials(dtype)
    for constant in x:
        for left in (False, True):
            function, b = start(TensorType(x.shape, dtype))
            operands = [
                function.arguments[0],
                b.broadcast(b.constant(constant, dtype), x.shape, ()),
            ]
            finish(b, b.emit(definition.name, *(reversed(operands) if left else operands)))
            check(function, x)
    function, b = start(TensorType(x.shape, dtype))
    finish(b, b.emit(definition.name, function.arguments[0], function.arguments[0]))
    check(function, x)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_pairs_of_unary_ops(dtype: DType) -> None:
    x = specials(dtype)
    names = [d.name for d in elementwise(1) if takes(d, dtype) and not d.attribute_names]
    for first, second in itertools.product(names, names):
        function, b = start(TensorType(x.shape, dtype))
        finish(b, b.emit(second, b.emit(first, function.arguments[0])))
        check(function, x)


@pytest.mark.parametrize(("definition", "dtype"), BINARY, ids=str)
def test_negated_operands(definition: OpDef, dtype: DType) -> None:
    if dtype.is_bool:
        return
    values = specials(dtype)
    x, y = (np.ascontiguousarray(grid) for grid in np.meshgrid(values, values))
    for left, right in ((True, False), (False, True), (True, True)):
        function, b = start(TensorType(x.shape, dtype), TensorType(x.shape, dtype))
        p, q = function.arguments
        finish(b, b.emit(definition.name, b.neg(p) if left else p, b.neg(q) if right else q))
        check(function, x, y)


@pytest.mark.parametrize("first", DTYPES, ids=str)
def test_casts(first: DType) -> None:
    x = specials(first)
    for middle, last in itertools.product(DTYPES, DTYPES):
        function, b = start(TensorType(x.shape, first))
        cast = b.emit("cast", function.arguments[0], dtype=middle)
        finish(b, b.emit("cast", cast, dtype=last))
        check(function, x)


@pytest.mark.parametrize("dtype", [f32, f64], ids=str)
@pytest.mark.parametrize("exponent", [0.0, 1.0, 2.0, 3.0, -1.0, 0.5, 2.5])
def test_powers_stay_within_their_bound(dtype: DType, exponent: float) -> None:
    rng = np.random.default_rng(1)
    x = np.concatenate([specials(dtype), rng.uniform(-10, 10, 5000).astype(dtype.numpy)])
    function, b = start(TensorType(x.shape, dtype))
    finish(b, b.emit("power", function.arguments[0], b.full(x.shape, exponent, dtype)))
    (before,) = evaluate(function, [x])
    (after,) = evaluate(canonicalize(function, Options()), [x])
    exact = exponent in (0.0, 1.0, 0.5, 2.5)
    np.testing.assert_array_equal(np.isnan(before), np.isnan(after))
    finite = np.isfinite(before)
    np.testing.assert_array_equal(before[~finite], after[~finite])
    np.testing.assert_array_max_ulp(before[finite], after[finite], 0 if exact else 2)
    np.testing.assert_array_equal(np.signbit(before[finite]), np.signbit(after[finite]))


def test_slices_of_slices() -> None:
    x = np.arange(12.0)
    cuts = [(a, z, s) for a in (0, 1, 5, 12) for z in (5, 9, 12) for s in (1, 2, 3) if a <= z]
    for first in cuts:
        size = len(range(*first))
        for second in [(a, z, s) for a in (0, 1, 3) for z in (3, size) for s in (1, 4)]:
            if not 0 <= second[0] <= second[1] <= size:
                continue
            function, b = start(TensorType(x.shape, f64))
            value = function.arguments[0]
            for cut in (first, second):
                value = b.emit("slice", value, **{k: (v,) for k, v in zip(NAMES, cut, strict=True)})
            finish(b, value)
            check(function, x)


NAMES = ("starts", "stops", "steps")


def test_transposes_and_flips() -> None:
    x = np.arange(24.0).reshape(2, 1, 3, 4)
    orders = list(itertools.permutations(range(4)))[::5]
    for first, second in itertools.product(orders, orders):
        function, b = start(TensorType(x.shape, f64))
        turned = b.emit("transpose", function.arguments[0], axes=first)
        flipped = b.emit("flip", turned, axes=first[:2] if first[0] < first[1] else ())
        finish(b, b.emit("transpose", turned, axes=second), flipped)
        check(function, x)


def test_broadcasts() -> None:
    x = np.arange(3.0).reshape(3, 1)
    steps = [((3, 1), (0, 1)), ((3, 4), (0, 1)), ((1, 3, 1), (1, 2)), ((3, 3, 1), (1, 2))]
    for shape, axes in steps:
        for extra in itertools.product((0, 1), repeat=len(shape)):
            larger, places = [], []
            for dim, more in zip(shape, extra, strict=True):
                larger += [2] * more
                places.append(len(larger))
                larger.append(dim)
            function, b = start(TensorType(x.shape, f64))
            inner = b.emit("broadcast", function.arguments[0], shape=shape, axes=axes)
            outer = b.emit("broadcast", inner, shape=tuple(larger), axes=tuple(places))
            two = b.full(tuple(larger), 2.0, f64)
            finish(b, outer, b.mul(outer, two))
            check(function, x)


def test_reductions_of_axes_of_size_one() -> None:
    for name in ("reduce_sum", "reduce_prod", "reduce_max", "reduce_min"):
        for shape in ((1, 3), (3, 1, 2), (1, 1), (1, 0)):
            x = np.resize(specials(f64)[:12], shape)
            for count in range(1, len(shape) + 1):
                for axes in itertools.combinations(range(len(shape)), count):
                    if name.endswith(("max", "min")) and any(shape[axis] == 0 for axis in axes):
                        continue
                    function, b = start(TensorType(shape, f64))
                    finish(b, b.emit(name, function.arguments[0], axes=axes))
                    verify_function(canonicalize(clone_function(function), Options()))
                    (before,) = evaluate(function, [x])
                    (after,) = evaluate(canonicalize(function, Options()), [x])
                    np.testing.assert_array_equal(before, after)


def test_every_rule_says_what_it_does() -> None:
    from nets.passes.simplify import simplify_arithmetic, simplify_shapes

    for module in (simplify_arithmetic, simplify_shapes):
        rules = [
            v for k, v in vars(module).items() if callable(v) and v.__module__ == module.__name__
        ]
        assert all(rule.__doc__ for rule in rules if not rule.__name__.startswith("_"))
    assert set(RULES) <= set(REGISTRY)
