"""What every op of the tensor dialect must do, generated from the samples of its class."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from single_op import check_derivatives, program

import nets.ops  # noqa: F401  (fills the registry)
from nets.backend.numpy.interpreter import evaluate
from nets.backend.numpy.loop_semantics import COMPUTE
from nets.errors import DTypeError, GradientError, NetsError
from nets.ir.builder import Builder
from nets.ir.core import Block, Trait, Value
from nets.ir.parser import parse_function
from nets.ir.printer import print_function
from nets.ir.types import TENSOR_DTYPES, DType, ScalarType, TensorType, f32, f64
from nets.ir.verifier import verify_function
from nets.ops.definition.registry import REGISTRY, Array, OpDef, Sample, Spec, lookup
from nets.ops.loop.loop_builder import LoopBuilder
from nets.passes.derivatives.vjp import vjp
from tests.property.programs import NOT_ITS_SLOPE
from tests.property.results import assert_same

TENSOR_OPS = [definition for definition in REGISTRY.values() if definition.rules.evaluate]
ELEMENTWISE = [
    definition
    for definition in TENSOR_OPS
    if definition.traits & Trait.ELEMENTWISE and not definition.traits & Trait.CHECKED
]


def _cases() -> Iterator[Any]:
    for definition in TENSOR_OPS:
        for i, sample in enumerate(definition.samples):
            yield pytest.param(definition, sample, id=f"{definition.name}-{i}")


def _differentiable() -> Iterator[Any]:
    """Samples in float64 of ops with a derivative, from floats (and others) to floats."""
    for definition in TENSOR_OPS:
        if definition.derivative_reason is not None or definition.name in NOT_ITS_SLOPE:
            continue
        found = {_in_float64(s) for s in definition.samples if _has_float(s) and _to_float(s)}
        for i, (operands, attributes) in enumerate(sorted(found, key=repr)):
            yield pytest.param(
                definition, Sample(operands, dict(attributes)), id=f"{definition.name}-{i}"
            )


def _has_float(sample: Sample) -> bool:
    return any(spec.dtype.is_float for spec in sample.operands)


def _to_float(sample: Sample) -> bool:
    """Not a cast to integers or bools, through which no cotangent comes back."""
    dtype = sample.attributes.get("dtype", f64)
    return isinstance(dtype, DType) and dtype.is_float


def _in_float64(sample: Sample) -> tuple[tuple[Spec, ...], tuple[tuple[str, Any], ...]]:
    def wide(dtype: Any) -> Any:
        return f64 if dtype == f32 else dtype

    operands = tuple(replace(s, dtype=wide(s.dtype)) for s in sample.operands)
    return operands, tuple((name, wide(value)) for name, value in sample.attributes.items())


def _draw(sample: Sample) -> list[Array]:
    rng = np.random.default_rng(2024)
    return [np.asarray(spec.draw(rng)) for spec in sample.operands]


def _types(arrays: list[Array], sample: Sample) -> list[TensorType]:
    pairs = zip(arrays, sample.operands, strict=True)
    return [TensorType(array.shape, spec.dtype) for array, spec in pairs]


@pytest.mark.parametrize(("definition", "sample"), list(_cases()))
@pytest.mark.sampled(3)
def test_the_type_rule_tells_what_evaluate_gives(definition: OpDef, sample: Sample) -> None:
    arrays = _draw(sample)
    before = [array.copy() for array in arrays]
    function = program(definition.name, _types(arrays, sample), **sample.attributes)
    verify_function(function)
    results = definition.evaluate(arrays, sample.attributes)
    for value, result in zip(function.returned, results, strict=True):
        assert isinstance(result, np.ndarray)
        assert result.shape == value.type.shape
        assert result.dtype == value.type.dtype.numpy
    assert_same(before, arrays, "an operand was changed")


@pytest.mark.parametrize(("definition", "sample"), list(_cases()))
@pytest.mark.sampled(4)
def test_text_is_read_back(definition: OpDef, sample: Sample) -> None:
    arrays = _draw(sample)
    function = program(definition.name, _types(arrays, sample), **sample.attributes)
    text = print_function(function)
    again = parse_function(text, lookup)
    assert print_function(again) == text
    assert_same(evaluate(function, arrays), evaluate(again, arrays), text)


@pytest.mark.parametrize(("definition", "sample"), list(_differentiable()))
@pytest.mark.sampled(3)
def test_derivatives_agree_with_differences(definition: OpDef, sample: Sample) -> None:
    check_derivatives(definition.name, *_draw(sample), **sample.attributes)


@pytest.mark.parametrize("definition", TENSOR_OPS, ids=lambda d: d.name)
def test_without_derivative_says_why(definition: OpDef) -> None:
    reason = definition.derivative_reason
    if reason is None:
        return
    assert len(reason.split()) >= 3
    for sample in filter(_has_float, definition.samples):
        function = program(definition.name, [s.type for s in sample.operands], **sample.attributes)
        if function.returned[0].type.dtype.is_float:
            with pytest.raises(GradientError, match=definition.name):
                vjp(function, [0])


# ---------------------------------------------------------------------------- elementwise


SHAPES = ((), (1,), (0,), (0, 3), (3, 0), (2, 0, 3), (7,), (3, 5), (2, 3, 4), (1, 1, 1, 2, 1, 2))


def _elementwise_samples() -> Iterator[Any]:
    for definition in ELEMENTWISE:
        seen = set()
        for sample in definition.samples:
            dtypes = tuple(spec.dtype.name for spec in sample.operands)
            target = str(sample.attributes.get("dtype", ""))
            if (dtypes, target) not in seen:
                seen.add((dtypes, target))
                name = "-".join((definition.name, *dtypes, *([target] if target else [])))
                yield pytest.param(definition, sample, id=name)


@pytest.mark.parametrize(("definition", "sample"), list(_elementwise_samples()))
@pytest.mark.sampled(3)
def test_shape_and_layout_do_not_matter(definition: OpDef, sample: Sample) -> None:
    rng = np.random.default_rng(7)
    for shape in SHAPES:
        specs = [Spec(shape, s.dtype, s.low, s.high) for s in sample.operands]
        arrays = [np.asarray(spec.draw(rng)) for spec in specs]
        (expected,) = definition.evaluate(arrays, sample.attributes)
        assert expected.shape == shape
        flat = [array.ravel() for array in arrays]
        (by_element,) = definition.evaluate(flat, sample.attributes)
        assert_same([expected], [by_element.reshape(shape)], shape)
        for layout in _layouts(arrays):
            assert_same([expected], definition.evaluate(layout, sample.attributes), shape)


def _layouts(arrays: list[Array]) -> Iterator[list[Array]]:
    yield [np.array(array, order="F") for array in arrays]
    yield [np.repeat(array[..., None], 3, axis=-1)[..., 1] for array in arrays]
    yield [np.flip(np.flip(array).copy()) for array in arrays]
    unaligned = []
    for array in arrays:
        memory = np.zeros(array.nbytes + 1, np.uint8)[1:]
        view = memory.view(array.dtype).reshape(array.shape)
        view[...] = array
        view.flags.writeable = False
        unaligned.append(view)
    yield unaligned


def _operand_dtypes(definition: OpDef) -> Iterator[tuple[DType, ...]]:
    """Operand dtypes the op takes: all alike, but for the condition of select."""
    firsts = {sample.operands[0].dtype for sample in definition.samples}
    for dtype in TENSOR_DTYPES:
        rest = (dtype,) * (len(definition.operand_names) - 1)
        if len(rest) == 2:
            yield from ((first, *rest) for first in firsts)
        else:
            yield (dtype, *rest)


def _taken() -> Iterator[Any]:
    for definition in ELEMENTWISE:
        attributes = {name: dtype for name in definition.attribute_names for dtype in (f32,)}
        for dtypes in _operand_dtypes(definition):
            try:
                program(definition.name, [TensorType((3,), d) for d in dtypes], **attributes)
            except DTypeError:
                continue
            yield pytest.param(definition, dtypes, id=f"{definition.name}-{dtypes[-1]}")


def _edge_values(dtype: DType) -> Array:
    if dtype.is_bool:
        return np.array([False, True])
    if dtype.is_float:
        limits = np.finfo(dtype.numpy.name)
        halves = np.arange(-7, 8) / 2
        sizes = [limits.max, limits.tiny, limits.smallest_subnormal, 1e9, 3e-5, 17.3, 0.1, np.pi]
        special = [0.0, -0.0, np.inf, -np.inf, np.nan]
        return np.array([*halves, *special, *sizes, *(-x for x in sizes)], dtype.numpy)
    bounds = np.iinfo(dtype.numpy.name)
    small = [n for n in range(-9, 10) if n >= bounds.min]
    widths = [n for n in (15, 16, 31, 32, 33, 63, 64, 65, 100) if n <= bounds.max]
    near = [bounds.min, bounds.min + 1, bounds.max, bounds.max - 1, bounds.max // 3]
    return np.array(sorted({*small, *widths, *near}), dtype.numpy)


def _every_combination(dtypes: tuple[DType, ...]) -> list[Array]:
    grids = np.meshgrid(*map(_edge_values, dtypes), indexing="ij")
    return [grid.ravel() for grid in grids]


def _run_scalar_body(
    definition: OpDef, arrays: list[Array], dtypes: tuple[DType, ...], attributes: dict[str, Any]
) -> Array:
    """What the op's ``lower`` computes for each element, by what the loop dialect means."""
    block = Block([ScalarType(dtype) for dtype in dtypes])
    result = definition.lower_scalar(LoopBuilder(Builder(block)), *block.arguments, **attributes)
    values = dict(zip(block.arguments, arrays, strict=True))
    with np.errstate(all="ignore"):
        for op in block:
            operands = [values[operand] for operand in op.operands]
            values[op.result] = COMPUTE[op.name](*operands, **op.attributes)
    return np.broadcast_to(values[result], arrays[0].shape)


