"""grad, value_and_grad and vjp: of plain and traced functions, nested, inside traces."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import nets
from nets.errors import ArgumentError, DTypeError, GradientError, ShapeError, TraceError
from nets.frontend.calls.trace import trace
from nets.frontend.derived.pullback import vjp
from nets.frontend.derived.transforms import grad, value_and_grad


def plain(function: Callable[..., Any]) -> Callable[..., Any]:
    return function


BOTH = pytest.mark.parametrize("wrap", [plain, trace])


def f32(*shape: int) -> np.ndarray:
    return np.linspace(-1, 1, int(np.prod(shape)), dtype=np.float32).reshape(shape)


def loss(w: Any, x: Any, y: Any) -> Any:
    return ((nets.tanh(x @ w) - y) ** 2).mean()


W, X, Y = f32(3, 2), f32(4, 3), f32(4, 2)


def eager_gradients(function: Callable[..., Any], *arrays: Any) -> list[np.ndarray]:
    tensors = [nets.Tensor(a, requires_grad=True) for a in arrays]
    function(*tensors).backward()
    return [t.grad.numpy() for t in tensors]


# ------------------------------------------------------------------------ first order


@BOTH
def test_gradients_are_those_of_backward(wrap: Any) -> None:
    expected = eager_gradients(loss, W, X, Y)
    found = grad(wrap(loss), argnums=(0, 1, 2))(W, X, Y)
    assert isinstance(found, tuple)
    for a, b in zip(found, expected, strict=True):
        assert a.dtype == np.float32
        np.testing.assert_allclose(a.numpy(), b, rtol=1e-6)


@BOTH
def test_value_and_grad(wrap: Any) -> None:
    value, gradient = value_and_grad(wrap(loss))(W, X, Y)
    assert value.item() == loss(*map(nets.Tensor, (W, X, Y))).item()
    np.testing.assert_allclose(gradient.numpy(), eager_gradients(loss, W, X, Y)[0], rtol=1e-6)


@BOTH
def test_argnums(wrap: Any) -> None:
    f = wrap(lambda x, y, z: x * y * y * z)
    assert grad(f)(2.0, 3.0, 5.0).item() == 45
    assert grad(f, 1)(2.0, 3.0, 5.0).item() == 60
    assert grad(f, argnums=-1)(2.0, 3.0, 5.0).item() == 18
    assert [g.item() for g in grad(f, (2, 0))(2.0, 3.0, 5.0)] == [18, 45]
    assert grad(f, (0,))(2.0, 3.0, 5.0)[0].item() == 45
    assert grad(f, 2)(z=5.0, x=2.0, y=3.0).item() == 18


@BOTH
def test_nests_of_parameters(wrap: Any) -> None:
    @dataclasses.dataclass
    class Layer:
        w: Any
        b: Any

    def f(params: Any, x: Any) -> Any:
        for layer in params["layers"]:
            x = nets.tanh(x @ layer.w + layer.b)
        return (x * params["scale"]).sum()

    params = {"scale": 2.0, "layers": [Layer(f32(3, 3), f32(3)), Layer(f32(3, 2), f32(2))]}
    value, gradient = value_and_grad(wrap(f))(params, X)
    assert list(gradient) == ["scale", "layers"]
    assert gradient["layers"][1].w.shape == (3, 2)
    assert gradient["layers"][0].b.dtype == np.float32
    assert gradient["scale"].item() == pytest.approx(value.item() / 2, rel=1e-6)


@BOTH
def test_has_aux(wrap: Any) -> None:
    f = wrap(lambda x, y: (x * y, {"sum": x + y, "n": 3}))
    gradient, aux = grad(f, has_aux=True)(2.0, 3.0)
    assert (gradient.item(), aux["sum"].item(), aux["n"].item()) == (3, 5, 3)
    (value, aux), gradients = value_and_grad(f, (0, 1), has_aux=True)(2.0, 3.0)
    assert (value.item(), aux["sum"].item()) == (6, 5)
    assert [g.item() for g in gradients] == [3, 2]


def test_zero_gradients() -> None:
    gradient = grad(lambda p: p["used"] * 2)({"used": 1.0, "unused": f32(3)})
    assert gradient["unused"].tolist() == [0, 0, 0]
    assert grad(lambda x: 3.0)(1.0).item() == 0
    assert grad(lambda x: x)(1.0).item() == 1
    assert grad(lambda x, y: y, argnums=(0, 1))(1.0, 2.0)[1].item() == 1


def test_other_arguments_may_be_anything_a_trace_takes() -> None:
    f = trace(static_argnames="mode")(lambda w, n, mode: w * n if mode == "times" else w)
    assert grad(f)(2.0, 3, "times").item() == 3
    assert grad(f)(2.0, 3, mode="times").item() == 3
    assert grad(lambda w, idx: w[idx].sum())(f32(4), np.array([1, 1, 3])).tolist() == [0, 2, 0, 1]


def test_a_plain_function_runs_at_each_call_of_its_transforms() -> None:
    count = 0

    def f(x: Any) -> Any:
        nonlocal count
        count += 1
        return x * x

    for _ in range(3):
        assert grad(f)(3.0).item() == 6
        assert value_and_grad(f)(3.0)[1].item() == 6
        assert vjp(f, 3.0)[1](1.0)[0].item() == 6
    assert count == 9
    assert grad(f).stats()["compilations"] == 1
    assert grad(f) is grad(f)
    assert grad(f) is not grad(f, (0,))


def test_a_copied_dictionary_does_not_mix_functions_up() -> None:
    def f(x: Any) -> Any:
        return x * x

    grad(f)(1.0)

    @functools.wraps(f)
    def g(x: Any) -> Any:
        return f(x) * 10

    assert grad(g)(1.0).item() == 20
    assert grad(f)(1.0).item() == 2


def test_metadata() -> None:
    def named(x: Any) -> Any:
        """Doc."""
        return x

    assert grad(named).__name__ == "named_grad"
    assert value_and_grad(named).name == "named_value_and_grad"
    assert grad(named).__doc__ == "Doc."


def test_methods() -> None:
    class Model:
        def __init__(self) -> None:
            self.k = nets.Tensor(3.0)

        @trace(static_argnames="n")
        def f(self, x: Any, n: int = 2) -> Any:
            return self.k * x * n

        def g(self, x: Any) -> Any:
            return self.k * x

    assert grad(Model().f)(1.0).item() == 6
    assert grad(Model().f)(1.0, n=3).item() == 9
    assert grad(Model().g)(1.0).item() == 3


# ----------------------------------------------------------------------- higher order


@BOTH
def test_grad_of_grad(wrap: Any) -> None:
    f = wrap(lambda x: x**4)
    assert grad(f)(2.0).item() == 32
    assert grad(grad(f))(2.0).item() == 48
    assert grad(wrap(grad(wrap(grad(f)))))(2.0).item() == 48
    value, second = value_and_grad(grad(f))(2.0)
    assert (value.item(), second.item()) == (32, 48)


def test_a_function_that_calls_grad() -> None:
    def penalty(w: Any, x: Any) -> Any:
        g = grad(lambda v: nets.tanh(v @ w).sum())(x)
        return (g * g).sum()

    def numeric(w: np.ndarray) -> np.ndarray:
        out, step = np.zeros_like(w), 1e-6
        for i in np.ndindex(*w.shape):
            up, down = w.copy(), w.copy()
            up[i] += step
            down[i] -= step
            out[i] = (trace(penalty)(up, x).item() - trace(penalty)(down, x).item()) / (2 * step)
        return out

    w, x = W.astype(np.float64), f32(3).astype(np.float64)
    np.testing.assert_allclose(grad(penalty)(w, x).numpy(), numeric(w), rtol=1e-5, atol=1e-7)
    np.testing.assert_allclose(
        grad(trace(penalty))(w, x).numpy(), grad(penalty)(w, x).numpy(), rtol=1e-12
    )


def test_no_perturbation_confusion() -> None:
    assert grad(lambda x: x * grad(lambda y: x + y)(1.0))(2.0).item() == 1
    assert grad(lambda x: x * grad(lambda y: x * y)(x))(3.0).item() == 6
    assert grad(lambda x: grad(lambda y: x * y)(x))(3.0).item() == 1


def test_a_step_in_a_trace() -> None:
    @trace
    def step(w: Any, x: Any, y: Any) -> Any:
        value, gradient = value_and_grad(loss)(w, x, y)
        return value, w - 0.1 * gradient

    value, new = step(W, X, Y)
    expected, gradient = value_and_grad(loss)(W, X, Y)
    assert value.item() == expected.item()
    np.testing.assert_array_equal(new.numpy(), W - np.float32(0.1) * gradient.numpy())


def test_python_values_stay_python_values_inside_a_trace() -> None:
    def f(x: Any, n: int) -> Any:
        for _ in range(n):
            x = x * x
        return x

    assert trace(lambda x: grad(f)(x, 2))(2.0).item() == 32


def test_weak_arguments_inside_a_trace() -> None:
    result = trace(lambda x: grad(lambda s: (s * x).sum())(2.0))(f32(3))
    assert result.dtype == np.float64
    assert trace(lambda x: x * grad(lambda s: s * s)(x))(np.float32(2)).dtype == np.float32


def test_captured_tensors() -> None:
    k = nets.Tensor(3.0)
    f = grad(lambda x: k * x * x)
    assert f(1.0).item() == 6
    k.data = 4.0
    assert f(1.0).item() == 8
    assert trace(lambda x: f(x) * k)(1.0).item() == 32


def test_eager_gradients_of_a_gradient() -> None:
    x = nets.Tensor(2.0, requires_grad=True)
    k = nets.Tensor(5.0, requires_grad=True)
    value, gradient = value_and_grad(lambda x: k * x**3)(x)
    assert gradient.item() == 60
    (gradient + value).backward()
    assert x.grad.item() == pytest.approx(60 + 60)
    assert k.grad.item() == pytest.approx(12 + 8)


# --------------------------------------------------------------------------------- vjp


@BOTH
def test_vjp(wrap: Any) -> None:
    f = wrap(lambda w, x: {"a": nets.tanh(x @ w), "b": w.sum(0)})
    result, pull = vjp(f, W, X)
    ct = {"b": f32(2), "a": f32(4, 2)}
    for _ in range(2):
        dw, dx = pull(ct)
    for tensors, got in (((0,), dw), ((1,), dx)):
        expected = eager_gradients(
            lambda w, x: (nets.tanh(x @ w) * ct["a"]).sum() + (w.sum(0) * ct["b"]).sum(), W, X
        )[tensors[0]]
        np.testing.assert_allclose(got.numpy(), expected, rtol=1e-5)
    assert result["b"].shape == (2,)


def _carried_and_stacked(x: Any) -> Any:
    def step(c: Any, row: Any) -> Any:
        c = c * row
        return c, (c, c)

    last, (one, other) = nets.scan(step, x[0], x)
    return last, one[1], other[1]


REPEATED: dict[str, tuple[Callable[[Any], Any], Callable[[Any], Any]]] = {
    "made": (lambda x: (lambda y: (y, y, y))(nets.sin(x)), lambda x: [np.cos(x)] * 3),
    "argument": (lambda x: (x, x * x, x), lambda x: [np.ones(2), 2 * x, np.ones(2)]),
    "branch": (
        lambda x: nets.cond(
            x[0] < 9, lambda x: (lambda y: (y, y, y))(x * x), lambda x: (x,) * 3, x
        ),
        lambda x: [2 * x] * 3,
    ),
    "scan": (
        lambda x: _carried_and_stacked(nets.stack([x, x * 2])),
        lambda x: [6 * x * x] * 3,
    ),
}
"""Functions with three results of which some are one value, and the slope of each."""


@BOTH
@pytest.mark.parametrize("name", REPEATED)
def test_a_value_that_is_several_results_gets_the_cotangent_of_each(wrap: Any, name: str) -> None:
    function, slopes = REPEATED[name]
    x, cts = np.array([0.5, 2.0]), [np.array([1.0, 3.0]), np.array([10.0, -5.0]), np.ones(2) * 0.25]
    expected = sum(slope * ct for slope, ct in zip(slopes(x), cts, strict=True))
    _, pull = vjp(wrap(function), x)
    np.testing.assert_allclose(pull(tuple(cts))[0].numpy(), expected, rtol=1e-12)
    recorded = nets.Tensor(x, requires_grad=True)
    results = wrap(function)(recorded)
    sum((y * ct).sum() for y, ct in zip(results, cts, strict=True)).backward()
    assert recorded.grad is not None
    np.testing.assert_allclose(recorded.grad.numpy(), expected, rtol=1e-12)


def test_vjp_keeps_what_it_saw() -> None:
    x = np.array([1.0, 2.0])
    _, pull = vjp(lambda x: x * x, x)
    x[:] = 100
    assert pull(np.ones(2))[0].tolist() == [2, 4]


def test_vjp_of_what_is_not_floating_point() -> None:
    result, pull = vjp(lambda w, i, n: (w[i] * n, i + 1), f32(4), np.array([1, 3]), 2)
    gradients = pull((np.ones(2), np.zeros(2, np.int64)))
    assert gradients[0].tolist() == [0, 2, 0, 2]
    assert gradients[1:] == (None, None)
    assert result[1].tolist() == [2, 4]


def test_vjp_with_aux_and_static_arguments() -> None:
    f = trace(static_argnums=1)(lambda x, n: (x * n, {"n": x + n}))
    result, pull, aux = vjp(f, 2.0, 3, has_aux=True)
    assert (result.item(), aux["n"].item()) == (6, 5)
    gradient, none = pull(1.0)
    assert gradient.item() == 3
    assert none is None


def test_vjp_inside_a_trace() -> None:
    def f(w: Any, x: Any) -> Any:
        k = x * 2
        result, pull = vjp(lambda w, n: (nets.tanh(k @ w), n), w, 3)
        return pull((result[0], result[1]))[0]

    expected = vjp(lambda w: nets.tanh(X @ w * 2), W)
    expected_ct = expected[1](expected[0])[0]
    np.testing.assert_allclose(trace(f)(W, X).numpy(), expected_ct.numpy(), rtol=1e-5)
    assert grad(lambda x: vjp(lambda y: x * y**3, x)[1](1.0)[0])(2.0).item() == 36
    _, pull = vjp(lambda x: x**3, 2.0)
    assert trace(lambda c: pull(c))(2.0)[0].item() == 24


def test_a_pull_back_after_its_trace() -> None:
    kept = []

    @trace
    def f(x: Any) -> Any:
        result, pull = vjp(lambda x: x * 3.0, x)
        kept.append(pull)
        return result

    f(1.0)
    with pytest.raises(TraceError, match="after the trace had ended"):
        kept[0](1.0)


# ------------------------------------------------------------------------------ errors


def test_what_grad_refuses() -> None:
    with pytest.raises(GradientError, match=r"returned f32\[3\].*nets\.vjp"):
        grad(lambda x: x)(f32(3))
    with pytest.raises(GradientError, match="one scalar, not a tuple"):
        grad(lambda x: (x, x))(1.0)
    with pytest.raises(GradientError, match="not a NoneType"):
        grad(lambda x: None)(1.0)
    with pytest.raises(GradientError, match="not a list"):
        grad(lambda x: [x])(1.0)
    with pytest.raises(DTypeError, match=r"returns a floating-point scalar, not i64\[\]"):
        grad(lambda x: nets.argmax(x))(f32(3))
    with pytest.raises(DTypeError, match=r"p_n is i64\[\]"):
        grad(lambda p: p["x"])({"x": 1.0, "n": 3})
    with pytest.raises(DTypeError, match=r"x is bool\[2\]"):
        grad(lambda x: x.sum())(np.array([True, False]))
    with pytest.raises(ArgumentError, match="pair"):
        grad(lambda x: x, has_aux=True)(1.0)
    with pytest.raises(ArgumentError, match="argument 2, but was called with 1"):
        grad(lambda *x: x[0], argnums=2)(1.0)
    with pytest.raises(ArgumentError, match="static"):
        grad(trace(static_argnums=0)(lambda n, x: x))(3, 1.0)
    with pytest.raises(ArgumentError, match="missing a required argument: 'y'"):
        grad(lambda x, y: x)(1.0)
    for argnums in ("x", (), 1.5, (0, "y"), True):
        with pytest.raises(ArgumentError, match="argnums"):
            grad(lambda x: x, argnums)  # type: ignore[arg-type]


def test_refusals_inside_a_trace() -> None:
    with pytest.raises(GradientError, match=r"returned f64\[3\]"):
        trace(lambda x: grad(lambda y: y * 2)(x))(np.ones(3))
    with pytest.raises(DTypeError, match=r"y is i64\[\]"):
        trace(lambda x: grad(lambda y: y * 2.0)(x))(2)
    assert trace(lambda x: x)(1.0).item() == 1


def test_integers_that_require_gradients() -> None:
    n = nets.Tensor(3, requires_grad=True)
    with pytest.raises(GradientError, match="integer tensors"):
        grad(lambda x, n: x * n)(1.0, n)


def test_what_a_pull_back_refuses() -> None:
    _, pull = vjp(lambda x: {"y": x * 2}, f32(3))
    with pytest.raises(ArgumentError, match="nest like the result"):
        pull(f32(3))
    with pytest.raises(ShapeError, match=r"ct\['y'\] is f32\[2\]; the result is f32\[3\]"):
        pull({"y": f32(2)})
    with pytest.raises(ArgumentError, match="pair"):
        vjp(lambda x: x, 1.0, has_aux=True)


def with_state() -> tuple[Any, Any]:
    """A function that counts, and updates running statistics, and what it has counted."""
    layer, count = nets.nn.BatchNorm1d(2), nets.Tensor(0)

    def f(x: Any) -> Any:
        count.data = count + 1
        return layer(x) * count

    return f, lambda: (layer.running_mean.numpy(), layer.running_var.numpy(), count.item())


@pytest.mark.parametrize("wrap", [lambda f: f, trace], ids=["outside", "inside"])
def test_vjp_of_a_function_that_updates_what_it_captured(wrap: Any) -> None:
    plain, expected_state = with_state()
    f, state = with_state()

    def both(x: Any, ct: Any) -> Any:
        result, pull = vjp(f, x)
        return result, pull(ct)[0], pull(2 * ct)[0]

    run = wrap(both)
    for _ in range(3):
        x = nets.Tensor(f32(5, 2), requires_grad=True)
        ct = f32(5, 2)
        expected = plain(x)
        expected.backward(ct)
        result, slope, twice = run(x.numpy(), ct)
        np.testing.assert_allclose(result.numpy(), expected.numpy(), rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(slope.numpy(), x.grad.numpy(), rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(twice.numpy(), 2 * x.grad.numpy(), rtol=1e-4, atol=1e-5)
        for one, other in zip(state(), expected_state(), strict=True):
            np.testing.assert_allclose(one, other, rtol=1e-5)
