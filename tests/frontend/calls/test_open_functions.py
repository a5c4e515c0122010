"""Functions of nets on sizes that a call tells: values, gradients and simplified programs have the
bits of those for known sizes, at 0, 1 and others alike."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import nets
from nets.compiler.compile import Compilation
from nets.passes.manager import Options, run_pipeline
from tests.property.open_sizes import assert_as_fixed, drawn, energy, gradient, outcome, specs
from tests.property.results import assert_same

F = nets.nn.functional

FEW = (0, 1, 2, 5, 33)


def _assigned(key: Any) -> Callable[[Any], Any]:
    def function(x: Any) -> Any:
        y = nets.zeros(x.shape, dtype="float32")
        y[key] = x[key] * 2
        return y

    return function


FUNCTIONS: dict[str, tuple[Callable[..., Any], list[str]]] = {
    "elementwise": (lambda x, y: nets.tanh(x) * y - 2.5, ["f:n,3", "f:3"]),
    "select": (lambda c, x, y: nets.where(c, x, y), ["b:n,3", "f:n,3", "f:3"]),
    "two dimensions": (lambda x, y: x[:, None] + y, ["f:n", "f:m"]),
    "integers": (lambda x: x // 2 + x * x.shape[0], ["i:n"]),
    "sums": (lambda x: (x.sum(0), x.sum(1), x.sum()), ["f:n,3"]),
    "means": (lambda x: (x.mean(), x.mean(0), x.var(1), nets.std(x, 0)), ["f:n,3"]),
    "prod of rows": (lambda x: nets.prod(x, 1), ["f:n,3"]),
    "largest": (lambda x: (x.max(), x.argmin(0), x.min(1)), ["f:n,3"]),
    "any": (lambda x: (nets.any(x > 0, 0), nets.all(x > 0)), ["f:n,3"]),
    "softmax": (lambda x: (nets.softmax(x, 1), nets.log_softmax(x, 0)), ["f:n,3"]),
    "logsumexp": (lambda x: (nets.logsumexp(x), nets.logsumexp(x, 1)), ["f:n,3"]),
    "norm": (lambda x: nets.norm(x, axis=0), ["f:n,3"]),
    "cumsum": (lambda x: nets.cumsum(x, 0), ["f:n,3"]),
    "matmul": (lambda x, y: (x @ y, y @ x), ["f:n,3", "f:3,n"]),
    "vectors": (lambda x, y: (x @ y, x.T @ x, x @ y[0]), ["f:n,3", "f:3,3"]),
    "inner": (lambda x, y: x.T @ y, ["f:n,3", "f:n,2"]),
    "batched": (lambda x, y: x @ y, ["f:n,2,3", "f:n,3,2"]),
    "many rows": (lambda x, y: x @ y, ["f:n,2,3", "f:3,2"]),
    "einsum": (lambda x, y: nets.einsum("bi,bj->ij", x, y), ["f:n,3", "f:n,2"]),
    "tensordot": (lambda x, y: nets.tensordot(x, y, 1), ["f:n,2,3", "f:3,2"]),
    "reshapes": (lambda x: (x.reshape(-1), x.reshape(-1, 2), x.flatten()), ["f:n,6"]),
    "reshaped by size": (lambda x: x.reshape(x.shape[0] * 2, 3), ["f:n,6"]),
    "reshaped evenly": (lambda x: x.reshape(x.shape[0], -1), ["f:n,3,2"]),
    "divided": (lambda x: x.reshape(-1, 4), ["f:n,6"]),
    "axes": (lambda x: (x.T, nets.moveaxis(x, 0, 2), nets.expand_dims(x, 1)), ["f:n,3,2"]),
    "broadcast_to": (lambda x, y: nets.broadcast_to(x, y.shape), ["f:3", "f:n,3"]),
    "filled": (lambda x: (nets.zeros(x.shape), nets.full((x.shape[0] + 1,), 3)), ["f:n,3"]),
    "less than none": (lambda x: nets.ones(x.shape[0] - 1), ["f:n"]),
    "counted": (lambda x: (nets.arange(x.shape[0]), nets.arange(2, x.shape[0], 3)), ["f:n"]),
    "counted down": (lambda x: nets.arange(x.shape[0], 0, -2), ["f:n"]),
    "diagonals": (lambda x: (nets.eye(x.shape[0]), nets.tril(x)), ["f:n,n"]),
    "one_hot": (lambda x: nets.one_hot(x, 3), ["i:n"]),
    "joined": (lambda x, y: nets.concatenate([x, y, x]), ["f:n,3", "f:m,3"]),
    "stacked": (lambda x, y: nets.stack([x, y]), ["f:n,3", "f:n,3"]),
    "split": (lambda x: nets.split(x, 2), ["f:n,3"]),
    "split at": (lambda x: nets.split(x, [2, 5]), ["f:n,3"]),
    "tiled": (lambda x: (nets.tile(x, (2, 2)), nets.repeat(x, 3, 0)), ["f:n,3"]),
    "rolled": (lambda x: (nets.roll(x, 1, 0), nets.roll(x, -2, 0)), ["f:n,3"]),
    "padded": (lambda x: nets.pad(x, ((1, 2), (0, 1))), ["f:n,3"]),
    "first and last": (lambda x: (x[0], x[-1], x[x.shape[0] - 1]), ["f:n,3"]),
    "slices": (lambda x: (x[1:], x[:3], x[:-1], x[-3:], x[2:5]), ["f:n,3"]),
    "steps": (lambda x: (x[::2], x[1::3], x[::-1], x[5:2:-1], x[::-2]), ["f:n,3"]),
    "halves": (lambda x: (x[: x.shape[0] // 2], x[x.shape[0] // 2 :]), ["f:n,3"]),
    "from three before": (lambda x: x[x.shape[0] - 3 :], ["f:n,3"]),
    "columns": (lambda x: (x[..., 0], x[:, ::-1], x[None, 1:, 1:]), ["f:n,3"]),
    "neighbours": (lambda x: x[1:] - x[:-1], ["f:n,3"]),
    "gathered": (lambda x, i: (x[i], x[i, i]), ["f:3,4", "i:n"]),
    "gathered by row": (lambda x, i: x[nets.arange(x.shape[0]), i], ["f:n,3", "i:n"]),
    "along an axis": (lambda x, i: nets.take_along_axis(x, i, 1), ["f:n,3", "i:n,2"]),
    "written column": (_assigned(np.s_[:, 1]), ["f:n,3"]),
    "written row": (_assigned(np.s_[0]), ["f:n,3"]),
    "written slice": (_assigned(np.s_[1:]), ["f:n,3"]),
    "written steps": (_assigned(np.s_[1::2]), ["f:n,3"]),
    "written backwards": (_assigned(np.s_[::-1, :2]), ["f:n,3"]),
    "sizes as numbers": (lambda x: x * x.shape[0] + 1 / (x.size + 1.0), ["f:n,3"]),
    "window": (lambda x, u: nets.dynamic_update_slice(x, u, (1, 0)), ["f:n,3", "f:2,3"]),
    "scan": (lambda x: nets.scan(lambda a, v: (a + v, a * v), nets.zeros(3, "f4"), x), ["f:n,3"]),
    "scan of n": (lambda x: nets.scan(lambda a, v: (a * v, a.sum()), x[:, 0], x.T), ["f:n,3"]),
    "map": (lambda x: nets.map(lambda v: v.sum(), x), ["f:n,3"]),
    "fori_loop": (
        lambda x: nets.fori_loop(0, x.shape[0], lambda i, a: a * 0.5 + x[i], nets.zeros(3, "f4")),
        ["f:n,3"],
    ),
    "cond": (lambda x: nets.cond(x.sum() > 0, lambda a: a * 2, lambda a: -a, x), ["f:n,3"]),
    "conv": (
        lambda x, w, b: F.conv2d(x, w, b, stride=2, padding=1),
        ["f:n,2,5,5", "f:3,2,3,3", "f:3"],
    ),
    "pools": (lambda x: (F.max_pool2d(x, 2), F.avg_pool2d(x, 2)), ["f:n,2,6,6"]),
    "cross entropy": (lambda x, y: F.cross_entropy(x, y), ["f:n,3", "i:n"]),
    "layer norm": (lambda x: F.layer_norm(x, x.shape[1:]), ["f:n,3"]),
    "attention": (lambda q: F.scaled_dot_product_attention(q, q, q), ["f:2,2,n,3"]),
    "2n + 1": (lambda x: x[1:] + x[:-1] * 2, ["f:2*n+1,3"]),
    "n and n + 1": (lambda x, y: x[:-1] - y, ["f:n+1", "f:n"]),
}

NO_GRADIENT = {"integers", "counted", "counted down", "one_hot", "diagonals"}


@pytest.mark.parametrize("name", FUNCTIONS)
@pytest.mark.sampled(4)
def test_values_are_those_of_known_sizes(name: str) -> None:
    function, forms = FUNCTIONS[name]
    sizes = FEW[:4] if forms[0].count(",") == 3 else FEW
    if name == "reshaped evenly":
        sizes = FEW[1:]  # NumPy refuses to say what -1 is beside 0
    assert_as_fixed(function, forms, sizes)


@pytest.mark.parametrize("name", [name for name in FUNCTIONS if name not in NO_GRADIENT])
@pytest.mark.sampled(5)
def test_gradients_are_those_of_known_sizes(name: str) -> None:
    function, forms = FUNCTIONS[name]
    if name != "reshaped evenly":
        assert_as_fixed(gradient(function, forms), forms, (0, 1, 5))


@pytest.mark.parametrize("name", FUNCTIONS)
@pytest.mark.sampled(11)
def test_simplified_programs_mean_the_same(name: str) -> None:
    function, forms = FUNCTIONS[name]
    if name not in NO_GRADIENT:
        function = gradient(function, forms)
    lowered = nets.trace(function).lower(*specs(forms))
    options = Options(Compilation(lowered.function).machine, 1)
    passes = ("reroll", "simplify_control", "canonicalize", "settle", "dce")
    simpler = run_pipeline(lowered.function, passes, options, {})
    for n in (0, 1, 5):
        arrays = [drawn(form, n, 4, np.random.default_rng(n)) for form in forms]
        expected = outcome(lowered, arrays)
        if not isinstance(expected, type):
            found = nets.evaluate(simpler, *arrays)
            assert_same(expected, found, f"n = {n}")


def test_energy_is_a_number() -> None:
    assert energy(lambda x: (x, x > 0))(nets.ones((2, 2))).item() == 2.0


@pytest.mark.parametrize(
    ("function", "forms", "n", "message"),
    [
        (lambda x, y: x + y, ["f:n", "f:m"], 3, "needs m to be n; in this call m is 4 and n is 3"),
        (lambda x: x + nets.ones(5), ["f:n"], 3, "needs 5 to be n; in this call n is 3"),
        (lambda x, y: x @ y, ["f:2,n", "f:m,2"], 3, "needs n to be m"),
        (lambda x, y: nets.stack([x, y]), ["f:n", "f:m"], 3, "stack needs m to be n"),
        (lambda x: x.reshape(-1, 2, 3), ["f:n,3"], 3, r"needs 3\*n to be a multiple of 6"),
        (lambda x: x.max(0), ["f:n,3"], 0, "needs n - 1 not to be negative"),
        (lambda x: nets.zeros(x.shape[0] - 2) + 1, ["f:n"], 1, "needs n - 2 not to be negative"),
        (lambda x, y: nets.map(lambda v: v[0] + v[1], (x, y)), ["f:n", "f:m"], 3, "m to be n"),
    ],
)
def test_what_cannot_be_known_is_checked_by_each_call(
    function: Any, forms: list[str], n: int, message: str
) -> None:
    lowered = nets.trace(function).lower(*specs(forms))
    arrays = [drawn(form, n, 4, np.random.default_rng(0)) for form in forms]
    with pytest.raises(nets.errors.ShapeError, match=message) as caught:
        nets.evaluate(lowered, *arrays)
    assert caught.value.location is not None
    assert caught.value.location.file == __file__


REFUSED: list[tuple[Callable[[Any], Any], str]] = [
    (lambda x: x if x.shape[0] > 3 else -x, "whether n > 3 is known only when"),
    (lambda x: x if x.shape[0] else -x, "whether n != 0"),
    (lambda x: x if x.shape == (3,) else -x, "whether n == 3"),
    (lambda x: [x[i] for i in range(x.shape[0])], "an integer is needed now, and the size n"),
    (lambda x: list(x), "an integer is needed now"),
    (lambda x: len(x), "an integer is needed now"),
    (lambda x: np.zeros(x.shape) + x, "an integer is needed now"),
    (lambda x: x * int(x.shape[0]), r"int\(\) is needed now"),
    (lambda x: x * float(x.shape[0]), r"float\(\) is needed now"),
    (lambda x: nets.squeeze(nets.expand_dims(x, 1)), "whether n != 1"),
    (lambda x: nets.linspace(0, 1, x.shape[0]), "an integer is needed now"),
    (lambda x: nets.ones(7 // x.shape[0]), "only a number may divide"),
]


@pytest.mark.parametrize(("function", "message"), REFUSED)
def test_what_needs_the_size_now_is_refused(function: Callable[[Any], Any], message: str) -> None:
    with pytest.raises(nets.errors.ControlFlowError, match=message) as caught:
        nets.trace(function).lower(*specs(["f:n"]))
    assert caught.value.location is not None
    assert caught.value.location.file == __file__


NEEDS_SIZES: list[tuple[Callable[..., Any], list[str], str]] = [
    (lambda x, w: nets.conv(x, w), ["f:2,3,n,8", "f:4,3,3,3"], "the batch is the only size"),
    (lambda x, w: nets.conv(x, w), ["f:2,n,8,8", "f:4,n,3,3"], "the batch is the only size"),
    (lambda x: nets.max_pool(x, 2), ["f:2,3,n,8"], "windows go over axes of known size"),
    (lambda x: nets.einsum("ii->i", x), ["f:n,n"], r"the diagonal of \(n, n\)"),
    (nets.grad(lambda x: nets.prod(x)), ["f:n"], "gradient of a product"),
]


@pytest.mark.parametrize(("function", "forms", "message"), NEEDS_SIZES)
def test_ops_that_need_sizes_say_so_at_their_line(
    function: Callable[..., Any], forms: list[str], message: str
) -> None:
    with pytest.raises(nets.errors.OpenSizeError, match=message) as caught:
        nets.trace(function).lower(*specs(forms, lowest=3))
    assert caught.value.location is not None
    assert caught.value.location.file == __file__


def test_a_pass_that_needs_sizes_says_so_at_the_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def needy(s: Any, outputs: Any, work: float) -> None:
        assert outputs[0][0].type.static_shape

    lowered = nets.trace(lambda x: x + 1).lower(*specs(["f:n"]))
    monkeypatch.setattr("nets.passes.lowering.block_loops.lower_map", needy)
    with pytest.raises(nets.errors.OpenSizeError, match=r"each size of \?n is needed") as caught:
        lowered.ir("loops")
    assert caught.value.location is not None
    assert "x + 1" in caught.value.location.describe()


def test_sizes_of_a_call_are_printed(capfd: pytest.CaptureFixture[str]) -> None:
    def shown(x: Any) -> Any:
        nets.debug_print("{}", x)
        return x

    run = nets.trace(shown).lower(*specs(["f:n,2"])).compile()
    for n in (0, 2):
        run(np.ones((n, 2), "f4"))
    assert capfd.readouterr().out == "[]\n[[1. 1.]\n [1. 1.]]\n"


def test_what_the_range_decides_is_python() -> None:
    @nets.trace
    def chosen(x: Any) -> Any:
        n = x.shape[0]
        assert n % 8 == 0
        assert n // 8 * 8 == n
        assert 2 * n >= 16
        assert n != 7
        assert hash(n) == hash(x.shape[0])
        return x.reshape(n // 8, 8) if 8 <= n < 5000 else x

    lowered = chosen.lower(*specs(["f:n"], lowest=1, multiple_of=8))
    assert "requirements" not in lowered.function.attributes
    assert nets.evaluate(lowered, np.ones(16, "f4")).shape == (2, 8)


def test_different_sizes_are_an_error_at_once() -> None:
    for forms, message in [
        (["f:n", "f:n+1"], r"shapes \(n,\) and \(n \+ 1,\) do not broadcast"),
        (["f:2*n", "f:5"], r"shapes \(2\*n,\) and \(5,\)"),
        (["f:n", "f:5000"], r"shapes \(n,\) and \(5000,\)"),
    ]:
        with pytest.raises(nets.errors.ShapeError, match=message):
            nets.trace(lambda x, y: x + y).lower(*specs(forms))
