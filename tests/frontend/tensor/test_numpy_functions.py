"""NumPy's functions on tensors: nets' own, NumPy's, or a refusal that names the way out.

Every public function of NumPy that asks its arguments is called with whatever arrays it takes,
then with tensors in their places: plain ones, ones that require a gradient, and traced ones.
"""

from __future__ import annotations

import queue
import sys
import warnings
from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
import pytest

import nets
from nets.errors import ControlFlowError, GradientError, NetsError, UnsupportedObjectError
from nets.frontend.tensor import numpy_functions

Function = Callable[..., Any]

DISPATCHED: dict[str, Function] = {
    numpy_functions._name(member): member
    for module in (np, np.linalg, np.fft)
    for name, member in vars(module).items()
    if hasattr(member, "_implementation") and not name.startswith("_")
}
"""The functions that ask their arguments what they mean, by what stands behind ``np.``."""

OF_OTHER_THINGS = {
    *("busday_count", "busday_offset", "datetime_as_string", "is_busday"),
    *("save", "savetxt", "savez", "savez_compressed"),
}
"""Functions of dates, and those that write files."""

A = np.array([[0.5, 1.5], [2.5, 1.25]])
B = np.array([[1.5, 0.75], [2.0, 3.0]])
V, W = np.array([0.5, 1.5, 2.5]), np.array([1.0, 0.25, 2.0])
N, M = np.array([1, 0, 2]), np.array([[1, 2], [0, 1]])
NUMBER = np.array(1.5)

CALLS: list[tuple[Any, ...]] = [
    *((x,) for x in (A, V, N, NUMBER, A > 1)),
    *(
        (A, B),
        (V, W),
        (V, N),
        (N, 2),
        (A, 1),
        (A, (0, 1)),
        (A, (2, 2)),
        (A, 0, 1),
        (A, [0], 1),
        (V, [1]),
    ),
    *(([A, B],), ([V, W],), (A, NUMBER), (V, 0, 2), (A > 1, A, B), (A > 1, B), (V, V > 1, W)),
    *((V, V, W), (A, V[:2]), (B, M, 1), (V, W, 1), (N, (3,)), (V, "float32"), ((N, N), (4, 4))),
    *(("ij,jk->ik", A, B), ("ij", A), ([V > 1, V < 1], [V, W]), (N, [V, W, V]), (np.sum, 0, A)),
    *((np.sum, A, [0]), (np.uint8(N),), (NUMBER, NUMBER), (V, [V > 1], [2])),
    *((np.zeros((2, 2, 2)), 2), (B @ B.T + 1,), (np.eye(4).reshape(2, 2, 2, 2),), (M, N[:2], 0)),
    *((np.eye(4).reshape(2, 2, 2, 2), A), ((N, N), 0), (NUMBER, [3]), (N, V), (V, V, V)),
    *((A, M[:, :1] - 1, 9, 1), (M, N[:2], 5), (M, M > 0, [7, 8])),
]
"""What is tried; each function takes some of them."""


@cache
def on_arrays(function: Function) -> list[tuple[tuple[Any, ...], Any]]:
    """The calls that the function takes on arrays, and what it gives."""
    taken = []
    for arguments in CALLS:
        copies = replaced(arguments, np.copy)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("error")
                result = function(*copies)
        except Exception:
            continue
        taken.append((arguments, result))
    return taken


def replaced(nest: Any, by: Callable[[Any], Any]) -> Any:
    if isinstance(nest, (list, tuple)):
        return type(nest)(replaced(part, by) for part in nest)
    return by(nest) if isinstance(nest, np.ndarray) else nest


def leaves(nest: Any) -> list[Any]:
    if isinstance(nest, (list, tuple)):
        return [leaf for part in nest for leaf in leaves(part)]
    return [nest]


