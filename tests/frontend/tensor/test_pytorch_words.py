"""PyTorch's methods of tensors, and its functions that NumPy has not: PyTorch's values."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import nets
from nets.errors import (
    ArgumentError,
    ControlFlowError,
    DTypeError,
    IndexOutOfBoundsError,
    MissingNameError,
    NetsError,
    ShapeError,
    UnsupportedObjectError,
)

torch = pytest.importorskip("torch")

RNG = np.random.default_rng(3)
X = RNG.uniform(-2, 2, (3, 4))
Y = RNG.uniform(0.5, 2, (3, 4))
C = RNG.uniform(-2, 2, (2, 3, 4))
I = RNG.integers(0, 3, (2, 4))  # noqa: E741
M = X > 0

Case = Callable[[Any, Any], Any]
"""A program that means the same for tensors of both: (tensors by name, torch or nets)."""

CASES: dict[str, Case] = {
    "view": lambda t, _: t.x.view(2, -1).view_as(t.x) + t.y.view((12,)).reshape_as(t.x),
    "permute": lambda t, _: (t.c.permute(2, 0, 1), t.c.permute((0, 2, 1)), t.x.t()),
    "unsqueeze": lambda t, _: (t.x.unsqueeze(-1), t.x.unsqueeze(0).squeeze(dim=0)),
    "squeeze": lambda t, _: t.x.unsqueeze(1).squeeze(dim=(0, 1)),
    "expand": lambda t, _: t.x.unsqueeze(1).expand(-1, 2, 4).sum(0) + t.y[0].expand_as(t.x)[:2],
    "repeat": lambda t, _: (t.x.repeat((2, 1)), t.x.repeat(2, 1, 2), t.x[0].repeat((3,))),
    "repeat_interleave": lambda t, _: t.x.repeat_interleave(2, 1),
    "chunk": lambda t, _: (*t.x.chunk(3, 1), *t.x.split(2), *t.x.split([1, 3], dim=1)),
    "tensor_split": lambda t, m: (*t.x.tensor_split(3, 1), *m.tensor_split(t.x, (1, 2), 1)),
    "unbind": lambda t, _: (*t.x.unbind(), *t.x.unbind(1)),
    "narrow": lambda t, _: t.x.narrow(1, 1, 2) * t.y.select(1, -1).unsqueeze(1),
    "unfold": lambda t, _: (t.x.unfold(1, 3, 1), t.x.unfold(0, 2, 2)),
    "flatten": lambda t, _: (t.c.flatten(1), t.c.flatten(0, 1), t.c.unflatten(2, (2, -1))),
    "transpose": lambda t, _: (t.c.transpose(0, 2), t.x.transpose(0, 1), t.x.swapdims(-1, -2)),
    "movedim": lambda t, m: (t.c.movedim(0, -1), m.movedim(t.c, (0, 1), (1, 2))),
    "flip": lambda t, _: (t.x.flip(0), t.x.flip((0, 1)), t.x.roll(1, 0), t.x.roll(2)),
    "tril": lambda t, _: t.x.tril() + t.y.triu(1),
    "diag_embed": lambda t, _: (t.x.diag_embed(), t.x.diag_embed(-1, 0, 2)),
    "cat": lambda t, m: (m.cat((t.x, t.y), dim=1), m.stack([t.x, t.y], dim=1)),
    "gather": lambda t, m: (t.x.gather(0, t.i), m.gather(t.x, -2, t.i[:, :2])),
    "index_select": lambda t, _: t.x.index_select(1, t.i[0]),
    "take_along_dim": lambda t, m: m.take_along_dim(t.x, t.i, dim=0),
    "masked_fill": lambda t, _: (t.x.masked_fill(t.m, 3.0), t.x.masked_fill(t.m[:1], t.y[0, 0])),
    "index_fill": lambda t, _: (
        t.x.index_fill(0, t.i[0, :1], 2.0),
        t.x.index_copy(0, t.i[0, :1], t.y[:1]),
    ),
    "scatters": lambda t, m: (
        t.x.select_scatter(t.y[0], 0, 1),
        t.x.slice_scatter(t.y[:, ::2], 1, 0, 4, 2),
        m.diagonal_scatter(t.x, t.y[0, :3], 1),
        t.x.index_put((t.i[0],), t.y[0], accumulate=True),
        t.x.put(t.i, t.y[:2], accumulate=True),
    ),
    "sums": lambda t, _: (t.x.sum(dim=0, keepdim=True), t.x.mean(dim=(0, 1)), t.x.sum((0, 1))),
    "amax": lambda t, _: (t.x.amax(1), t.x.amin((0, 1)), *t.x.aminmax(dim=0), t.x.amax()),
    "max": lambda t, _: (*t.x.max(dim=1), *t.x.min(dim=0, keepdim=True), t.x.max(t.y), t.x.max()),
    "var": lambda t, m: (t.x.var(dim=1), t.x.std(unbiased=False), *m.var_mean(t.x, dim=0)),
    "norm": lambda t, _: (
        t.x.norm(),
        t.x.norm(p=1, dim=1),
        t.x.norm(3.0, 0),
        t.x.norm(float("inf")),
    ),
    "dist": lambda t, _: t.x.dist(t.y) + t.x.norm(dim=1, keepdim=True),
    "logsumexp": lambda t, _: (t.x.logsumexp(1), t.x.logcumsumexp(1), t.x.softmax(dim=0)),
    "log_softmax": lambda t, _: t.x.log_softmax(-1) + t.x.softmax(1),
    "add": lambda t, _: t.x.add(t.y, alpha=2) - t.x.sub(t.y) * t.x.mul(3).div(t.y),
    "rounding": lambda t, _: (
        t.x.div(t.y, rounding_mode="trunc") + t.x.div(t.y, rounding_mode="floor")
    ),
    "addcmul": lambda t, m: t.x.addcmul(t.y, t.y, value=0.5) + m.addcdiv(t.x, t.x, t.y, value=2),
    "lerp": lambda t, m: (t.x.lerp(t.y, 0.2), m.lerp(t.x, t.y, t.y)),
    "clamp": lambda t, _: (
        t.x.clamp(-1, 1) + t.x.clamp(min=0.1) * t.x.clamp_max(0.2) + t.x.clamp_min(0)
    ),
    "frac": lambda t, _: t.x.frac() + t.x.neg() + t.x.square() + t.y.rsqrt() + t.y.reciprocal(),
    "round": lambda t, _: t.x.round(decimals=1) + t.x.floor() + t.x.ceil() + t.x.trunc(),
    "comparisons": lambda t, _: (
        t.x.eq(t.y),
        t.x.ne(t.y),
        t.x.lt(t.y),
        t.x.le(0),
        t.x.gt(0),
        t.x.ge(t.y),
    ),
    "products": lambda t, m: (
        t.x.mm(t.y.t()),
        t.c.bmm(t.c.transpose(1, 2)),
        t.x.mv(t.y[0]),
        t.x.matmul(t.y.t()),
        m.addmm(t.x[:, :3], t.x, t.y.t(), beta=0.5, alpha=2),
        t.c[:, :, :3].baddbmm(t.c, t.c.transpose(1, 2)),
        m.addbmm(t.x[:, :3], t.c, t.c.transpose(1, 2)),
        t.x[0, :3].addmv(t.x, t.y[0]),
        t.x.addr(t.x[:, 0], t.y[0]),
    ),
    "where": lambda t, m: t.x.where(t.m, t.y) + m.where(t.m, t.x, t.y),
    "to": lambda t, _: t.x.float().double() + t.x.long().to(t.x) + t.m.int() + t.m.double(),
    "new": lambda t, _: (t.x.new_zeros(2, 3), t.x.new_ones((2,)), t.x.new_full((2, 1), 7)),
    "clone": lambda t, _: t.x.clone() + t.x.contiguous() + t.x.cpu(),
    "order": lambda t, _: (
        *t.x.sort(dim=0),
        *t.x.sort(descending=True),
        t.x.argsort(1),
        *t.x.median(dim=1, keepdim=True),
        t.x.median(),
        *t.x.kthvalue(2, 0),
        *t.x.topk(2),
    ),
    "diagonals": lambda t, _: (t.x.diagonal(1), t.x.diag(), t.x[0].diag(-1), t.x.trace()),
    "sin": lambda t, _: t.x.sin() + t.x.cos().exp() + t.y.log1p() + t.x.erf() + t.x.expm1(),
}


class Tensors:
    """The operands, as attributes."""

    def __init__(self, make: Callable[[np.ndarray[Any, Any]], Any]) -> None:
        self.x, self.y, self.c, self.i, self.m = (make(a.copy()) for a in (X, Y, C, I, M))


def flat(result: Any) -> list[Any]:
    if isinstance(result, (tuple, list)):
        return [x for part in result for x in flat(part)]
    return [result]


def by_nets(case: Case) -> list[np.ndarray[Any, Any]]:
    return [x.numpy() for x in flat(case(Tensors(nets.Tensor), nets))]


@pytest.mark.parametrize("name", CASES)
def test_values_and_gradients_are_those_of_pytorch(name: str) -> None:
    case = CASES[name]
    theirs = Tensors(torch.from_numpy)
    ours = Tensors(nets.Tensor)
    for tensors in (theirs, ours):
        for one in (tensors.x, tensors.y, tensors.c):
            one.requires_grad = True
    expected, found = flat(case(theirs, torch)), flat(case(ours, nets))
    assert len(found) == len(expected)
    for a, b in zip(found, expected, strict=True):
        assert a.shape == tuple(b.shape)
        assert str(a.dtype) == str(b.dtype).removeprefix("torch.")
        np.testing.assert_allclose(a.numpy(), b.detach().numpy(), rtol=1e-12)
    pairs = [(a, b) for a, b in zip(found, expected, strict=True) if b.requires_grad]
    if pairs:
        sum((a * a).sum() for a, _ in pairs).backward()
        sum((b * b).sum() for _, b in pairs).backward()
    for own, other in ((ours.x, theirs.x), (ours.y, theirs.y), (ours.c, theirs.c)):
        gradient = np.zeros(own.shape) if other.grad is None else other.grad.numpy()
        np.testing.assert_allclose(own.grad.numpy(), gradient, rtol=1e-10, atol=1e-12)


def test_all_of_them_in_one_traced_program() -> None:
    def run(x: Any, y: Any, c: Any, i: Any, m: Any) -> Any:
        tensors = Tensors(nets.Tensor)
        tensors.x, tensors.y, tensors.c, tensors.i, tensors.m = x, y, c, i, m
        return {name: flat(case(tensors, nets)) for name, case in CASES.items()}

    found = nets.trace(run)(X, Y, C, I, M)
    for name, case in CASES.items():
        for a, b in zip(found[name], by_nets(case), strict=True):
            np.testing.assert_allclose(a.numpy(), b, rtol=1e-9, atol=1e-12, err_msg=name)


# -------------------------------------------------------------------------------- in place


def changed(t: Any) -> Any:
    x = t.x.clone()
    x.add_(t.y).mul_(2).sub_(t.y, alpha=0.5).div_(t.y).clamp_(-3, 3)
    x[0].zero_()
    x[1].fill_(7).copy_(t.y[1])
    x.t()[2].masked_fill_(t.m[:, 2], 9.0)
    x.view(2, 6)[1].exp_().neg_()
    x.addcmul_(t.y, t.y).lerp_(t.y, 0.25).fill_diagonal_(4)
    x[:2].index_fill_(0, t.i[0, :1] * 0, 0.5).relu_()
    return x, x.requires_grad_(False).detach_()


def test_what_is_done_in_place_shows_in_views() -> None:
    expected = changed(Tensors(torch.from_numpy))[0].numpy()
    found, same = changed(Tensors(nets.Tensor))
    assert found is same
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-12)

    @nets.trace
    def run(x: Any, y: Any, i: Any, m: Any) -> Any:
        tensors = Tensors(nets.Tensor)
        tensors.x, tensors.y, tensors.i, tensors.m = x, y, i, m
        x = tensors.x.clone()
        x.add_(y)
        x[0].zero_()
        x.t()[2].masked_fill_(m[:, 2], 9.0)
        x.view(2, 6)[1].exp_()
        return x

    plain = X + Y
    plain[0] = 0
    plain[M[:, 2], 2] = 9
    plain.reshape(2, 6)[1] = np.exp(plain.reshape(2, 6)[1])
    np.testing.assert_allclose(run(X, Y, I, M).numpy(), plain, rtol=1e-12)


def test_in_place_forms_give_the_tensor_itself_and_record_gradients() -> None:
    x = nets.Tensor(X, requires_grad=True)
    y = x.clone()
    assert y.mul_(y).add_(1) is y
    y.sum().backward()
    np.testing.assert_allclose(x.grad.numpy(), 2 * X)  # type: ignore[union-attr]
    state = nets.Tensor([1.0, 2.0])
    step = nets.trace(lambda: state.add_(1).sum())
    assert step().item() == 5
    assert state.tolist() == [2, 3]
    with pytest.raises(DTypeError):
        nets.Tensor([1, 2]).add_(0.5)
    with pytest.raises(ShapeError):
        nets.Tensor([1.0]).add_([1.0, 2.0])


# --------------------------------------------------------------------------------- the rest


def test_what_tells_of_a_tensor() -> None:
    x = nets.Tensor(C.astype("float32"))
    assert (x.numel(), x.nelement(), x.dim(), x.ndimension(), x.element_size()) == (24, 24, 3, 3, 4)
    assert x.is_floating_point()
    assert x.is_contiguous()
    assert not x.long().is_floating_point()
    assert nets.numel(x) == 24
    assert x.equal(x.clone())
    assert not x.equal(x[0])
    assert x.new_tensor([1, 2]).dtype == np.int64
    assert x.requires_grad_() is x
    assert x.requires_grad
    assert x.to("cpu", "float64").dtype == np.float64
    assert x.to(nets.Tensor([1])).dtype == np.int64
    shared = x.detach().to("float32")
    same = shared.to("float32")
    same[0, 0, 0] = 9
    assert shared[0, 0, 0].item() == 9
    assert same is not shared
    shared.to("float32", copy=True)[0, 0, 0] = 1
    assert shared[0, 0, 0].item() == 9
    assert nets.Tensor(M).nonzero().tolist() == np.argwhere(M).tolist()
    assert nets.Tensor(M).nonzero(as_tuple=True)[1].tolist() == np.nonzero(M)[1].tolist()
    assert nets.Tensor(X).masked_select(nets.Tensor(M)).tolist() == X[M].tolist()


REFUSED: list[tuple[Callable[[Any], Any], type[NetsError], str]] = [
    (lambda x: x.view(5), ShapeError, "12 elements"),
    (lambda x: x.t().view(12), ShapeError, "reshape copies"),
    (lambda x: x.view("int64"), UnsupportedObjectError, "t.to"),
    (lambda x: x.to("cuda"), UnsupportedObjectError, "CPU"),
    (lambda x: x.expand(4, 3), ShapeError, "."),
    (lambda x: x.repeat(2, 1), ArgumentError, r"axis=1.*repeat\(\(2, 1\)\)"),
    (lambda x: x.gather(0, [[0, 9]]), IndexOutOfBoundsError, "."),
    (lambda x: x.gather(0, [[0, -1]]), IndexOutOfBoundsError, "."),
    (lambda x: x.gather(0, [0]), ShapeError, "."),
    (lambda x: x.index_select(0, [3]), IndexOutOfBoundsError, "."),
    (lambda x: x.masked_fill(x, 1), DTypeError, "bools"),
    (lambda x: x.clamp(), ArgumentError, "min"),
    (lambda x: x.mm(x), ShapeError, "."),
    (lambda x: x.bmm(x), ShapeError, "3 and 3 axes"),
    (lambda x: x.addmm(x, x), ShapeError, "."),
    (lambda x: x.narrow(0, 2, 2), ShapeError, "."),
    (lambda x: x.unflatten(0, (2, 2)), ShapeError, "."),
    (lambda x: x.chunk(0), ArgumentError, "."),
    (lambda x: x.split([1, 1]), ShapeError, "add up"),
    (lambda x: x.sum(1, dim=1), ArgumentError, "not both"),
    (lambda x: x.amax(1, axis=1), ArgumentError, "not both"),
    (lambda x: x.norm("bad"), UnsupportedObjectError, "linalg"),
    (lambda x: x.div(x, rounding_mode="up"), ArgumentError, "trunc"),
    (lambda x: x.half(), MissingNameError, "float32"),
]


@pytest.mark.parametrize(("call", "error", "text"), REFUSED)
def test_bad_input_is_refused(
    call: Callable[[Any], Any], error: type[NetsError], text: str
) -> None:
    with pytest.raises(error, match=text) as caught:
        call(nets.Tensor(X))
    assert "test_pytorch_words.py" in str(caught.value)


def test_a_trace_has_no_shape_for_what_a_mask_selects() -> None:
    with pytest.raises(ControlFlowError):
        nets.trace(lambda x: x.masked_select(x > 0))(X)


def test_methods_that_are_functions_are_there_as_soon_as_these() -> None:
    for name in ("sin", "floor_divide", "tile", "matmul"):
        assert hasattr(nets.Tensor, name)
        assert name in dir(nets.Tensor(X))
    for name in ("cholesky", "digamma", "mode"):
        assert hasattr(nets.Tensor, name) == (name in dir(nets.Tensor(X)))