@pytest.mark.parametrize(("definition", "dtypes"), list(_taken()))
@pytest.mark.sampled(3)
def test_the_scalar_body_computes_the_reference(
    definition: OpDef, dtypes: tuple[DType, ...]
) -> None:
    arrays = _every_combination(dtypes)
    targets = TENSOR_DTYPES if definition.attribute_names else (None,)
    for target in targets:
        attributes = dict.fromkeys(definition.attribute_names, target)
        try:
            program(definition.name, [TensorType((3,), d) for d in dtypes], **attributes)
        except DTypeError:
            continue  # as of bitcast, to another size
        (expected,) = definition.evaluate(arrays, attributes)
        found = _run_scalar_body(definition, arrays, dtypes, attributes)
        if definition.traits & Trait.EXACT or not dtypes[-1].is_float:
            assert_same([expected], [found], definition.name)
        else:
            assert found.dtype == expected.dtype
            rtol = 4 * np.finfo(expected.dtype).eps
            np.testing.assert_allclose(found, expected, rtol=rtol, atol=0)


@pytest.mark.parametrize("definition", ELEMENTWISE, ids=lambda d: d.name)
def test_operands_of_different_shapes_are_refused(definition: OpDef) -> None:
    sample = definition.samples[0]
    types = [TensorType((3 + i,), spec.dtype) for i, spec in enumerate(sample.operands)]
    if len(types) > 1:
        with pytest.raises(NetsError, match=rf"{definition.name} .*tensor<\dx.*tensor<\dx"):
            program(definition.name, types, **sample.attributes)


