"""debug_print: the lines of a traced function are those of the plain one, call after call."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import nets
from nets.errors import ArgumentError, CheckError, NetsError, UnsupportedObjectError

Lines = Callable[..., list[str]]


@pytest.fixture
def lines(capsys: pytest.CaptureFixture[str]) -> Lines:
    """What a call prints."""

    def of(f: Callable[..., Any], *args: Any) -> list[str]:
        capsys.readouterr()
        f(*args)
        return capsys.readouterr().out.splitlines()

    return of


X = np.array([1.0, 2.0, 3.0])


def straight(x: Any) -> Any:
    nets.debug_print("x = {}", x)
    y = x * 2
    nets.debug_print("{0:.1f} of {name!r:>6}, {0.shape} {{}}", y, name="text")
    nets.debug_print("nothing")
    nets.debug_print("nothing")
    return y


def loops(x: Any) -> Any:
    nets.debug_print("start {}", x.sum())

    def step(i: Any, carry: Any) -> Any:
        c, seen = carry
        nets.debug_print("step {} of {}: {:.2f} {seen}", i, 3, c, seen=seen)

        def large(c: Any) -> Any:
            nets.debug_print("  large {}", c.max())
            return c / 2

        def small(c: Any) -> Any:
            nets.debug_print("  small")
            return c * 3

        return nets.cond(c.sum() > 10, large, small, c), seen + 1

    y, _ = nets.fori_loop(0, 3, step, (x, 0))
    nets.debug_print("between")

    def more(v: Any) -> Any:
        nets.debug_print("again {}", v)
        return v < 3

    last = nets.while_loop(more, lambda v: v + 1, 0)
    _, ys = nets.scan(lambda c, v: (c, nets.debug_print("row {}", v)), None, y, reverse=True)
    assert ys is None
    nets.debug_print("end {}", last)
    return y


def unused(x: Any) -> Any:
    """Nothing but what is printed needs the loops, and what they print is always the same."""

    def step(carry: Any, _: Any) -> Any:
        nets.debug_print("{}", carry)
        nets.cond(x.sum() > 0, lambda: nets.debug_print("in a branch"), lambda: None)
        nets.fori_loop(0, 2, lambda i, c: (nets.debug_print("inside"), c)[1], 0)
        return carry * 2, None

    nets.scan(step, x, None, length=2)
    return x


FUNCTIONS = [straight, loops, unused]


@pytest.mark.parametrize("f", FUNCTIONS)
@pytest.mark.parametrize("backend", ["native", "numpy"])
def test_the_lines_of_the_plain_function_at_every_call(f: Any, backend: str, lines: Lines) -> None:
    expected = lines(f, nets.Tensor(X))
    assert len(expected) >= 4
    compiled = nets.trace(f).lower(X).compile(backend=backend)
    for _ in range(3):
        assert lines(compiled, X) == expected


@pytest.mark.parametrize("f", FUNCTIONS)
def test_traced_calls_of_every_road(f: Any, lines: Lines) -> None:
    traced = nets.trace(f)
    for x in (X, X + 1, X):
        expected = lines(f, nets.Tensor(x))
        assert lines(traced, x) == expected
        assert lines(traced, nets.Tensor(x)) == expected
        assert lines(nets.trace(lambda x: traced(x) + 1), x) == expected
        leaf = nets.Tensor(x, requires_grad=True)
        assert lines(lambda: traced(leaf).sum().backward()) == expected  # noqa: B023


@pytest.mark.parametrize("f", [straight, unused])
def test_derivatives_print_once(f: Any, lines: Lines) -> None:
    expected = lines(f, nets.Tensor(X))

    def loss(x: Any) -> Any:
        return (f(x) ** 2).sum()

    assert lines(nets.grad(loss), X) == expected
    assert lines(nets.trace(nets.value_and_grad(loss)), X) == expected
    assert lines(nets.grad(lambda x: nets.grad(loss)(x).sum()), X) == expected
    out = []
    assert lines(lambda: out.append(nets.vjp(f, X))) == expected
    assert lines(out[0][1], X) == []
    gradient = nets.grad(loss)
    leaf = nets.Tensor(X, requires_grad=True)
    assert lines(lambda: out.append(gradient(leaf))) == expected
    assert lines(lambda: out[1].sum().backward()) == []  # starts again from the arguments


def test_derivatives_through_loops_and_branches(lines: Lines) -> None:
    def body(i: Any, c: Any) -> Any:
        nets.debug_print("step {}", i)

        def branch(c: Any) -> Any:
            nets.debug_print("branch")
            return c * c

        return nets.cond(c.sum() > 2, branch, lambda c: c + 1, c)

    def loss(x: Any) -> Any:
        return nets.fori_loop(0, 3, body, x).sum()

    expected = lines(loss, nets.Tensor(X))
    assert expected == ["step 0", "branch", "step 1", "branch", "step 2", "branch"]
    assert lines(nets.grad(loss), X) == expected
    assert lines(nets.trace(nets.grad(loss)), X) == expected


@pytest.mark.parametrize("check", ["1", "nan"])
@pytest.mark.parametrize("f", FUNCTIONS)
def test_checked_calls_print_once(
    f: Any, check: str, lines: Lines, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = lines(f, nets.Tensor(X))
    monkeypatch.setenv("NETS_CHECK", check)
    assert lines(nets.trace(f), X) == expected


def test_the_search_for_a_nan_prints_no_more(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NETS_CHECK", "nan")

    @nets.trace
    def f(x: Any) -> Any:
        nets.debug_print("once")
        return nets.log(x)

    with pytest.raises(CheckError, match="log"):
        f(-X)
    assert capsys.readouterr().out == "once\n"


def test_every_dtype_looks_as_in_numpy(lines: Lines) -> None:
    for name in ("bool", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "f4", "f8"):
        for shape in ((), (2, 2), (0, 3)):
            x = np.ones(shape, name)
            traced = nets.trace(lambda x: nets.debug_print("{}|{}", x, x.T))
            expected = "\n".join([f"{x[()]}|{x.T[()]}"]).splitlines()
            assert lines(nets.debug_print, "{}|{}", x, x.T) == expected
            assert lines(traced, x) == expected


def test_large_and_strided_values(lines: Lines) -> None:
    x = np.arange(20_000.0).reshape(100, 200)
    traced = nets.trace(lambda x: nets.debug_print("{} {}", x[:, 3], x.T))
    expected = f"{x[:, 3]} {x.T}".splitlines()
    assert lines(traced, x) == expected
    assert lines(traced, x[:, ::-1][:, ::-1]) == expected


def test_what_is_known_becomes_part_of_the_text(lines: Lines) -> None:
    @nets.trace
    def f(x: Any) -> None:
        nets.debug_print("{} {:>{width}} {w} {}", x.shape, 3, None, w="{x}", width=4)
        nets.debug_print("{} {}", x.dtype, [1, 2.5])

    assert lines(f, X) == ["(3,)    3 {x} None", "float64 [1, 2.5]"]


def test_values_from_outside_are_those_of_the_call(lines: Lines) -> None:
    weight = nets.Tensor([1.0])

    @nets.trace
    def f(x: Any) -> Any:
        nets.debug_print("before {}", weight)
        weight[...] = weight + x
        nets.debug_print("after {}", weight)
        return x

    assert lines(f, 1.0) == ["before [1.]", "after [2.]"]
    assert lines(f, 2.0) == ["before [2.]", "after [4.]"]
    assert weight.tolist() == [4]


def test_in_place_updates_and_donated_arguments(lines: Lines) -> None:
    def step(x: Any) -> Any:
        new = x + 1
        nets.debug_print("new {}", new)
        nets.debug_print("old {}", x)
        return new

    traced = nets.trace(step, donate_argnums=0)
    x = nets.Tensor(np.zeros(2))
    assert lines(traced, x) == ["new [1. 1.]", "old [0. 0.]"]


@pytest.mark.parametrize(
    ("args", "named", "error", "message"),
    [
        ((X,), {}, ArgumentError, 'format of debug_print is a text such as "loss {}", not a nd'),
        (("{} {}", X), {}, ArgumentError, "there is no value for field 1"),
        (("{a}", X), {}, ArgumentError, "there is no value named 'a'"),
        (("no field", X), {}, ArgumentError, "has no field for the values 0"),
        (("{}", X), {"loss": 1}, ArgumentError, "has no field for the values loss"),
        (("{",), {}, ArgumentError, "does not fit: Single '{'"),
        (("{:d}", X), {}, ArgumentError, "does not fit: Unknown format code 'd'"),
        (("{0} {}", X), {}, ArgumentError, "not both"),
        (("{0.missing}", X), {}, ArgumentError, "no attribute 'missing'"),
        (("{:>{}}", 3, X), {}, ArgumentError, "cannot depend on an array"),
        (("\0",), {}, ArgumentError, "zero byte"),
        (("{}", {"a": X}), {}, UnsupportedObjectError, "no tensor can be made"),
    ],
)
def test_errors_come_at_the_line_before_anything_runs(
    args: Any, named: Any, error: type[NetsError], message: str
) -> None:
    def f(x: Any) -> None:
        nets.debug_print(*args, **named)

    for run in (f, nets.trace(f)):
        with pytest.raises(error, match=message) as caught:
            run(nets.Tensor(X))
        assert "test_debug_print.py" in str(caught.value)


def test_an_exception_of_the_stream_ends_the_call(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    class Broken:
        def write(self, text: str) -> int:
            raise BrokenPipeError("nobody reads")

    traced = nets.trace(loops)
    with monkeypatch.context() as patch:
        patch.setattr(sys, "stdout", Broken())
        with pytest.raises(BrokenPipeError, match="nobody reads"):
            traced(X)
    traced(X)
    assert capsys.readouterr().out.startswith("start 6.0\nstep 0 of 3")


def test_threads_that_print_at_once(capsys: pytest.CaptureFixture[str]) -> None:
    traced = nets.trace(loops, threads=3)
    traced(X)
    once = capsys.readouterr().out.splitlines()
    workers = [threading.Thread(target=lambda: [traced(X) for _ in range(5)]) for _ in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(60)
    assert sorted(capsys.readouterr().out.splitlines()) == sorted(20 * once)


def test_parallel_loops_around_prints(lines: Lines) -> None:
    def f(x: Any) -> Any:
        for i in range(4):
            x = nets.exp(-x)
            nets.debug_print("{} {:.6f}", i, x[0, 0])
        return x

    x = np.zeros((512, 512))
    assert lines(nets.trace(f, threads=4), x) == lines(f, nets.Tensor(x))


@pytest.mark.long
def test_the_object_cache_prints_as_well(tmp_path: Any) -> None:
    source = (
        "import nets, numpy as np\n"
        "f = nets.trace(lambda x: nets.debug_print('{TEXT} {}', x))\n"
        "f(np.arange(3.0))\n"
    )
    for text in ("one", "two", "one"):
        program = source.replace("{TEXT}", text)
        done = subprocess.run(
            [sys.executable, "-c", program],
            capture_output=True,
            text=True,
            check=True,
            env={"NETS_CACHE_DIR": str(tmp_path), "PYTHONPATH": ":".join(sys.path)},
        )
        assert done.stdout == f"{text} [0. 1. 2.]\n"