def assert_same(got: Any, want: Any, atol: float = 1e-15) -> None:
    """The same elements, shapes and dtypes, whatever holds them."""
    got, want = leaves(got), leaves(want)
    assert len(got) == len(want)
    for x, y in zip(got, want, strict=True):
        if not isinstance(y, (np.ndarray, np.generic)) or y.dtype.kind not in "biufc":
            assert type(x).__name__ == type(y).__name__
            continue
        assert x.dtype == y.dtype
        np.testing.assert_allclose(np.asarray(x), y, rtol=1e-12, atol=atol, strict=True)


PARAMETERS = sorted(DISPATCHED.keys() - OF_OTHER_THINGS)


@pytest.mark.parametrize("name", PARAMETERS)
@pytest.mark.sampled(3)
def test_the_result_is_numpys(name: str) -> None:
    function, taken = DISPATCHED[name], 0
    for arguments, want in on_arrays(function):
        try:
            got = function(*replaced(arguments, nets.Tensor))
        except NetsError:
            continue
        taken += 1
        if name == "unique_values":  # in no order that NumPy tells
            want = np.sort(want)
        if name in VECTORS:
            assert_same(up_to_sign(name, got), up_to_sign(name, want), atol=1e-12)
        elif name != "empty_like":
            assert_same(got, want)
        if name in TENSORS - {"linalg.matrix_rank"} and isinstance(arguments[0], np.ndarray):
            assert all(isinstance(x, nets.Tensor) for x in leaves(got))
    assert taken or name in WRITING


VECTORS = {"linalg.eigh", "linalg.svd"}
"""Functions whose vectors have a sign that is nobody's to say."""


def up_to_sign(name: str, result: Any) -> Any:
    """Values, what they and the vectors make together, and the products of the vectors."""
    if not isinstance(result, tuple):
        return result
    parts = [np.asarray(x) for x in result]
    if name == "linalg.svd":
        left, values, right = parts
    else:
        values, left = parts
        right = np.swapaxes(left, -1, -2)
    k = values.shape[-1]
    whole = (left[..., :k] * values[..., None, :]) @ right[..., :k, :]
    return [values, whole, np.swapaxes(left, -1, -2) @ left, right @ np.swapaxes(right, -1, -2)]


TENSORS = (numpy_functions._OWN.keys() | numpy_functions._LINALG.keys()) - {
    "where",
    "ndim",
    "shape",
    "size",
    "iscomplexobj",
    "isrealobj",
}
"""Functions that give tensors, whatever their arguments."""

WRITING = {"copyto", "fill_diagonal", "place", "put", "put_along_axis", "putmask"}
"""Functions that write to their argument, which tensors refuse."""


@pytest.mark.parametrize("name", PARAMETERS)
@pytest.mark.sampled(4)
def test_a_gradient_is_never_lost(name: str) -> None:
    function, seen = DISPATCHED[name], 0
    for arguments, want in on_arrays(function):
        first = next(x for x in leaves(arguments) if isinstance(x, np.ndarray))
        if first.dtype.kind != "f" and name not in ("choose", "select"):
            continue
        try:
            got = function(*replaced(arguments, requiring_gradient))
        except NetsError:
            seen += 1
            continue
        for x, y in zip(leaves(got), leaves(want), strict=True):
            seen += 1
            floating = isinstance(y, (np.ndarray, np.generic)) and y.dtype.kind in "fc"
            if floating and y.size and not name.endswith("_like") and name not in OF_NUMBERS:
                assert x.requires_grad
    assert seen or name in OF_INTEGERS


OF_NUMBERS = {"imag", "piecewise", "vander", "linalg.norm", "linalg.slogdet"}
"""Functions some of whose results do not depend on the tensor: zeros, numbers, powers of 0, counts
of what is not 0, signs."""

OF_INTEGERS = {"ravel_multi_index", "unravel_index", "packbits", "unpackbits", "bincount"}


def requiring_gradient(array: Any) -> nets.Tensor:
    return nets.Tensor(array, requires_grad=array.dtype.kind == "f")