@pytest.mark.parametrize("definition", ELEMENTWISE, ids=lambda d: d.name)
def test_operands_of_different_dtypes_are_refused(definition: OpDef) -> None:
    if len(definition.operand_names) == 2:
        with pytest.raises(DTypeError, match=definition.name):
            program(definition.name, [TensorType((3,), f32), TensorType((3,), f64)])


def test_traits_and_rules_fit() -> None:
    for definition in ELEMENTWISE:
        assert definition.traits & Trait.PURE
        assert definition.rules.lower_scalar is not None
        exact = bool(definition.traits & Trait.EXACT)
        assert exact or definition.traits & Trait.COSTLY, definition.name
        if definition.traits & Trait.COMMUTATIVE:
            assert len(definition.operand_names) == 2


# ------------------------------------------------------------------------- planted errors


def _plant(monkeypatch: pytest.MonkeyPatch, name: str, rule: str, wrong: Any) -> OpDef:
    definition = lookup(name)
    monkeypatch.setattr(definition.rules, rule, wrong)
    return definition


def test_a_wrong_derivative_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    _plant(monkeypatch, "tanh", "partials", lambda b, x, y: (b.sub(b.one(y), y),))
    with pytest.raises(AssertionError):
        check_derivatives("tanh", np.array([0.3, -1.2]))


def test_a_derivative_wrong_at_second_order_only_is_caught(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def partials(b: Any, x: Any, y: Any) -> tuple[Any, ...]:
        return (b.emit("stop_gradient", b.emit("cos", x)),)

    _plant(monkeypatch, "sin", "partials", partials)
    check_derivatives("sin", np.array([0.3, -1.2]), orders=1)
    with pytest.raises(AssertionError):
        check_derivatives("sin", np.array([0.3, -1.2]), orders=2)


def _swapped_maximum(s: LoopBuilder, x: Value, y: Value) -> Value:
    return s.binary("max", y, x)


def test_a_wrong_scalar_body_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    definition = _plant(monkeypatch, "maximum", "lower_scalar", _swapped_maximum)
    with pytest.raises(AssertionError):
        test_the_scalar_body_computes_the_reference(definition, (f32, f32))


def test_a_wrong_type_rule_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    definition = _plant(monkeypatch, "less", "infer", lambda x, y: x)
    with pytest.raises(AssertionError):
        test_the_type_rule_tells_what_evaluate_gives(definition, definition.samples[0])
