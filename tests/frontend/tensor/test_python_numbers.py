"""Python numbers beside tensors: every dtype, operator and number, against NumPy 2.

Eagerly, closed over by a traced function, and as its argument, whose value changes without
retracing; each gives what NumPy gives, or refuses what NumPy refuses.
"""

from __future__ import annotations

import math
import operator
import warnings
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import pytest

import nets
from nets.errors import DivisionByZeroError, DTypeError, NegativePowerError, NetsError, NumberError

DTYPES = (
    *("bool", "int8", "int16", "int32", "int64"),
    *("uint8", "uint16", "uint32", "uint64", "float32", "float64"),
)
INTEGERS = (
    *(0, 1, -1, 2, 127, 128, -128, -129, 255, 256, 300, 65535, 65536, 2**31 - 1, 2**31, -(2**31)),
    *(2**32, 2**40, -(2**40), 2**53 + 1, 2**60 + 2**36 + 1, 2**63 - 1, -(2**63)),
)
BEYOND = (2**63, 2**64 - 1)
"""Integers that only uint64 holds."""
FLOATS = (0.0, -0.0, 1.0, 0.5, -1.5, 255.0, 2.0**31, 2.0**63, 1e300, math.inf, -math.inf, math.nan)
NUMBERS: tuple[float, ...] = (*INTEGERS, *BEYOND, *FLOATS, True, False)

COMPARISONS: dict[str, Callable[[Any, Any], Any]] = {
    "eq": operator.eq,
    "ne": operator.ne,
    "lt": operator.lt,
    "le": operator.le,
    "gt": operator.gt,
    "ge": operator.ge,
}
ARITHMETIC: dict[str, Callable[[Any, Any], Any]] = {
    "add": operator.add,
    "sub": operator.sub,
    "mul": operator.mul,
    "truediv": operator.truediv,
    "floordiv": operator.floordiv,
    "mod": operator.mod,
    "and": operator.and_,
    "or": operator.or_,
    "xor": operator.xor,
    "lshift": operator.lshift,
    "rshift": operator.rshift,
}
OPERATORS = COMPARISONS | ARITHMETIC


def elements(dtype: str) -> Any:
    """A few numbers of a dtype, its outermost ones among them."""
    kind = np.dtype(dtype).kind
    if kind == "b":
        return np.array([False, True])
    if kind == "f":
        return np.array([0.0, -1.5, 1.0, 2.5, 255.0, 2.0**24, 2.0**63, np.inf, np.nan], dtype)
    limits = np.iinfo(dtype)
    return np.array([limits.min, limits.min + 1, 0, 1, 3, limits.max - 1, limits.max], dtype)


def outcome(f: Callable[..., Any], *operands: Any) -> Any:
    """What NumPy gives; the error where it refuses."""
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        try:
            return f(*operands)
        except (TypeError, OverflowError, ValueError) as error:
            return error


def agree(expected: Any, found: Any, what: object) -> None:
    """The same array, or both refused; nets for a reason that NumPy's users know."""
    if isinstance(expected, Exception):
        assert isinstance(found, NetsError), (what, expected, found)
        if isinstance(expected, OverflowError):
            assert isinstance(found, OverflowError), (what, expected, found)
        return
    assert not isinstance(found, Exception), (what, found)
    data = np.asarray(found)
    assert data.dtype == expected.dtype, (what, data.dtype, expected.dtype)
    if not np.array_equal(data, expected, equal_nan=data.dtype.kind == "f"):
        np.testing.assert_array_equal(data, expected, str(what))  # which takes longer, and tells


def attempt(f: Callable[..., Any], *operands: Any) -> Any:
    try:
        return f(*operands)
    except NetsError as error:
        return error


def every_other(*what: str) -> tuple[float, ...]:
    """Half of the numbers: which half depends on what is done, so that each dtype, each operation
    and each side meets all of them."""
    return NUMBERS[sum(map(ord, "".join(what))) % 2 :: 2]