@pytest.mark.parametrize("name", PARAMETERS)
@pytest.mark.sampled(4)
def test_a_trace_takes_or_refuses(name: str) -> None:
    function, seen = DISPATCHED[name], queue.SimpleQueue()

    def called(*tensors: nets.Tensor) -> int:
        given = iter(tensors)
        seen.put(function(*replaced(arguments, lambda _: next(given))))
        return 0

    for arguments, want in on_arrays(function):
        arrays = [x for x in leaves(arguments) if isinstance(x, np.ndarray)]
        try:
            nets.trace(called).lower(*arrays)
        except NetsError:
            continue
        for x, y in zip(leaves(seen.get()), leaves(want), strict=True):
            assert np.shape(x) == np.shape(y)
            if isinstance(x, nets.Tensor):
                assert x.dtype == np.asarray(y).dtype


def test_what_is_listed_exists() -> None:
    listed = (
        numpy_functions._OWN.keys() | numpy_functions._OF_TYPES | numpy_functions._LINALG.keys()
    )
    assert listed | numpy_functions._WITHOUT_GRADIENT <= DISPATCHED.keys()


WEIGHTS = nets.Tensor([1.0, 2.0], requires_grad=True)


def stored(x: Any) -> Any:
    z = np.zeros(2)
    z[0] = x[0]
    return z


def added(x: Any) -> Any:
    z = np.zeros(2)
    z[0] += x[0]
    return z


def spread(x: Any) -> Any:
    z = np.zeros((3, 2))
    z[1:] = x
    return z


CONVERSIONS: dict[str, Function] = {
    "asarray": np.asarray,
    "array of a list": lambda x: np.array([x[0], x[1]]),
    "tensor of a list": lambda x: nets.Tensor([x[0], x[1]]),
    "element": stored,
    "sum in an element": added,
    "rows": spread,
    "dot": lambda x: np.ones(2).dot(x),
    "full": lambda x: np.full(2, x[0]),
    "copyto": lambda x: np.copyto(np.zeros(2), x),
    "spectrum": np.fft.fft,
    "eigenvalues": lambda x: np.linalg.eigvals([x, x]),
}


@pytest.mark.parametrize("convert", CONVERSIONS.values(), ids=CONVERSIONS.keys())
def test_conversions_that_would_lose_a_gradient(convert: Function) -> None:
    with pytest.raises(GradientError, match="detach"):
        convert(WEIGHTS)
    assert sys.gettrace() is None
    with nets.no_grad():
        convert(WEIGHTS)
    convert(WEIGHTS.detach())
    with pytest.raises(ControlFlowError):
        nets.trace(lambda x: nets.as_tensor(convert(x))).lower(np.ones(2))
    assert sys.gettrace() is None


def counted(x: Any) -> Any:
    z = np.zeros(3, np.int64)
    for i in range(2):
        z[i] = x[i]
    return z


def test_an_element_is_refused_at_its_line() -> None:
    with pytest.raises(GradientError) as refused:
        counted(WEIGHTS)
    assert "z[i] = x[i]" in str(refused.value)
    assert "nets.stack" in str(refused.value)


def test_under_a_debugger_numpy_reports_it() -> None:
    sys.settrace(lambda *_: None)
    try:
        with pytest.raises(ValueError, match="sequence") as refused:
            stored(WEIGHTS)
    finally:
        sys.settrace(None)
    assert isinstance(refused.value.__cause__, GradientError)


def test_what_asks_by_name_is_given() -> None:
    x = WEIGHTS
    assert [float(x[0]), int(x[1]), x[1].item(), x.tolist()] == [1.0, 2, 2.0, [1.0, 2.0]]
    assert x.numpy().tolist() == x.data.tolist() == nets.Tensor(x).tolist() == [1.0, 2.0]
    assert f"{x[0]:.1f} {x}" == "1.0 tensor([1. 2.], requires_grad=True)"
    assert np.array_str(x) == "[1. 2.]"
    numbers = [0.0]
    numbers[0] = float(x[0])
    assert np.allclose(x, [1, 2])
    assert np.argsort(-x).tolist() == [1, 0]


