"""Layers and losses against their definitions, written out in NumPy, one element at a time.

``test_against_pytorch.py`` compares them with PyTorch as well, where that is installed. Gradients
are compared with differences.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

import nets
from nets import nn
from nets.nn import functional as F
from tests.optim.test_optimizers import wave

Array = npt.NDArray[Any]


def alike(found: Any, expected: Any, what: object = "") -> None:
    array = found.numpy() if isinstance(found, nets.Tensor) else np.asarray(found)
    assert array.shape == np.shape(expected), what
    np.testing.assert_allclose(array, expected, rtol=1e-9, atol=1e-12, err_msg=str(what))


def has_gradient(function: Callable[..., nets.Tensor], *arrays: Array) -> None:
    """Whether the gradient is the slope along a direction, for each of the arguments at once."""

    def total(*xs: Any) -> nets.Tensor:
        y = function(*xs)
        return nets.sum(y * nets.Tensor(wave(y.shape, 0.2)))

    ways = [wave(x.shape, 0.9) for x in arrays]
    step = 1e-6
    ends = [
        total(*(x + sign * step * way for x, way in zip(arrays, ways, strict=True))).item()
        for sign in (1, -1)
    ]
    found = nets.grad(total, argnums=tuple(range(len(arrays))))(*arrays)
    slope = sum(float(np.sum(np.asarray(g) * way)) for g, way in zip(found, ways, strict=True))
    assert slope == pytest.approx((ends[0] - ends[1]) / (2 * step), rel=1e-6, abs=1e-7)


# --------------------------------------------------------------------------- activations

ACTIVATIONS: dict[str, tuple[nn.Module, Callable[[float], float]]] = {
    "relu6": (nn.ReLU6(), lambda x: min(max(x, 0), 6)),
    "leaky": (nn.LeakyReLU(0.2), lambda x: x if x > 0 else 0.2 * x),
    "elu": (nn.ELU(1.3), lambda x: x if x > 0 else 1.3 * math.expm1(x)),
    "celu": (nn.CELU(0.7), lambda x: x if x > 0 else 0.7 * math.expm1(x / 0.7)),
    "selu": (
        nn.SELU(),
        lambda x: 1.0507009873554805 * (x if x > 0 else 1.6732632423543772 * math.expm1(x)),
    ),
    "gelu": (nn.GELU(), lambda x: x / 2 * (1 + math.erf(x / math.sqrt(2)))),
    "gelu, tanh": (
        nn.GELU("tanh"),
        lambda x: x / 2 * (1 + math.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3))),
    ),
    "silu": (nn.SiLU(), lambda x: x / (1 + math.exp(-x))),
    "mish": (nn.Mish(), lambda x: x * math.tanh(math.log1p(math.exp(x)))),
    "log sigmoid": (nn.LogSigmoid(), lambda x: -math.log1p(math.exp(-x))),
    "hardtanh": (nn.Hardtanh(-0.5, 0.7), lambda x: min(max(x, -0.5), 0.7)),
    "hardsigmoid": (nn.Hardsigmoid(), lambda x: min(max(x / 6 + 0.5, 0), 1)),
    "hardswish": (nn.Hardswish(), lambda x: x * min(max(x / 6 + 0.5, 0), 1)),
    "softplus": (nn.Softplus(2.0), lambda x: math.log1p(math.exp(2 * x)) / 2),
    "softsign": (nn.Softsign(), lambda x: x / (1 + abs(x))),
}


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_activations(name: str) -> None:
    layer, formula = ACTIVATIONS[name]
    x = np.linspace(-7.03, 7.01, 29)
    alike(layer(x), list(map(formula, x)))
    has_gradient(layer, x)


# ------------------------------------------------------------------------- normalisation


def normal(x: Array, axes: tuple[int, ...], eps: float = 1e-5) -> Array:
    """Mean 0 and variance 1 over the axes."""
    distance = x - x.mean(axes, keepdims=True)
    return np.asarray(distance / np.sqrt((distance**2).mean(axes, keepdims=True) + eps))


@pytest.mark.parametrize("momentum", [0.1, 0.7, None])
@pytest.mark.parametrize("shape", [(6, 3), (4, 3, 5), (2, 3, 4, 2)])
@pytest.mark.sampled(4)
def test_batch_norm(shape: tuple[int, ...], momentum: float | None) -> None:
    """Running statistics are of the unbiased variance, and what eval mode takes."""
    layer = {2: nn.BatchNorm1d, 3: nn.BatchNorm1d, 4: nn.BatchNorm2d}[len(shape)](
        3, momentum=momentum, dtype="float64"
    )
    weight, bias, axes = wave((3,), 0.4), wave((3,), 0.8), (0, *range(2, len(shape)))
    layer.load_state_dict(layer.state_dict() | {"weight": weight, "bias": bias})
    run: Callable[[Any], Any] = nets.trace(lambda x: layer(x)) if momentum == 0.7 else layer
    wide = (3, *(1,) * (len(shape) - 2))
    mean, variance = np.zeros(3), np.ones(3)
    for t in range(1, 4):
        x = wave(shape, t) * t + t
        alike(run(x), normal(x, axes) * weight.reshape(wide) + bias.reshape(wide), t)
        part = 1 / t if momentum is None else momentum
        mean = (1 - part) * mean + part * x.mean(axes)
        variance = (1 - part) * variance + part * x.var(axes, ddof=1)
        state = layer.state_dict()
        alike(state["running_mean"], mean, t)
        alike(state["running_var"], variance, t)
    layer.eval()
    x = wave(shape, 0.1)
    expected = (x - mean.reshape(wide)) / np.sqrt(variance.reshape(wide) + 1e-5)
    alike(run(x), expected * weight.reshape(wide) + bias.reshape(wide))


def test_other_norms() -> None:
    x, weight, bias = wave((2, 4, 3)), wave((4, 3), 0.4), wave((4, 3), 0.8)
    alike(F.layer_norm(x, (4, 3), weight, bias), normal(x, (1, 2)) * weight + bias)
    alike(F.layer_norm(x, 3, weight[0], eps=0.1), normal(x, (2,), 0.1) * weight[0])
    groups = normal(x.reshape(2, 2, 6), (2,)).reshape(x.shape)
    rows = weight[:, :1], bias[:, :1]
    alike(F.group_norm(x, 2, weight[:, 0], bias[:, 0]), groups * rows[0] + rows[1])
    small = 2.0**-52
    for eps in (None, 0.1):
        size = np.sqrt((x**2).mean(-1, keepdims=True) + (small if eps is None else eps))
        alike(F.rms_norm(x, 3, weight[0], eps), x / size * weight[0])
    has_gradient(lambda x, w, b: F.layer_norm(x, (4, 3), w, b), x, weight, bias)
    has_gradient(lambda x, w: F.group_norm(x, 2, w), x, weight[:, 0])
    has_gradient(lambda x, w: F.rms_norm(x, 3, w), x, weight[0])
    has_gradient(lambda x, w: F.batch_norm(x, None, None, w, training=True), x, weight[:, 0])


# -------------------------------------------------------------------------------- losses


def reduced(losses: Array, reduction: str, divisor: float | None = None) -> Any:
    if reduction == "none":
        return losses
    total = losses.sum()
    return total if reduction == "sum" else total / (losses.size if divisor is None else divisor)


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.parametrize("smoothing", [0.0, 0.3])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("shape", [(6, 3), (2, 3, 4), (3,)])
@pytest.mark.sampled(5)
def test_cross_entropy(
    shape: tuple[int, ...], weighted: bool, smoothing: float, reduction: Any
) -> None:
    """Of classes, some of which are ignored; the mean is over the weights of the others."""
    scores, axis = wave(shape) * 2, min(len(shape) - 1, 1)
    rest = shape[:axis] + shape[axis + 1 :]
    classes = (np.arange(math.prod(rest)) * 5 % 7 % 3).reshape(rest)
    weight = np.array([0.2, 1.0, 3.0]) if weighted else None
    every = np.ones(3) if weight is None else weight
    for ignored in (-100, 1) if len(shape) > 1 else (-100,):
        losses, weights, plain = np.zeros(rest), np.zeros(rest), np.zeros(rest)
        for place in np.ndindex(rest):
            row = scores[(*place[:1], slice(None), *place[1:])]
            logs = row - math.log(np.exp(row).sum())
            own = classes[place]
            if own == ignored:
                continue
            weights[place] = every[own]
            plain[place] = -every[own] * logs[own]
            evenly = -(every * logs).sum() / 3
            losses[place] = (1 - smoothing) * plain[place] + smoothing * evenly
        found = F.cross_entropy(scores, classes, weight, ignored, reduction, smoothing)
        alike(found, reduced(losses, reduction, weights.sum()), ignored)
        if not smoothing:
            logs = nets.log_softmax(scores, axis)
            found = F.nll_loss(logs, classes, weight, ignored, reduction)
            alike(found, reduced(plain, reduction, weights.sum()), ignored)
    has_gradient(
        lambda x: F.cross_entropy(x, classes, weight, 1, "sum", label_smoothing=smoothing), scores
    )


def test_linear_cross_entropy() -> None:
    """The scores (N, C, d) of a table (C, d, in)."""
    x, table, bias = wave((4, 5)), wave((3, 2, 5)) * 2, wave((3, 2))
    classes = np.array([[0, 1], [2, 2], [1, 0], [0, 2]])
    scores = np.einsum("ni,cdi->ncd", x, table) + bias
    found = F.linear_cross_entropy(x, table, classes, linear_bias=bias, reduction="none")
    alike(found, F.cross_entropy(scores, classes, reduction="none").numpy())
    found = F.linear_cross_entropy(x, table[:, 0], classes[:, 0], ignore_index=0)
    alike(found, F.cross_entropy(x @ table[:, 0].T, classes[:, 0], ignore_index=0).numpy())
    for bad in (table[0, 0], table[..., 1:]):
        with pytest.raises(nets.errors.ShapeError):
            F.linear_cross_entropy(x, bad, classes)
    with pytest.raises(nets.errors.ShapeError, match="further axes"):
        F.linear_cross_entropy(x[0], table, classes[0])
    with pytest.raises(nets.errors.ArgumentError, match="probabilities"):
        F.linear_cross_entropy(x, table[:, 0], np.full((4, 3), 1 / 3), ignore_index=0)


LOSSES: dict[str, tuple[Callable[..., nets.Tensor], Callable[[float, float], float]]] = {
    "mse": (F.mse_loss, lambda x, y: (x - y) ** 2),
    "l1": (F.l1_loss, lambda x, y: abs(x - y)),
    "huber": (
        lambda x, y, r: F.huber_loss(x, y, r, 0.3),
        lambda x, y: (x - y) ** 2 / 2 if abs(x - y) < 0.3 else 0.3 * (abs(x - y) - 0.15),
    ),
    "smooth l1": (
        lambda x, y, r: F.smooth_l1_loss(x, y, r, 0.3),
        lambda x, y: (x - y) ** 2 / 0.6 if abs(x - y) < 0.3 else abs(x - y) - 0.15,
    ),
    "bce": (
        lambda x, y, r: F.binary_cross_entropy(x, y, None, r),
        lambda x, y: -y * math.log(x) - (1 - y) * math.log(1 - x),
    ),
    "bce of logits": (
        lambda x, y, r: F.binary_cross_entropy_with_logits(x, y, None, r, np.full(5, 3.0)),
        lambda x, y: 3 * y * math.log1p(math.exp(-x)) + (1 - y) * math.log1p(math.exp(x)),
    ),
    "kl": (
        F.kl_div,
        lambda x, y: y * (math.log(y) - x),
    ),
    "kl of logarithms": (
        lambda x, y, r: F.kl_div(x, y, r, log_target=True),
        lambda x, y: math.exp(y) * (y - x),
    ),
}


@pytest.mark.parametrize("name", LOSSES)
def test_losses(name: str) -> None:
    function, formula = LOSSES[name]
    x, y = wave((4, 5)) * 0.45 + 0.5, wave((4, 5), 0.6) * 0.4 + 0.5
    losses = np.vectorize(formula)(x, y)
    for reduction in ("mean", "sum", "none"):
        alike(function(x, y, reduction), reduced(losses, reduction), reduction)
    has_gradient(lambda x, y: function(x, y, "none"), x, y)


def test_weights_of_losses() -> None:
    x, y, weight = wave((4, 3)) * 0.4 + 0.5, wave((4, 3), 0.6) * 0.4 + 0.5, np.array([0.5, 1, 2])
    of_one = LOSSES["bce"][1]
    losses = np.vectorize(of_one)(x, y) * weight
    alike(F.binary_cross_entropy(x, y, weight), losses.mean())
    logits = np.log(x / (1 - x))
    alike(F.binary_cross_entropy_with_logits(logits, y, weight, "none"), losses)
    chosen = wave((4, 3), 0.2) * 0.2 + 0.3
    logs = x - np.log(np.exp(x).sum(1, keepdims=True))
    found = F.cross_entropy(x, chosen, weight, reduction="none", label_smoothing=0.3)
    alike(found, -((chosen * 0.7 + 0.1) * weight * logs).sum(1))
    divergence = (y * (np.log(y) - x)).sum()
    alike(F.kl_div(x, y, "batchmean"), divergence / 4)


# ----------------------------------------------------------- embeddings, dropout, clipping


@pytest.mark.parametrize("padding", [None, 1, -3, -1, 0])
@pytest.mark.parametrize("traced", [False, True])
def test_rows_of_an_embedding_get_the_gradients_of_their_places(
    padding: int | None, traced: bool
) -> None:
    table, words = wave((4, 3)), np.array([[1, 3, 3], [0, 1, 3]])
    slope = wave((2, 3, 3), 0.5)

    def loss(table: Any) -> nets.Tensor:
        return nets.sum(F.embedding(words, table, padding) * slope)

    alike(F.embedding(words, table, padding), table[words])
    expected = np.zeros((4, 3))
    np.add.at(expected, words, slope)
    if padding is not None:
        expected[padding] = 0
    gradient = nets.grad(loss)
    alike((nets.trace(gradient) if traced else gradient)(table), expected)


@pytest.mark.parametrize("norm", [1.0, 2.0, 3.0, math.inf])
@pytest.mark.parametrize("most", [0.5, 100.0])
def test_clipping_shortens_and_never_lengthens(norm: float, most: float) -> None:
    gradients = [wave((3, 2)), wave((4,), 0.3)]
    length = np.linalg.norm(np.concatenate([g.reshape(-1) for g in gradients]), norm)
    parameters = [nn.Parameter(np.zeros(g.shape)) for g in gradients]
    for p, gradient in zip(parameters, gradients, strict=True):
        p.grad = nets.Tensor(gradient)
    alike(nn.utils.clip_grad_norm_(parameters, most, norm), length)
    factor = min(1.0, most / (length + 1e-6))
    for p, gradient in zip(parameters, gradients, strict=True):
        alike(p.grad, gradient * factor)


# ------------------------------------------------------------------- windows over images

Window = tuple[int, int, int, int, bool]


def ends(size: int, kernel: int, step: int, padding: int, dilation: int, ceil: bool) -> list[int]:
    """Where the windows of an axis begin, in places of the image.

    All that fit into image and padding; with ``ceil`` one more, if it begins before the padding
    behind the image.
    """
    reach = dilation * (kernel - 1) + 1
    last = size + 2 * padding - reach
    count = (-(-last // step) if ceil else last // step) + 1
    if ceil and (count - 1) * step >= size + padding:
        count -= 1
    return [i * step - padding for i in range(count)]


def pooled(
    x: Array, kernel: int, step: int, padding: int, ceil: bool, of: Callable[..., float]
) -> Array:
    """``of`` the elements of each window, and of how many places it has in image and padding."""
    size = x.shape[-1]
    found = [
        of(
            row[max(start, 0) : min(start + kernel, size)],
            min(start + kernel, size + padding) - start,
        )
        for row in x.reshape(-1, size)
        for start in ends(size, kernel, step, padding, 1, ceil)
    ]
    return np.array(found).reshape(*x.shape[:-1], -1)


@pytest.mark.parametrize("ceil", [False, True])
@pytest.mark.parametrize("kernel", [1, 2, 3, 4])
@pytest.mark.sampled(3)
def test_pools(kernel: int, ceil: bool) -> None:
    """Every size, step and padding, along one axis and along two."""
    for size, step in itertools.product((4, 5, 8), (1, 2, 3, 5)):
        for padding in range(kernel // 2 + 1):
            case = (size, step, padding)
            x = wave((2, 1, size))
            options: dict[str, Any] = {"ceil_mode": ceil}
            largest = pooled(x, kernel, step, padding, ceil, lambda part, _: part.max())
            alike(F.max_pool1d(x, kernel, step, padding, **options), largest, case)
            mean = pooled(x, kernel, step, padding, ceil, lambda part, n: part.sum() / n)
            alike(F.avg_pool1d(x, kernel, step, padding, **options), mean, case)
            inside = pooled(x, kernel, step, padding, ceil, lambda part, _: part.mean())
            found = F.avg_pool1d(x, kernel, step, padding, count_include_pad=False, **options)
            alike(found, inside, case)
    x = wave((1, 2, 6, 7))
    rows = pooled(x, kernel, 2, kernel // 2, ceil, lambda part, _: part.max())
    both = pooled(rows.swapaxes(2, 3), kernel, 3, 0, ceil, lambda part, _: part.max())
    sizes = (kernel, kernel), (3, 2), (0, kernel // 2)
    alike(F.max_pool2d(x, *sizes, ceil_mode=ceil), both.swapaxes(2, 3))
    for pool in (F.max_pool2d, F.avg_pool2d):
        has_gradient(lambda x, pool=pool: pool(x, *sizes, ceil_mode=ceil), x)


def test_a_dilated_pool() -> None:
    for ceil, step, dilation in itertools.product((False, True), (1, 2, 3), (1, 2, 3)):
        x = wave((1, 1, 11))
        starts = ends(11, 3, step, 1, dilation, ceil)
        expected = [
            max(x[0, 0, p] for p in range(s, s + 3 * dilation, dilation) if 0 <= p < 11)
            for s in starts
        ]
        found = F.max_pool1d(x, 3, step, 1, dilation, ceil)
        alike(found, np.array(expected).reshape(1, 1, -1), (ceil, step, dilation))


@pytest.mark.parametrize("groups", [1, 2])
@pytest.mark.parametrize(("step", "padding", "dilation"), [(1, 0, 1), (2, 1, 1), (1, 2, 2)])
def test_convolutions(step: int, padding: int, dilation: int, groups: int) -> None:
    """And the transposed one, which gives back what the plain one takes."""
    x, weight, bias = wave((2, 4, 6)), wave((6, 4 // groups, 3), 0.4), wave((6,), 0.8)
    padded = np.pad(x, ((0, 0), (0, 0), (padding, padding)))
    starts = ends(6, 3, step, padding, dilation, False)
    expected = np.zeros((2, 6, len(starts)))
    for n, o, (i, start) in itertools.product(range(2), range(6), list(enumerate(starts))):
        first = o // (6 // groups) * (4 // groups)
        part = padded[n, first : first + 4 // groups, start + padding :][:, : 3 * dilation]
        expected[n, o, i] = (part[:, ::dilation][:, :3] * weight[o]).sum() + bias[o]
    alike(F.conv1d(x, weight, bias, step, padding, dilation, groups), expected)
    image, kernel = x[:, :, None], weight[:, :, None]
    options = (1, step), (0, padding)
    found = F.conv2d(image, kernel, bias, *options, (1, dilation), groups)
    alike(found, expected[:, :, None])
    ct = wave(found.shape, 0.3)
    back = nets.grad(
        lambda x: nets.sum(F.conv2d(x, kernel, None, *options, (1, dilation), groups) * ct)
    )(image)
    rest = 6 - ((len(starts) - 1) * step - 2 * padding + 2 * dilation + 1)
    turned = F.conv_transpose2d(ct, kernel, None, *options, (0, rest), groups, (1, dilation))
    alike(turned, np.asarray(back))


# --------------------------------------------------------------------------- sequences


def sigmoid(x: Array) -> Array:
    return np.asarray(1 / (1 + np.exp(-x)))


def rnn_step(x: Array, h: Array, c: Array) -> tuple[Array, Array]:
    return np.tanh(x + h), c


def gru_step(x: Array, h: Array, c: Array) -> tuple[Array, Array]:
    (xr, xz, xn), (hr, hz, hn) = np.split(x, 3, -1), np.split(h, 3, -1)
    z = sigmoid(xz + hz)
    return (1 - z) * np.tanh(xn + sigmoid(xr + hr) * hn) + z * c, c


def lstm_step(x: Array, h: Array, c: Array) -> tuple[Array, Array]:
    i, f, g, o = np.split(x + h, 4, -1)
    new = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
    return sigmoid(o) * np.tanh(new), new


RECURRENT: list[tuple[Any, dict[str, Any], Any]] = [
    (nn.RNN, {}, rnn_step),
    (nn.RNN, {"num_layers": 2, "bidirectional": True, "bias": False}, rnn_step),
    (nn.GRU, {}, gru_step),
    (nn.GRU, {"num_layers": 2, "bidirectional": True, "batch_first": True}, gru_step),
    (nn.LSTM, {"num_layers": 2}, lstm_step),
    (nn.LSTM, {"bidirectional": True, "batch_first": True}, lstm_step),
    (nn.LSTM, {"num_layers": 2, "bidirectional": True, "proj_size": 2}, lstm_step),
]


@pytest.mark.parametrize(("kind", "options", "advance"), RECURRENT)
def test_recurrent_layers(kind: Any, options: dict[str, Any], advance: Any) -> None:
    """Layer by layer, way by way, time by time; from states that are given."""
    layer = kind(3, 4, dtype="float64", **options)
    weights = {
        name: wave(a.shape, i) * 0.6 for i, (name, a) in enumerate(layer.state_dict().items())
    }
    layer.load_state_dict(weights)
    ways = ("", "_reverse") if options.get("bidirectional") else ("",)
    layers, features = options.get("num_layers", 1), options.get("proj_size", 4)
    x = wave((5, 2, 3), 0.3)
    h0, c0 = wave((layers * len(ways), 2, features), 0.1), wave((layers * len(ways), 2, 4), 0.7)
    rows, hs, cs = x, [], []
    for number in range(layers):
        outputs = []
        for way in ways:
            w = {name[:-len(f"_l{number}{way}")]: a for name, a in weights.items()
                 if name.endswith(f"_l{number}{way}")}  # fmt: skip
            h, c = h0[len(hs)], c0[len(hs)]
            output = np.zeros((5, 2, features))
            for t in reversed(range(5)) if way else range(5):
                inward = rows[t] @ w["weight_ih"].T + w.get("bias_ih", 0)
                around = h @ w["weight_hh"].T + w.get("bias_hh", 0)
                h, c = advance(inward, around, h if kind is nn.GRU else c)
                c = c0[len(hs)] if kind is nn.GRU else c
                h = h @ w["weight_hr"].T if "weight_hr" in w else h
                output[t] = h
            outputs.append(output)
            hs.append(h)
            cs.append(c)
        rows = np.concatenate(outputs, -1)
    given: Any = (h0, c0) if kind is nn.LSTM else h0
    turn = options.get("batch_first", False)
    found, last = layer(x.swapaxes(0, 1) if turn else x, given)
    alike(found, rows.swapaxes(0, 1) if turn else rows)
    for state, expected in zip(last if kind is nn.LSTM else [last], (hs, cs), strict=False):
        alike(state, np.stack(expected))


@pytest.mark.parametrize("mask", ["none", "causal", "bool", "float"])
def test_attention(mask: str) -> None:
    q, k, v = wave((2, 4, 3)), wave((2, 5, 3), 0.3), wave((2, 5, 2), 0.6)
    added = {
        "none": np.zeros((4, 5)),
        "causal": np.where(np.tri(4, 5) > 0, 0, -np.inf),
        "bool": np.where(np.eye(4, 5) + np.eye(4, 5, 1) > 0, 0, -np.inf),
        "float": wave((4, 5), 0.9),
    }[mask]
    given = {"bool": added == 0, "float": added}.get(mask)
    causal = mask == "causal"
    for scale in (None, 0.3):
        weights = np.exp(q @ k.swapaxes(1, 2) * (scale or 1 / math.sqrt(3)) + added)
        expected = weights / weights.sum(-1, keepdims=True) @ v
        found = F.scaled_dot_product_attention(q, k, v, given, 0.0, causal, scale)
        alike(found, expected, scale)
    has_gradient(
        lambda q, k, v: F.scaled_dot_product_attention(q, k, v, given, 0.0, causal), q, k, v
    )


def test_heads_see_their_own_features() -> None:
    """Which keys a mask hides, too: true where one takes no part, as PyTorch has it."""
    layer = nn.MultiheadAttention(6, 2, dtype="float64")
    state = {name: wave(a.shape, i) * 0.5 for i, (name, a) in enumerate(layer.state_dict().items())}
    layer.load_state_dict(state)
    q, k = wave((3, 2, 6)), wave((4, 2, 6), 0.4)
    hidden = np.array([[False, False, True, False], [False, False, False, True]])
    later = np.triu(np.ones((3, 4), bool), 2)
    parts = [
        x @ state["in_proj_weight"][i * 6 : i * 6 + 6].T + state["in_proj_bias"][i * 6 : i * 6 + 6]
        for i, x in enumerate((q, k, k))
    ]
    mixed, mean = np.zeros((3, 2, 6)), np.zeros((2, 3, 4))
    for n, head in itertools.product(range(2), range(2)):
        own = slice(head * 3, head * 3 + 3)
        scores = parts[0][:, n, own] @ parts[1][:, n, own].T / math.sqrt(3)
        weights = np.where(later | hidden[n], 0, np.exp(scores))
        weights /= weights.sum(-1, keepdims=True)
        mixed[:, n, own] = weights @ parts[2][:, n, own]
        mean[n] += weights / 2
    output, found = layer(q, k, k, key_padding_mask=hidden, attn_mask=later)
    alike(output, mixed @ state["out_proj.weight"].T + state["out_proj.bias"])
    assert found is not None
    alike(found, mean)
