"""The node cases of ONNX: which there are, which nets could ever run, and what became of one."""

from __future__ import annotations

import traceback
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from onnx import TensorProto, numpy_helper
from onnx.backend.test.loader import load_model_tests

import nets
from tests.acceptance.onnx_cases.graph import (
    LacksOperatorError,
    known_names,
    run_graph,
)

WORDS = {
    "PASSED": "right eagerly and compiled",
    "SIZED": "right eagerly, and compiled where it is told how many results there are",
    "EAGER": "right eagerly, refused in a trace",
    "WRONG": "other numbers, another shape or dtype",
    "LACKS": "nets has no such function",
    "FAILS": "refused, or no road found",
}
"""What becomes of a case."""

DTYPES = {
    *(TensorProto.FLOAT, TensorProto.DOUBLE, TensorProto.BOOL),
    *(TensorProto.INT8, TensorProto.INT16, TensorProto.INT32, TensorProto.INT64),
    *(TensorProto.UINT8, TensorProto.UINT16, TensorProto.UINT32, TensorProto.UINT64),
}
"""The dtypes of ONNX that nets has."""

RANDOM = {"Bernoulli", "RandomNormal", "RandomUniform", "RandomUniformLike", "Multinomial"}
"""Operators whose numbers are those of one generator, which no other one gives."""

KNOWN = dict.fromkeys(
    ("test_dft_inverse", "test_dft_inverse_opset19"),
    "NumPy 2, which makes what is expected, computes this one in float32",
)
"""Cases that expect roundings: zeros as 1.9e-7, which is beyond the tolerance of 1e-7."""

FILES = {"ImageDecoder"}
"""Operators that read formats of images."""


@dataclass(frozen=True)
class Outcome:
    word: str
    note: str = ""
    """What is wrong or lacks."""


def load() -> list[Any]:
    """All node cases, expanded ones included."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return load_model_tests(kind="node")


def is_expanded(case: Any) -> bool:
    """Whether it is another case with the function of its operator written out."""
    return "_expanded" in case.name


def operators(case: Any) -> str:
    return "+".join(sorted({node.op_type for node in case.model.graph.node}))


def _kinds(model: Any) -> Iterator[Any]:
    """The dtypes of what a model takes, gives and computes between; words for what is no tensor."""
    for value in [*model.graph.input, *model.graph.output, *model.graph.value_info]:
        kind = value.type.WhichOneof("value")
        yield value.type.tensor_type.elem_type if kind == "tensor_type" else kind
    for constant in model.graph.initializer:
        yield constant.data_type


def out_of_reach(case: Any) -> str:
    """Why nets cannot run a case whatever functions it gets, or nothing."""
    for kind in _kinds(case.model):
        if isinstance(kind, str):
            return kind.removesuffix("_type")
        if kind not in DTYPES:
            return TensorProto.DataType.Name(kind).lower()
    names = {node.op_type for node in case.model.graph.node}
    if names & FILES:
        return "files of images"
    if names & RANDOM or _draws(case):
        return "random numbers of one generator"
    return ""


def _draws(case: Any) -> bool:
    """Whether a Dropout really drops: training, at a ratio that is not 0."""
    if [node.op_type for node in case.model.graph.node] != ["Dropout"]:
        return False
    given = [_array(x) for x in case.data_sets[0][0]]
    names = list(case.model.graph.node[0].input)
    if len(names) < 3:
        return False
    place = {i.name: k for k, i in enumerate(case.model.graph.input)}
    training = given[place[names[2]]] if names[2] in place else True
    ratio = given[place[names[1]]] if names[1] in place else 0.5
    return bool(training) and float(ratio) != 0


def _array(x: Any) -> Any:
    return numpy_helper.to_array(x) if isinstance(x, TensorProto) else np.asarray(x)


# --------------------------------------------------------------------------------- runs


def run(case: Any, traced: bool = True) -> Outcome:
    """The case eagerly and, unless it has failed so, compiled."""
    outcome = _attempt(case, False)
    if outcome.word != "PASSED" or not traced:
        return outcome
    compiled = _attempt(case, True)
    if compiled.word == "FAILS":
        sized = _attempt(case, True, sized=True)
        return Outcome("SIZED" if sized.word == "PASSED" else "EAGER", compiled.note)
    return Outcome(compiled.word, compiled.note and f"compiled: {compiled.note}")


def _attempt(case: Any, traced: bool, sized: bool = False) -> Outcome:
    try:
        for given, expected in case.data_sets:
            wanted = [_array(x) for x in expected]
            shapes = tuple(x.shape for x in wanted) if sized else None
            found = _results(case.model, [_array(x) for x in given], traced, shapes)
            _compare(found, wanted, case.rtol, case.atol)
    except AssertionError as error:
        note = KNOWN.get(case.name) or _short(error) or traceback.format_exc()
        return Outcome("WRONG", note)
    except (nets.errors.MissingNameError, LacksOperatorError) as error:
        return Outcome("LACKS", _name(error))
    except AttributeError as error:
        return Outcome("LACKS" if "nets" in str(error) else "FAILS", str(error))
    except Exception as error:
        return Outcome("FAILS", f"{type(error).__name__}: {_short(error)}")
    return Outcome("PASSED")


def _results(
    model: Any,
    arrays: Sequence[Any],
    traced: bool,
    shapes: tuple[tuple[int, ...], ...] | None = None,
) -> list[Any]:
    versions = {o.domain: o.version for o in model.opset_import}
    names = [i.name for i in model.graph.input]
    if not traced:
        tensors = [nets.Tensor(a) for a in arrays]
        return [x.numpy() for x in run_graph(model.graph, tensors, versions)]
    numbers = known_names(model.graph)
    places = [k for k, name in enumerate(names[: len(arrays)]) if name not in numbers]

    @nets.trace
    def program(*tensors: Any) -> list[Any]:
        inputs = list(arrays)
        for k, tensor in zip(places, tensors, strict=True):
            inputs[k] = tensor
        return run_graph(model.graph, inputs, versions, shapes=shapes)

    return [x.numpy() for x in program(*(arrays[k] for k in places))]


def _compare(found: Sequence[Any], expected: Sequence[Any], rtol: float, atol: float) -> None:
    """As ONNX's own runner compares."""
    assert len(found) == len(expected), f"{len(found)} results, not {len(expected)}"
    for i, (value, wanted) in enumerate(zip(found, expected, strict=True)):
        assert value.shape == wanted.shape, f"output {i}: {value.shape}, not {wanted.shape}"
        assert value.dtype == wanted.dtype, f"output {i}: {value.dtype}, not {wanted.dtype}"
        np.testing.assert_allclose(value, wanted, rtol=rtol, atol=atol)


def _short(error: BaseException) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return " | ".join(lines[:6])[:300]


def _name(error: BaseException) -> str:
    if isinstance(error, LacksOperatorError):
        return f"{error} is not in the table"
    return str(error).splitlines()[0]
