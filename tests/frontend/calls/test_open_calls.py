"""Calls of one program with arrays of any size: specs, the option dims of trace, checks at the
entry, gradients of calls, training steps."""

import copy
import pickle
import queue
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import nets
from nets.errors import ArgumentError, NetsError, ParseError, ShapeError
from nets.ir.sizes import Range, symbol

pytestmark = pytest.mark.both_roads

N, M = symbol("n"), symbol("m")


def test_specs_with_names() -> None:
    spec = nets.spec("f32[2*n + 1, (n - 1)//2, n*m, 3]", n=nets.dim(1, 9), m=nets.dim())
    assert spec.shape == (2 * N + 1, (N - 1) // 2, N * M, 3)
    assert spec.dims == {"n": Range(1, 9, 1), "m": Range(0, 2**31 - 1, 1)}
    assert str(spec) == "f32[2*n + 1,((n + 1)//2) - 1,m*n,3]"
    assert nets.spec(("n", "min(n, 4)", 3), "f32", n=nets.dim(multiple_of=4)).shape[0] == N
    assert nets.spec("f32[?batch]") == nets.spec("f32[batch]", batch=nets.dim())
    assert pickle.loads(pickle.dumps(spec)) == spec != nets.spec("f32[n]", n=nets.dim())
    assert repr(nets.spec("f32[n]", n=nets.dim(0, 8, multiple_of=2))) == (
        'nets.spec("f32[n]", n=nets.dim(0, 8, multiple_of=2))'
    )


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: nets.spec("f32[batch]"), ParseError, r"batch=nets\.dim\(1, 64\)"),
        (lambda: nets.spec("f32[n]", n=nets.dim(), k=nets.dim()), ParseError, "dimension k"),
        (lambda: nets.spec("f32[3]", n=nets.dim()), ParseError, "has none"),
        (lambda: nets.spec("f32[n]", n=4), ParseError, r"said by nets\.dim"),
        (lambda: nets.spec("f32[n/2]", n=nets.dim()), ParseError, "no meaning in a size"),
        (lambda: nets.spec("f32[n//m]", n=nets.dim(), m=nets.dim()), ParseError, "positive number"),
        (lambda: nets.spec("f32[n - 5]", n=nets.dim(0, 4)), ShapeError, "n - 5 is not the size"),
        (lambda: nets.dim(5, 3), ShapeError, "no size from 5 to 3"),
        (lambda: nets.dim(-1, 3), ShapeError, "no size from -1"),
        (lambda: nets.dim(1, 7, multiple_of=8), ShapeError, "that is a multiple of 8"),
        (lambda: nets.dim(multiple_of=0), ShapeError, "no size"),
        (lambda: nets.dim(0, 2**63), ShapeError, "sizes are numbers of 64 bits"),
        (lambda: nets.dim(0, 9, multiple_of=2**64), ShapeError, "sizes are numbers of 64 bits"),
        (lambda: nets.dim(1.5), ShapeError, "1.5 is no size"),  # type: ignore[arg-type]
    ],
)
def test_wrong_dimensions(make: Callable[[], Any], error: type[NetsError], message: str) -> None:
    with pytest.raises(error, match=message) as caught:
        make()
    assert caught.value.location is not None


def test_products_that_64_bits_do_not_hold() -> None:
    """In 64 bits they would be 0."""

    def number(x: Any, y: Any, z: Any) -> Any:
        n, m, k = (a.shape[0] for a in (x, y, z))
        return nets.asarray(-n * m * k), (x[:, None, None] + y[:, None] + z).sum()

    specs = [nets.spec(f"i64[{name}]", **{name: nets.dim()}) for name in "nmk"]
    lowered = nets.trace(number).lower(*specs)
    compiled, zeros = lowered.compile(), np.zeros(2**22, np.int64)
    assert [x.item() for x in compiled(*[np.ones(3, np.int64)] * 3)] == [-27, 81]
    for call in (compiled, lambda *arrays: nets.evaluate(lowered, *arrays)):
        with pytest.raises(ShapeError, match=r"needs .* to be at (least -|most )2\*\*62") as caught:
            call(zeros, zeros, zeros[::2])
        assert caught.value.location is not None
        assert caught.value.location.file == __file__
    small = [nets.spec(f"i64[{name}]", **{name: nets.dim(0, 2**20)}) for name in "nmk"]
    assert "2**62" not in nets.trace(number).lower(*small).ir("traced")


ROWS = {"x": "batch, 3", "batch": nets.dim(1, 100)}


@pytest.mark.parametrize(
    ("dims", "error", "message"),
    [
        ({"z": "n", "n": nets.dim()}, ArgumentError, "dims='z': plus has x, y"),
        ({"x": "n"}, ParseError, "n in dims is not known"),
        ({"x": "3", "n": nets.dim()}, ParseError, "no axis has the dimension n"),
        ({"x": "n, ..., ...", "n": nets.dim()}, ParseError, "twice"),
        ({"x": {0: "n +"}, "n": nets.dim()}, ParseError, "is no size"),
        ({3: "n"}, ParseError, "dims is a dict"),
        ("x", ParseError, "dims is a dict"),
    ],
)
def test_wrong_options(dims: Any, error: type[NetsError], message: str) -> None:
    with pytest.raises(error, match=message):

        @nets.trace(dims=dims)
        def plus(x: Any, y: Any) -> Any:
            return x + y