def swapped(f: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
    return lambda x, number: f(number, x)


@pytest.fixture
def reference(monkeypatch: pytest.MonkeyPatch) -> None:
    """Traced functions run on the interpreter: much is traced here, and compiling takes long."""
    monkeypatch.setenv("NETS_BACKEND", "numpy")


def compared(x: Any, number: Any) -> list[Any]:
    """All comparisons, from both sides."""
    pairs = (x, number), (number, x)
    return [f(*pair) for f in COMPARISONS.values() for pair in pairs]


@pytest.mark.usefixtures("reference")
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.sampled(4)
def test_comparisons(dtype: str) -> None:
    compare_comparisons(dtype)


@pytest.mark.parametrize("dtype", ["uint8", "int32", "uint64"])
@pytest.mark.sampled(3)
def test_comparisons_of_native_code(dtype: str) -> None:
    compare_comparisons(dtype)


def compare_comparisons(dtype: str) -> None:
    x = elements(dtype)
    traced = nets.trace(compared)
    for number in NUMBERS:
        wide = x.astype(object) if dtype == "bool" and number in BEYOND else x  # NumPy refuses
        expected = outcome(compared, wide, number)
        for way, found in (
            ("eager", compared(nets.Tensor(x), number)),
            ("argument", traced(x, number)),
        ):
            for right, result in zip(expected, found, strict=True):
                agree(right.astype(bool), result, (way, dtype, number))
    assert traced.stats()["traces"] == 4  # for a bool, an int, a larger int, a float


def compare_operators(names: Iterable[str], dtype: str) -> None:
    for name in names:
        for side, f in (("left", ARITHMETIC[name]), ("on right", swapped(ARITHMETIC[name]))):
            x = elements(dtype)
            if np.dtype(dtype).kind == "f" and name in ("floordiv", "mod"):
                x = x[np.isfinite(x)]
            traced = nets.trace(f)
            for number in every_other(dtype, name, side):
                expected = outcome(f, x, number)
                agree(expected, attempt(f, nets.Tensor(x), number), ("eager", dtype, name, number))
                agree(expected, attempt(traced, x, number), ("argument", dtype, name, number))


@pytest.mark.usefixtures("reference")
@pytest.mark.parametrize("dtype", [d for d in DTYPES if "16" not in d and d != "uint32"])
@pytest.mark.parametrize("name", ARITHMETIC)
@pytest.mark.sampled(5)
def test_arithmetic(dtype: str, name: str) -> None:
    compare_operators([name], dtype)


@pytest.mark.parametrize("dtype", ["uint8", "int32", "uint64", "float32"])
@pytest.mark.sampled(4)
def test_arithmetic_of_native_code(dtype: str) -> None:
    compare_operators(["add", "floordiv", "lshift"], dtype)


# One that fits everywhere but in bool, one that few dtypes hold, one of each other kind.
SOME: tuple[float, ...] = (3, 300, -1, 2**40, 2**63 - 1, 1.5, 1e300, math.nan, True)

FUNCTIONS: dict[str, tuple[Callable[..., Any], Callable[..., Any]]] = {
    "maximum": (nets.maximum, np.maximum),
    "minimum": (nets.minimum, np.minimum),
    "clip below": (lambda x, n: nets.clip(x, n, None), lambda x, n: np.clip(x, n, None)),
    "clip above": (lambda x, n: nets.clip(x, None, n), lambda x, n: np.clip(x, None, n)),
    "clip": (lambda x, n: nets.clip(x, -1, n), lambda x, n: np.clip(x, -1, n)),
    "less": (nets.less, np.less),
    "add to its own": (lambda x, n: x + n * 1, lambda x, n: x + n * 1),
    "full": (
        lambda x, n: nets.full_like(x, n),
        lambda x, n: np.array([n] * len(x), x.dtype),  # np.full itself lets some wrap around
    ),
    "assign": (
        lambda x, n: _assigned(nets.concatenate([x]), n),
        lambda x, n: _assigned(x.copy(), n),
    ),
    "in place": (lambda x, n: _added(nets.concatenate([x]), n), lambda x, n: _added(x.copy(), n)),
}


def _assigned(x: Any, number: float) -> Any:
    x[1] = number
    return x


def _added(x: Any, number: float) -> Any:
    x += number
    return x


@pytest.mark.usefixtures("reference")
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", FUNCTIONS)
@pytest.mark.sampled(5)
def test_functions(dtype: str, name: str) -> None:
    own, numpys = FUNCTIONS[name]
    x = elements(dtype)
    as_argument = nets.trace(own)
    for number in every_other(dtype, name):
        expected = outcome(numpys, x, number)
        if dtype == "bool" and number in BEYOND:
            continue  # NumPy refuses all, also what is well defined
        agree(expected, attempt(own, nets.Tensor(x), number), ("eager", dtype, name, number))
        agree(expected, attempt(as_argument, x, number), ("argument", dtype, name, number))


@pytest.mark.usefixtures("reference")
@pytest.mark.parametrize("dtype", ["bool", "uint8", "int8", "int64", "uint64", "float32"])
@pytest.mark.parametrize("name", ["lt", "ge", "eq", "add", "floordiv", "rshift"])
@pytest.mark.sampled(5)
def test_numbers_that_are_closed_over(dtype: str, name: str) -> None:
    f, x = OPERATORS[name], elements(dtype)
    x = x[np.isfinite(x)]
    for number in SOME:
        expected = outcome(f, x, number)
        agree(expected, attempt(nets.trace(lambda x, n=number: f(x, n)), x), (dtype, name, number))


def test_check_mode(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NETS_CHECK", "1")
    x = elements("uint8")
    for name in ("lt", "add"):
        traced = nets.trace(OPERATORS[name])
        for number in SOME:
            expected = outcome(OPERATORS[name], x, number)
            agree(expected, attempt(traced, x, number), (name, number))


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Functions of a uint8 array and a Python int."""
    x = np.zeros(7, np.uint8)
    functions = {
        name: nets.trace(OPERATORS[name]).lower(x, 0) for name in ("lt", "ge", "add", "floordiv")
    }
    functions["power"] = nets.trace(lambda x, n: x.astype("int16") ** n).lower(x, 0)
    functions["alone"] = nets.trace(lambda x, n: x * 1.0 + n * n).lower(x, 0)
    path = tmp_path_factory.mktemp("numbers") / "numbers"
    nets.export(str(path), formats=("so",), **functions)
    return nets.load(path.with_suffix(".so"))


def test_exported_functions(library: Any) -> None:
    x = elements("uint8")
    for name in ("lt", "ge", "add", "floordiv"):
        for number in (0, 1, -1, 255, 300, 2**40, -(2**63)):
            expected = outcome(OPERATORS[name], x, number)
            agree(expected, attempt(getattr(library, name), x, number), (name, number))
    with pytest.raises(NumberError, match=r"add: the Python number 'b' does not fit uint8"):
        library.add(x, 300)
    with pytest.raises(NegativePowerError):
        library.power(x, -1)
    with pytest.raises(NumberError, match="does not fit int64"):
        library.alone(x, 2**40)


def test_exported_functions_take_numbers_of_the_kind_they_were_made_for(library: Any) -> None:
    x = elements("uint8")
    with pytest.raises(NumberError, match="int64"):
        library.add(x, 2**63)
    with pytest.raises(DTypeError):
        library.add(x, 1.5)
    agree(x + 1, library.add(x, True), "bool")


def test_lowered_functions_take_numbers_that_fit() -> None:
    compiled = nets.trace(lambda x: x * 2).lower(nets.spec("int8")).compile()
    assert compiled(np.int8(3)).item() == 6
    with pytest.raises(NetsError):
        compiled(300)
    number = nets.trace(lambda x: x * 2).lower(1.0).compile()
    assert number(3).item() == 6.0


# --------------------------------------------------------------------------------- powers


def test_integers_to_negative_powers() -> None:
    x = elements("int8")
    for exponent in (-1, -(2**63)):
        with pytest.raises(NegativePowerError if exponent == -1 else NumberError):
            nets.Tensor(x) ** exponent
    power = nets.trace(lambda x, n: x**n)
    agree(x**3, power(x, 3), 3)
    with pytest.raises(ValueError, match="negative power") as caught:
        power(x, -1)
    assert caught.value.location is not None
    with pytest.raises(OverflowError):
        power(elements("uint8"), -1)
    with pytest.raises(NegativePowerError):
        power(np.array([True]), -1)
    agree(np.array([0.5]), power(np.array([2.0]), -1), "float")


def test_integer_tensors_as_exponents() -> None:
    x, exponents = np.array([2, 1, -1]), np.array([3, 0, 5])
    for f in (operator.pow, nets.trace(operator.pow)):
        agree(x**exponents, f(nets.Tensor(x), exponents), "tensors")
        with pytest.raises(NegativePowerError):
            f(nets.Tensor(x), -exponents)
    with pytest.raises(NegativePowerError):
        nets.trace(lambda n: 2**n)(np.array([1, -1]))


# ----------------------------------------------------------- Python numbers among themselves

ALONE: dict[str, Callable[..., Any]] = {
    "sum": lambda n, m: n + m,
    "difference": lambda n, m: n - m,
    "product": lambda n, m: n * m,
    "quotient": lambda n, m: n // m,
    "remainder": lambda n, m: n % m,
    "power": lambda n, m: n**m,
    "shift": lambda n, m: n << m,
    "fraction": lambda n, m: n / m,
    "negative": lambda n, m: -n,
    "magnitude": lambda n, m: abs(n),
    "square": lambda n, m: n**2,
    "more": lambda n, m: (n + 1) * (m + 1) - 3,
    "order": lambda n, m: n < m,
}
PAIRS = (
    *((0, 0), (3, 5), (-7, 2), (7, -2), (2, 62), (2, 63), (-2, 63), (3, 39), (3, 40), (10, 18)),
    *((2**31, 2**32), (2**62, 2), (-(2**62), 2), (2**63 - 1, 1), (-(2**63), -1), (2**63 - 1, -1)),
    *((1, -1), (5, -3), (2**63, 1), (2**63, 0), (2**64 - 1, 2**64 - 1), (True, True), (True, 3)),
    *((1.5, 2), (2, 0.5), (1.5, 0.0), (1e300, 1e300), (2**53 + 1, 2)),
)


@pytest.mark.usefixtures("reference")
@pytest.mark.parametrize("name", ALONE)
def test_python_numbers_alone_are_pythons_or_refused(name: str) -> None:
    f = ALONE[name]
    traced = nets.trace(lambda n, m: f(n, m))
    for pair in PAIRS:
        found = attempt(traced, *pair)
        try:
            is_endless = name in ("power", "shift") and pair[1] > 1000
            expected = math.inf if is_endless else f(*pair)
        except (ArithmeticError, TypeError, ValueError):
            is_float = name in ("power", "square")  # too large a float is inf, as in products
            assert isinstance(found, NetsError) or is_float, (name, pair, found)
            continue
        if isinstance(found, NetsError):
            fits = -(2**62) <= expected <= 2**62 and max(map(abs, pair)) <= 2**62
            assert not fits or (name == "power" and pair[1] < 0), (name, pair, found)
        else:
            assert found.item() == expected, (name, pair, found)


def test_python_numbers_alone_in_native_code() -> None:
    traced = nets.trace(lambda n, m: n * m)
    for n, m in ((3, 5), (-(2**62), 2), (2**31, 2**31), (-1, 2**63 - 1)):
        assert traced(n, m).item() == n * m
    for n, m in ((2**62, 2), (2**32, 2**31), (-(2**63), -1), (2**32, 2**32)):
        with pytest.raises(NumberError):
            traced(n, m)


def test_division_by_zero_of_python_numbers() -> None:
    for f in (lambda n: 1 / n, lambda n: 1 // n, lambda n: 5 % n, lambda n: 1.5 / n):
        with pytest.raises(ZeroDivisionError, match="'n' is zero") as caught:
            nets.trace(f)(0)
        assert isinstance(caught.value, DivisionByZeroError)
    agree(np.array([np.inf]), nets.trace(lambda x, n: x / n)(np.array([1.0]), 0.0), "tensors")


def test_counters_need_no_checks() -> None:
    def f(x: Any) -> Any:
        return nets.fori_loop(2, 9, lambda i, c: c + (2 * i + 1) ** 2 // (i + 1) - i % 3, x)

    x = np.arange(3, dtype=np.int16)
    lowered = nets.trace(f).lower(x)
    assert "require" not in lowered.ir("traced")
    agree(np.asarray(f(nets.Tensor(x))), nets.trace(f)(x), "counter")


def test_no_check_where_a_number_has_the_dtype() -> None:
    for x in (np.arange(3), np.ones(3), np.ones(3, np.float32)):
        assert "require" not in nets.trace(lambda x, n: x + n).lower(x, 3).ir("traced")


# ------------------------------------------------------------------------- loops, branches


def test_carries_and_branches_take_numbers_that_fit() -> None:
    x = np.array([1, 2], np.uint8)
    count = nets.trace(lambda x, n: nets.fori_loop(0, 3, lambda i, c: x.max(), n))
    assert count(x, 7).item() == 2
    with pytest.raises(NumberError):
        count(x, 300)
    chosen = nets.trace(lambda x, n, p: nets.cond(p, lambda: x.max(), lambda: n))
    assert chosen(x, 7, False).item() == 7
    assert chosen(x, 300, True).item() == 2
    with pytest.raises(NumberError):
        chosen(x, 300, False)
    swept = nets.trace(lambda x, n: nets.scan(lambda c, e: (n, e + n), x[0], x))
    assert swept(x, 3)[1].tolist() == [4, 5]
    with pytest.raises(NumberError):
        swept(x, -1)


# --------------------------------------------------------------------------------- errors


def test_errors_name_the_number_and_the_line() -> None:
    @nets.trace
    def shifted(x: Any, offset: int) -> Any:
        return x + offset

    x = np.array([1, 2], np.uint8)
    assert shifted(x, 3).tolist() == [4, 5]
    with pytest.raises(
        NumberError, match="the Python number 'offset' does not fit uint8"
    ) as caught:
        shifted(x, 300)
    assert "return x + offset" in str(caught.value)
    assert isinstance(caught.value, DTypeError)
    assert shifted(x, 4).tolist() == [5, 6]
    assert shifted.stats()["traces"] == 1
    with pytest.raises(NumberError, match="300 does not fit uint8"):
        nets.Tensor(x) + 300


def test_integers_that_no_dtype_holds() -> None:
    x = np.array([1, 2])
    for number in (2**64, -(2**63) - 1):
        with pytest.raises(NumberError, match="fits neither int64 nor uint64"):
            nets.trace(lambda x, n: x + n)(x, number)
        assert (nets.Tensor(x) < number).tolist() == [number > 0] * 2
        assert nets.clip(nets.Tensor(x), min(number, 0), max(number, 9)).tolist() == [1, 2]
    assert (nets.Tensor(x) * 1.0 + 2**70).tolist() == [2.0**70] * 2


def test_choices_refuse_what_numpy_wraps_around() -> None:
    x = np.array([1, 2], np.uint8)
    choose = nets.trace(lambda x, n: nets.where(x > 1, x, n))
    agree(np.array([7, 2], np.uint8), choose(x, 7), "where")
    for f in (choose, lambda x, n: nets.where(x > 1, x, n), lambda x, n: nets.pad(x, 1, n)):
        with pytest.raises(NumberError):
            f(nets.Tensor(x), 300)


def test_filled_tensors_are_no_python_numbers() -> None:
    f = nets.trace(lambda x, n: x + nets.full((2,), n))
    agree(np.array([301, 302]), f(np.array([1, 2], np.uint8), 300), "full")


def test_numbers_from_branches_and_loops_stay_python_numbers() -> None:
    x = np.array([1, 2], np.uint8)

    def f(x: Any, n: Any) -> Any:
        chosen = nets.cond(x[0] > 0, lambda: n, lambda: n + 1)
        counted = nets.fori_loop(0, 3, lambda i, c: c + i, n)
        halved = nets.while_loop(lambda c: c > 4, lambda c: c // 2, n)
        return x + chosen, x + counted, x + halved, x + nets.fori_loop(0, 2, lambda i, c: x[0], n)

    traced = nets.trace(f)
    for number in (3, 17):
        for result, expected in zip(traced(x, number), f(nets.Tensor(x), number), strict=True):
            agree(np.asarray(expected), result, number)
            assert result.dtype == np.uint8
    with pytest.raises(NumberError):
        traced(x, 300)