def test_gradients_flow_through_numpys_names() -> None:
    x = nets.Tensor([1.0, 2.0], requires_grad=True)
    rows = np.vstack([x, 3 * x])
    loss = np.sum(np.where(rows > 2, np.clip(rows, 0, 5), 0)) + np.round(x, 1).sum() * 0
    loss.backward()
    assert np.array_equal(x.grad, [3, 0])
    program = nets.trace(lambda x: np.concatenate([x, np.cumsum(x), np.zeros_like(x)]))
    assert program(np.ones(2)).tolist() == [1, 1, 1, 2, 0, 0]


@pytest.mark.parametrize("option", ["out", "where", "initial"])
def test_options_nets_lacks(option: str) -> None:
    value = {"out": np.zeros(()), "where": np.array([True, False]), "initial": 3}[option]
    with pytest.raises(UnsupportedObjectError, match=f"takes no {option}"):
        np.sum(nets.Tensor([1.0, 2.0]), **{option: value})


@pytest.mark.parametrize("name", sorted(WRITING - {"put_along_axis"}))
def test_numpy_does_not_write_to_tensors(name: str) -> None:
    further = {"copyto": (0,), "fill_diagonal": (0,)}.get(name, ([True] * 4, [5]))
    with pytest.raises(UnsupportedObjectError, match="assign to the tensor"):
        getattr(np, name)(nets.Tensor(A.copy()), *further)


def test_other_libraries_have_their_say() -> None:
    class Other:
        def __array_function__(self, *_: Any) -> str:
            return "other"

    assert np.concatenate([nets.Tensor(V), Other()]) == "other"  # type: ignore[list-item]


def test_elements_asked_for_by_other_names() -> None:
    model, twin = nets.nn.Linear(2, 2), nets.nn.Linear(2, 2)
    twin.load_state_dict(dict(model.named_parameters()))
    assert np.array_equal(twin.weight, model.weight)
    x = nets.Tensor([1.0, 2.0], requires_grad=True)
    (x * x).backward(WEIGHTS)
    assert np.array_equal(x.grad, [2, 8])
    x.grad = WEIGHTS
    assert nets.evaluate(nets.trace(lambda x: 2 * x).lower(x), x).tolist() == [2, 4]


def test_bounds_of_counts_have_no_gradient() -> None:
    with pytest.raises(GradientError, match="passes no gradient"):
        nets.arange(0, WEIGHTS[0])
    assert nets.linspace(0, WEIGHTS[0].detach(), 3).tolist() == [0, 0.5, 1]


S = np.array([[4.0, 9.0, 9.0], [1.0, 3.0, 9.0], [0.5, -1.0, 2.0]])
"""A symmetric positive definite matrix, by its lower triangle."""
R = np.array([[1.0, 2.0, 0.5], [0.25, -1.0, 3.0], [2.0, 1.5, -0.75]])