def test_one_name_has_one_range() -> None:
    plus = nets.trace(lambda x, y: x + y)
    with pytest.raises(ShapeError, match=r"n is nets\.dim\(1, 8\) elsewhere and nets\.dim\(1, 9\)"):
        plus.lower(nets.spec("f32[n]", n=nets.dim(1, 8)), nets.spec("f32[n]", n=nets.dim(1, 9)))


def test_calls_of_all_sizes_run_one_program() -> None:
    @nets.trace(dims=ROWS)
    def tanh_of(w: Any, x: Any) -> Any:
        return nets.tanh(x @ w).sum(1), x.shape[0] * 2

    w = np.ones((3, 2), "f4")
    for n in (1, 2, 7, 100):
        x = np.full((n, 3), 0.1, "f4")
        sums, doubled = tanh_of(w, x)
        assert sums.shape == (n,)
        assert doubled.item() == 2 * n
    assert tanh_of.stats()["traces"] == 1
    tanh_of(np.ones((3, 4), "f4"), x)
    assert tanh_of.stats()["traces"] == 2
    assert "w: f32[3,2] → f32[3,4]" in tanh_of.stats()["reasons"]


@pytest.mark.parametrize(
    ("x", "message"),
    [
        (np.ones((0, 3), "f4"), "batch is 0 in this call of rows, which takes 1 to 100"),
        (np.ones((101, 3), "f4"), "batch is 101 in this call of rows, which takes 1 to 100"),
        (np.ones((2, 4), "f4"), r"argument x has shape \(2, 4\); dims says \(batch, 3\)"),
        (np.ones(3, "f4"), r"argument x has shape \(3,\)"),
    ],
)
def test_other_sizes_are_refused_at_the_entry(x: Any, message: str) -> None:
    @nets.trace(dims=ROWS)
    def rows(x: Any) -> Any:
        return x * 2

    with pytest.raises(ShapeError, match=message) as caught:
        rows(x)
    assert caught.value.location is not None
    assert caught.value.location.file == __file__


def test_a_name_is_one_size_in_all_arguments() -> None:
    batch = nets.dim(1, 64, multiple_of=4)
    rows = nets.spec("f32[batch, 3]", batch=batch)
    lowered = nets.trace(lambda x, y: x + y).lower(rows, rows)
    compiled = lowered.compile()
    assert compiled(np.ones((8, 3), "f4"), np.ones((8, 3), "f4")).shape == (8, 3)
    with pytest.raises(ShapeError, match="batch is 8 in x and 4 in y"):
        compiled(np.ones((8, 3), "f4"), np.ones((4, 3), "f4"))
    with pytest.raises(ShapeError, match=r"batch is 6 .* takes multiples of 4"):
        compiled(np.ones((6, 3), "f4"), np.ones((6, 3), "f4"))
    with pytest.raises(ArgumentError, match=r"x is float32\[4,2\].* f32\[batch,3\]"):
        compiled(np.ones((4, 2), "f4"), np.ones((4, 2), "f4"))


