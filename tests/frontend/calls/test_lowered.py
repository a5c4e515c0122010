"""lower: names, stages, compiled callables, specs; IR text and the reference interpreter."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest

import nets
from nets.errors import (
    ArgumentError,
    DTypeError,
    NetsError,
    ParseError,
    ShapeError,
    TraceError,
    UnsupportedObjectError,
)
from nets.frontend.calls.lowered import Compiled, Lowered, evaluate, parse_ir
from nets.frontend.calls.trace import trace
from nets.frontend.derived.transforms import value_and_grad
from nets.frontend.pytree import flatten
from nets.frontend.tracing.spec import TensorSpec, spec
from nets.ir.sizes import symbol
from nets.ir.types import TensorType, f32, f64, i64


@trace(static_argnames="n")
def loss(params: Any, x: Any, y: Any, n: int = 1) -> Any:
    """Mean squared error."""
    return ((nets.tanh(x @ params["w"] + params["b"]) - y) ** 2).mean() * n


PARAMS = {"w": np.ones((3, 2), np.float32), "b": np.zeros(2, np.float32)}
X, Y = np.ones((4, 3), np.float32), np.zeros((4, 2), np.float32)


# ------------------------------------------------------------------------------- specs


def test_specs() -> None:
    assert spec("f32[32, 784]").type == TensorType((32, 784), f32)
    assert spec(" float64 [ 3, ] ").type == TensorType((3,), f64)
    assert spec("i64").type == spec("i64[]").type == TensorType((), i64)
    assert spec((32, 784), "float32") == spec("f32[32,784]")
    assert spec([2, np.int64(3)], np.float64) == spec("f64[2,3]")
    assert spec("f32[?batch, 784]").shape == (symbol("batch"), 784)
    assert str(spec("f32[?batch, 784]")) == "f32[batch,784]"
    assert repr(spec("f32[3]")) == 'nets.spec("f32[3]")'
    assert hash(spec("f32[3]")) == hash(spec((3,), f32))
    assert spec("f32[0]").shape == (0,)
    assert spec("bool[2]").dtype == np.bool_
    assert flatten(spec("f32[3]"))[0] == [spec("f32[3]")]


@pytest.mark.parametrize(
    ("form", "error"),
    [
        ("", ParseError),
        ("f32[", ParseError),
        ("f32]3[", ParseError),
        ("f32[3][4]", ParseError),
        ("f32[-1]", ParseError),
        ("f32[1.5]", ParseError),
        ("f32[,]", ParseError),
        ("f32[3,,4]", ParseError),
        ("f32[?]", ParseError),
        ("f32[?1]", ParseError),
        ("f32[" + "9" * 30 + "]", ParseError),
        ("f32[" + "9" * 19 + "]", ShapeError),
        ("f16[3]", DTypeError),
        ("complex64[3]", DTypeError),
        ("index[3]", DTypeError),
        ("nonsense[3]", DTypeError),
    ],
)
def test_wrong_specs(form: str, error: type[NetsError]) -> None:
    with pytest.raises(error) as caught:
        spec(form)
    assert type(caught.value) is error


def test_wrong_shapes_and_dtypes_of_specs() -> None:
    with pytest.raises(ShapeError):
        spec((-1,), "float32")
    with pytest.raises(ShapeError):
        spec((1.5,), "float32")  # type: ignore[arg-type]
    with pytest.raises(DTypeError):
        spec((1,))
    with pytest.raises(ParseError):
        spec("f32[3]", "float32")


# ------------------------------------------------------------------------------- lower


def test_names() -> None:
    lowered = loss.lower(PARAMS, X, y=spec("f32[4, 2]"), n=2)
    assert isinstance(lowered, Lowered)
    assert lowered.name == "loss"
    assert lowered.argument_names == ["params_b", "params_w", "x", "y"]
    assert lowered.result_names == ["out"]
    assert lowered.function.name == "loss"
    assert "func @loss(%params_b: tensor<2xf32>, %params_w: tensor<3x2xf32>" in str(lowered)
    assert lowered.in_tree.leaf_count == 4
    assert lowered.out_tree.leaf_count == 1
    assert repr(lowered) == "<lowered function loss>"


def test_names_of_results() -> None:
    @dataclasses.dataclass
    class Result:
        value: Any
        rest: Any

    def names(function: Any) -> list[str]:
        return trace(function).lower(1.0).result_names

    assert names(lambda x: (x, [x, {"k": x}])) == ["out_0", "out_1_0", "out_1_1_k"]
    assert names(lambda x: {"loss": x, "grads": {"w": x}}) == ["grads_w", "loss"]
    assert names(lambda x: {"x": x}) == ["x_2"]
    assert names(lambda x: Result(x, [x])) == ["value", "rest_0"]
    assert names(lambda x: {1: x}) == ["out_1"]
    assert names(lambda out: out) == ["out_2"]
    assert names(lambda x: None) == []
    assert names(lambda x: {"2x": x, "": x, "é": x, "a b": x}) == ["out", "out_2x", "a_b", "_"]


def test_names_of_rest_and_keyword_arguments() -> None:
    lowered = trace(lambda *args, **kw: args[0]).lower(1.0, [2.0], b=3.0, a={"c": 1.0})
    assert lowered.argument_names == ["args_0", "args_1_0", "a_c", "b"]
    clash = trace(lambda a, a_0: a[0]).lower([1.0], 2.0)
    assert clash.argument_names == ["a_0", "a_0_2"]


def test_transforms_lower_too() -> None:
    lowered = value_and_grad(loss).lower(PARAMS, X, Y)
    assert lowered.name == "loss_value_and_grad"
    assert lowered.argument_names == ["params_b", "params_w", "x", "y"]
    assert lowered.result_names == ["out_0", "out_1_b", "out_1_w"]
    value, gradient = evaluate(lowered, PARAMS, X, Y)
    expected, expected_gradient = value_and_grad(loss)(PARAMS, X, Y)
    np.testing.assert_allclose(value.numpy(), expected.numpy(), rtol=1e-6)
    assert gradient["w"].shape == expected_gradient["w"].shape


def test_methods_lower_too() -> None:
    class Model:
        def __init__(self) -> None:
            self.w = nets.Tensor(2.0)

        @trace
        def predict(self, x: Any) -> Any:
            return self.w * x

    lowered = Model().predict.lower(spec("f32[3]"))
    assert lowered.argument_names == ["x", "captured_0"]
    assert lowered.compile()(np.ones(3, np.float32)).tolist() == [2, 2, 2]


def test_lower_refuses() -> None:
    with pytest.raises(UnsupportedObjectError, match="argument x"):
        loss.lower(PARAMS, "f32[4, 3]", Y)
    with pytest.raises(ArgumentError, match="missing"):
        loss.lower(PARAMS)
    with pytest.raises(ShapeError):
        loss.lower(PARAMS, spec("f32[4, 4]"), Y)


def test_a_parameter_may_be_called_pipeline() -> None:
    f = trace(lambda x, pipeline: x + pipeline)
    assert f(1.0, 2.0).item() == 3
    assert f.lower(1.0, 2.0).argument_names == ["x", "pipeline"]


# ------------------------------------------------------------------------------ stages


def test_stages() -> None:
    lowered = loss.lower(PARAMS, X, Y)
    assert "matmul" in lowered.ir("traced")
    for text in (lowered.ir(), lowered.ir("optimized"), lowered.ir("loops")):
        assert "@loss" in text
    assert "define" in lowered.llvm()
    assert lowered.asm()
    assert isinstance(lowered.stats(), dict)
    assert isinstance(lowered.cost(), dict)
    assert lowered.ir("traced") == loss.lower(PARAMS, X, Y).ir("traced")


# ----------------------------------------------------------------------------- compile


def test_compiled_takes_what_the_function_takes() -> None:
    for backend in ("native", "numpy"):
        compiled = loss.lower(PARAMS, X, Y, n=2).compile(backend=backend, threads=1)
        assert isinstance(compiled, Compiled)
        expected = loss(PARAMS, X, Y, n=2).numpy()
        for _ in range(2):
            result = compiled(PARAMS, nets.Tensor(X), y=Y, n=2)
            np.testing.assert_allclose(result.numpy(), expected, rtol=1e-6)
    assert "loss" in repr(compiled)


def test_compiled_numbers() -> None:
    compiled = trace(lambda x, s: x * s).lower(spec("f32[2]"), spec("f32[]")).compile()
    assert compiled(np.ones(2, np.float32), 2.0).tolist() == [2, 2]
    assert compiled(np.ones(2, np.float32), 2).tolist() == [2, 2]
    assert compiled(np.ones(2, np.float32), np.float32(2)).tolist() == [2, 2]


def test_compiled_refuses() -> None:
    compiled = loss.lower(PARAMS, X, Y).compile("numpy")
    for args, words in (
        ((PARAMS, X[:2], Y), r"argument x is float32\[2,3\]; .* f32\[4,3\]"),
        ((PARAMS, X.astype(np.float64), Y), r"argument x is float64\[4,3\]"),
        (({"w": PARAMS["w"]}, X, Y), r"not \({'w': \*}, \*, \*\)"),
        ((PARAMS, X, Y, 2), "other static values"),
        ((PARAMS, X), "missing a required argument: 'y'"),
        ((PARAMS, X, Y, 1, 1), "too many positional"),
    ):
        with pytest.raises(ArgumentError, match=words) as caught:
            compiled(*args)
        assert __file__ in str(caught.value)
    with pytest.raises(UnsupportedObjectError, match="argument x"):
        compiled(PARAMS, "text", Y)
    integer = trace(lambda n: n).lower(1).compile()
    with pytest.raises(ArgumentError, match="argument n"):
        integer(1.5)
    with pytest.raises(ArgumentError, match='"native" or "numpy"'):
        loss.lower(PARAMS, X, Y).compile("cuda")
    with pytest.raises(ArgumentError, match="positive integer, not 0"):
        loss.lower(PARAMS, X, Y).compile(threads=0)


def test_compiled_code_in_a_trace() -> None:
    compiled = trace(lambda x: x * 2).lower(1.0).compile()
    assert trace(lambda x: x + compiled(3.0))(1.0).item() == 7
    with pytest.raises(TraceError, match="argument x: compiled code takes arrays"):
        trace(lambda x: compiled(x))(1.0)


def test_compiled_reads_captured_tensors() -> None:
    w = nets.Tensor([1.0, 2.0])
    compiled = trace(lambda x: x * w).lower(1.0).compile()
    assert compiled(3.0).tolist() == [3, 6]
    w.data = [5.0, 5.0]
    assert compiled(3.0).tolist() == [15, 15]


# ------------------------------------------------------------------------------ IR text

TEXT = """func @double(%x: tensor<2xf32>) -> tensor<2xf32> {
  %0 = add %x, %x : tensor<2xf32>
  return %0 : tensor<2xf32>
}
"""


def test_ir_text_is_read_back() -> None:
    text = loss.lower(PARAMS, X, Y).ir("traced")
    module = parse_ir(text)
    assert str(module.functions["loss"]).strip() == text.strip()


def test_evaluate() -> None:
    x = np.ones(2, np.float32)
    module = parse_ir(TEXT)
    for program in (TEXT, module, module.functions["double"]):
        (result,) = evaluate(program, x)
        assert result.tolist() == [2, 2]
    assert evaluate(loss.lower(PARAMS, X, Y), PARAMS, X, Y).shape == ()


def test_what_evaluate_and_parse_ir_refuse() -> None:
    with pytest.raises(ParseError):
        parse_ir("func @f(")
    with pytest.raises(ParseError):
        parse_ir(3)  # type: ignore[arg-type]
    with pytest.raises(ArgumentError, match="one function"):
        evaluate(TEXT + TEXT.replace("double", "again"), 1.0)
    with pytest.raises(ShapeError):
        evaluate(TEXT, np.ones(3, np.float32))
    with pytest.raises(DTypeError):
        evaluate(TEXT, np.ones(2))
    with pytest.raises(ArgumentError):
        evaluate(loss.lower(PARAMS, X, Y), PARAMS)
    with pytest.raises(UnsupportedObjectError):
        evaluate(TEXT, [[1.0], [1.0, 2.0]])
    with pytest.raises(ArgumentError, match="int is no program"):
        evaluate(3)  # type: ignore[arg-type]


def test_tensor_specs_are_leaves() -> None:
    assert isinstance(spec("f32[3]"), TensorSpec)