ALGEBRA: dict[str, tuple[Function, Any]] = {
    "cholesky": (lambda x: np.linalg.cholesky(x), S),
    "upper": (lambda x: np.linalg.cholesky(x, upper=True), S.T),
    "solve": (lambda x: np.linalg.solve(x, R[0]), R),
    "solve stacked": (lambda x: np.linalg.solve(R, x), R),
    "inv": (lambda x: np.linalg.inv(x), R),
    "det": (lambda x: np.linalg.det(x), R),
    "slogdet": (lambda x: np.linalg.slogdet(x).logabsdet, R),
    "eigenvalues": (lambda x: np.linalg.eigh(x).eigenvalues, S),
    "vectors": (lambda x: np.linalg.eigh(x, UPLO="U").eigenvectors[0] ** 2, S.T),
    "eigvalsh": (lambda x: np.linalg.eigvalsh(x), S),
    "svd": (lambda x: np.linalg.svd(x[:2], full_matrices=False).Vh ** 2, R),
    "svdvals": (lambda x: np.linalg.svdvals(x), R),
    "qr": (lambda x: np.abs(np.linalg.qr(x).R), R),
    "q": (lambda x: np.linalg.qr(x, mode="complete")[0] ** 2, R[:, :2]),
    "pinv": (lambda x: np.linalg.pinv(x), R[:, :2]),
    "pinv, rtol": (lambda x: np.linalg.pinv(x, rtol=None), R[:2]),
    "lstsq": (lambda x: np.linalg.lstsq(x, R[0])[0], R[:, :2]),
    "residuals": (lambda x: np.linalg.lstsq(x, R[0])[1], R[:, :2]),
    "cond": (lambda x: np.linalg.cond(x, 1), R),
    "powers": (lambda x: np.linalg.matrix_power(x, -2), R),
    "norms": (lambda x: np.linalg.norm(x, "nuc") + np.linalg.norm(x, axis=0).sum(), R),
    "matrix norm": (lambda x: np.linalg.matrix_norm(x, ord=np.inf, keepdims=True), R),
    "vector norm": (lambda x: np.linalg.vector_norm(x, axis=1, ord=3), R),
    "products": (lambda x: np.linalg.multi_dot([x, x, x[0]]), R),
    "vectors of three": (lambda x: np.linalg.cross(x, R, axis=0), R),
    "outer": (lambda x: np.linalg.outer(x[0], x[1]), R),
    "traces": (lambda x: np.linalg.trace(x, offset=1) + np.linalg.diagonal(x, offset=-1), R),
    "more axes": (lambda x: np.linalg.tensordot(x, np.linalg.vecdot(x, R), axes=1), R),
    "tensors": (
        lambda x: np.linalg.tensorsolve(np.linalg.tensorinv(x[:, None, :], ind=1), R[:1]),
        R,
    ),
}


def test_linear_algebra_has_numpys_results_and_their_derivatives() -> None:
    """Eagerly and in a trace; derivatives are those of NumPy's results, also where these depend on
    one triangle alone."""

    def everything(x: Any, y: Any) -> list[Any]:
        given = {id(R): x, id(S): y}
        return [function(given.get(id(of), _part(of, x, y))) for function, of in ALGEBRA.values()]

    traced = nets.trace(everything)(R, S)
    for (word, (function, x)), compiled in zip(ALGEBRA.items(), traced, strict=True):
        expected = function(x)
        found = function(nets.Tensor(x))
        assert isinstance(found, nets.Tensor), word
        for result in (found, compiled):
            np.testing.assert_allclose(result.numpy(), expected, rtol=1e-9, atol=1e-12)
        leaf = nets.Tensor(x, requires_grad=True)
        weights = np.cos(np.arange(np.size(expected))).reshape(np.shape(expected))
        (function(leaf) * weights).sum().backward()
        moved = rng.normal(size=x.shape)
        up, down = ((function(x + h * moved) * weights).sum() for h in (1e-6, -1e-6))
        slope = float((np.asarray(leaf.grad) * moved).sum())
        np.testing.assert_allclose(slope, (up - down) / 2e-6, rtol=1e-5, atol=1e-7, err_msg=word)


def _part(of: Any, x: Any, y: Any) -> Any:
    """What an array is of the two that it was made of, made of these."""
    if of.base is S:
        return y.T
    return x[:, :2] if of.shape == (3, 2) else x[:2]


rng = np.random.default_rng(0)


def test_what_linear_algebra_refuses() -> None:
    x = nets.Tensor(R, requires_grad=True)
    with pytest.raises(GradientError, match="detach"):
        np.linalg.qr(x, mode="raw")
    with pytest.raises(UnsupportedObjectError, match="takes no out"):
        np.linalg.multi_dot([x, x], out=np.zeros((3, 3)))
    with pytest.raises(np.linalg.LinAlgError):
        np.linalg.cholesky(-x)
    with pytest.raises(NetsError, match="UPLO is 'L' or 'U'"):
        np.linalg.eigh(x, UPLO="x")  # type: ignore[arg-type]
    with pytest.raises(NetsError, match="is no system"):
        np.linalg.tensorsolve(x[None], R[:2])
    assert np.linalg.matrix_rank(x[0]) == 1
    assert np.linalg.lstsq(R, x, rcond=1.0).rank.item() == 3