def test_sizes_are_solved_for_their_dimensions() -> None:
    spec = nets.spec("f32[2*n + 1, m*n]", n=nets.dim(), m=nets.dim())
    compiled = nets.trace(lambda x: x.sum() + x.shape[0] // 2).lower(spec).compile()
    assert compiled(np.ones((7, 6), "f4")).item() == 45
    with pytest.raises(ShapeError, match=r"axis of size 4 where lambda takes 2\*n \+ 1"):
        compiled(np.ones((4, 6), "f4"))
    with pytest.raises(ShapeError, match=r"axis of size 5 where lambda takes m\*n"):
        compiled(np.ones((7, 5), "f4"))


def test_lowered_functions_travel() -> None:
    spec = nets.spec("f32[n, 2]", n=nets.dim(0, 9))
    lowered = nets.trace(lambda x: x.reshape(-1, 4)).lower(spec)
    again = pickle.loads(pickle.dumps(lowered))
    assert str(again) == str(lowered)
    for program in (lowered, again, str(lowered)):
        with pytest.raises(ShapeError, match=r"needs 2\*n to be a multiple of 4; .* n is 3"):
            nets.evaluate(program, np.ones((3, 2), "f4"))
    assert again.compile()(np.ones((4, 2), "f4")).shape == (2, 4)


def test_calls_take_part_in_eager_gradients() -> None:
    @nets.trace(dims={"x": {0: "n"}, "n": nets.dim()})
    def product(w: Any, x: Any) -> Any:
        return x @ w, x.sum()

    w = nets.Tensor(np.ones((3, 2)), requires_grad=True)
    for n in (0, 1, 5):
        x = nets.Tensor(np.full((n, 3), 2.0), requires_grad=True)
        w.zero_grad()
        rows, _ = product(w, x)
        rows.sum().backward()
        assert w.grad is not None
        assert x.grad is not None
        assert w.grad.tolist() == [[2.0 * n] * 2] * 3
        assert x.grad.tolist() == [[2.0] * 3] * n
    assert product.stats()["traces"] == 1


def test_transforms_of_functions_with_dims() -> None:
    double = nets.trace(dims={"x": "n", "n": nets.dim()})(lambda x: x * 2)
    _, pull_back = nets.vjp(double, np.ones(3))
    assert [ct.tolist() for ct in pull_back(np.ones(3))] == [[2.0] * 3]
    total = nets.trace(dims={"x": "n", "n": nets.dim()})(lambda x: (x * x).sum())
    gradient = nets.grad(total)
    assert [gradient(np.ones(n)).shape for n in (0, 1, 4)] == [(0,), (1,), (4,)]
    assert gradient.stats()["traces"] == 1


def test_methods_containers_and_static_arguments() -> None:
    class Model:
        def __init__(self) -> None:
            self.w = nets.Tensor(np.full(3, 2.0))

        @nets.trace(dims={"batch": "n, ...", "n": nets.dim()}, static_argnames="scale")
        def loss(self, batch: Any, scale: float = 1.0) -> Any:
            return ((batch["x"] * self.w).sum(1) * batch["y"]).sum() * scale

    model = Model()
    for n in (1, 4):
        assert model.loss({"x": np.ones((n, 3)), "y": np.ones(n)}, scale=2.0).item() == 12.0 * n
    assert model.loss.stats()["traces"] == 1
    with pytest.raises(ShapeError, match=r"n is 2 in batch_x and 3 in batch_y"):
        model.loss({"x": np.ones((2, 3)), "y": np.ones(3)}, scale=2.0)


@pytest.mark.parametrize("kind", ["SGD", "AdamW"])
@pytest.mark.sampled(2)
def test_training_steps_of_all_sizes_are_one_program(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NETS_BACKEND", "numpy")
    dims = {"x": "batch, ...", "y": {0: "batch"}, "batch": nets.dim(0, 4096)}
    fixed, sized = _trained(kind, {}), _trained(kind, {"dims": dims})
    assert (fixed.pop("traces"), sized.pop("traces")) == (4, 1)
    assert fixed == sized


def _trained(kind: str, options: dict[str, Any]) -> dict[str, Any]:
    """A model after batches of several sizes: losses, parameters, how often it was traced."""
    nets.manual_seed(3)
    model = nets.nn.Sequential(
        nets.nn.Linear(5, 8), nets.nn.ReLU(), nets.nn.Dropout(0.3), nets.nn.Linear(8, 3)
    )
    optimizer = getattr(nets.optim, kind)(model.parameters(), lr=0.01)
    loss_of = nets.nn.CrossEntropyLoss()

    @nets.trace(**options)
    def step(x: Any, y: Any) -> Any:
        optimizer.zero_grad()
        loss = loss_of(model(x), y)
        loss.backward()
        optimizer.step()
        return loss

    losses = []
    for n in (4, 7, 1, 33):
        rng = np.random.default_rng(n)
        x, y = rng.standard_normal((n, 5)).astype("f4"), rng.integers(0, 3, n)
        losses.append(step(x, y).item())
    parameters = [p.tolist() for p in model.parameters()]
    return {"losses": losses, "parameters": parameters, "traces": step.stats()["traces"]}


def test_state_that_a_function_keeps() -> None:
    total, kept = nets.Tensor(np.zeros(3)), []

    @nets.trace(dims={"x": "n, 3", "n": nets.dim()})
    def added(x: Any) -> Any:
        nonlocal total
        total += x.sum(0)
        kept.append(x.shape[0])
        return total * 1

    for n in (0, 1, 4):
        added(x=np.ones((n, 3)))
    assert total.tolist() == [5.0] * 3
    assert kept == [0, 1, 4]
    assert [*map(type, kept)] == [int] * 3


@pytest.mark.parametrize("n", [1, 2, 5])
def test_views_are_written_through(n: int) -> None:
    def written(x: Any) -> Any:
        y = x * 1
        y[1:][:, 0] = 7
        y.T[1] = 5
        y.reshape(-1)[0] = -1
        y[::-1][0, 2] = 3
        return y

    x = np.zeros((n, 3))
    of_call = nets.trace(dims={"x": "n, 3", "n": nets.dim(1)})(written)
    assert of_call(x).tolist() == written(x).tolist()


def test_a_dimension_outside_of_its_trace() -> None:
    seen: queue.SimpleQueue[Any] = queue.SimpleQueue()

    def leak(x: Any) -> Any:
        seen.put(x.shape[0])
        return x

    nets.trace(leak).lower(nets.spec("f32[n]", n=nets.dim()))
    size = seen.get()
    assert str(size) == f"{size}" == "n"
    assert copy.copy(size) is copy.deepcopy(size) is size
    for use in (
        lambda: size == 3,
        lambda: int(size),
        lambda: nets.zeros(3) * size,
        lambda: -size > 0,
    ):
        with pytest.raises(nets.errors.LeakedTracerError, match="after its trace had ended"):
            use()
