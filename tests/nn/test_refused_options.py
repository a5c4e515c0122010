"""Options that have no meaning are refused by name, and those at the end of their range taken."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import nets
from nets import nn, optim
from nets.errors import ArgumentError, NetsError, ShapeError

F = nn.functional
NAN, INF = math.nan, math.inf
X = np.linspace(-1, 1, 24).reshape(2, 3, 4)
IMAGE = np.linspace(-1, 1, 2 * 4 * 6 * 6).reshape(2, 4, 6, 6)
LINE = IMAGE[:, :, 0]
KERNELS = np.ones((6, 2, 3, 3))
CLASSES = np.array([0, 2])
SCORES = X[:, :, 0]
MASK = np.ones((3, 3), bool)
attention = nn.MultiheadAttention(4, 2, dtype="float64")
CHANCES = np.array([0.0, 0.5, 1.0])


def parameter() -> list[nn.Parameter]:
    return [nn.Parameter(np.ones(2))]


def schedule(make: Callable[..., Any], *arguments: Any, **options: Any) -> Any:
    return make(optim.SGD(parameter(), lr=0.1), *arguments, **options)


def chances(p: Any) -> Any:
    return F.binary_cross_entropy(p, CHANCES)


Options = tuple[Callable[[Any], Any], list[Any], list[Any]]
FUNCTIONS: dict[str, Options] = {
    # name: a call with the option, what is refused, what is taken
    "dropout p": (lambda v: F.dropout(X, v), [-0.1, 1.5, NAN, "a", None], [0, 0.5, 1]),
    "Dropout p": (lambda v: nn.Dropout(v), [-0.1, 1.5, NAN], [0, 1]),
    "softplus beta": (lambda v: F.softplus(X, v), [0, 0.0, NAN], [1, -2, 0.5]),
    "nets.softplus beta": (lambda v: nets.softplus(X, v), [0, NAN], [1, -2]),
    "Softplus beta": (lambda v: nn.Softplus(v)(X), [0, NAN], [1]),
    "celu alpha": (lambda v: F.celu(X, v), [0, NAN], [1, -1]),
    "hardtanh max_val": (lambda v: F.hardtanh(X, 0, v), [-1, NAN], [0, 1, INF]),
    "huber delta": (lambda v: F.huber_loss(X, X, delta=v), [0, -1, NAN], [1e-9, 2]),
    "HuberLoss delta": (lambda v: nn.HuberLoss(delta=v)(X, X), [0, -1], [1]),
    "smooth_l1 beta": (lambda v: F.smooth_l1_loss(X, X, beta=v), [-1, NAN], [0, 1]),
    "label_smoothing": (
        lambda v: F.cross_entropy(SCORES, CLASSES, label_smoothing=v), [-0.1, 1.1, NAN], [0, 1]
    ),
    "CrossEntropyLoss": (
        lambda v: nn.CrossEntropyLoss(label_smoothing=v)(SCORES, CLASSES), [-0.1, 1.1], [0, 0.5]
    ),
    "reduction": (lambda v: F.mse_loss(X, X, v), ["batch", None], ["mean", "sum", "none"]),
    "class weight": (
        lambda v: F.cross_entropy(SCORES, CLASSES, v), [1.0, [1.0], [1.0, 2]], [[1.0, 2, 3], None]
    ),
    "causal and masked": (
        lambda v: F.scaled_dot_product_attention(X, X, X, MASK, is_causal=v), [True], [False]
    ),
    "mask of integers": (
        lambda v: F.scaled_dot_product_attention(X, X, X, MASK.astype(v)),
        ["int64", "int8"],
        ["bool", "float64"],
    ),
    "mask shape": (
        lambda v: F.scaled_dot_product_attention(X, X, X, np.ones(v, bool)),
        [(2, 3), (3, 2), (2, 2, 3, 3), (4, 1, 3, 3)],
        [(3, 3), (1, 3), (2, 3, 3), ()],
    ),
    "MultiheadAttention padding": (
        lambda v: attention(*[X] * 3, key_padding_mask=np.zeros(v, bool)),
        [(1, 2), (4, 2), (3, 1), (2,), ()],
        [(3, 2)],
    ),
    "MultiheadAttention mask": (
        lambda v: attention(*[X] * 3, attn_mask=np.zeros(v, bool)),
        [(2, 1), (1, 2), (2,), (3, 2, 2), (1, 2, 2), ()],
        [(2, 2), (6, 2, 2)],
    ),
    "MultiheadAttention keys": (
        lambda v: attention(X, np.ones(v), np.ones(v)), [(2, 1, 4), (2, 4, 4)], [(5, 3, 4)]
    ),
    "MultiheadAttention values": (
        lambda v: attention(X, X, np.ones(v)), [(2, 1, 4), (3, 3, 4)], [(2, 3, 4)]
    ),
    "nets.conv padding": (
        lambda v: nets.conv(IMAGE, KERNELS, padding=v, groups=2),
        [-1, [(0, 0), (-1, 2)], 0.5],
        [0, [(0, 1), (2, 0)]],
    ),
    "nets.conv_transpose padding": (
        lambda v: nets.conv_transpose(IMAGE, KERNELS[:4], padding=v), [-1], [0, 1]
    ),
    "dropout_p": (lambda v: F.scaled_dot_product_attention(X, X, X, None, v), [-1, 2], [0, 1]),
    "MultiheadAttention heads": (lambda v: nn.MultiheadAttention(4, v), [0, -1, 3, 1.5], [1, 2]),
    "MultiheadAttention dropout": (lambda v: nn.MultiheadAttention(4, 2, v), [-0.5, 2], [0, 1]),
    "conv stride": (lambda v: F.conv2d(IMAGE, KERNELS, None, v, groups=2), [0, -1, 1.5, (1, 0)],
                    [1, (2, 1)]),
    "conv padding": (lambda v: F.conv2d(IMAGE, KERNELS, None, 1, v, groups=2),
                     [-1, (0, -1), "all", 0.5], [0, (0, 7), "same", "valid"]),
    "conv dilation": (lambda v: F.conv2d(IMAGE, KERNELS, dilation=v, groups=2), [0, -1], [1, 2]),
    "conv groups": (lambda v: F.conv2d(IMAGE, KERNELS, groups=v), [0, -2, 3, 1], [2]),
    "conv bias": (lambda v: F.conv2d(IMAGE, KERNELS, v, groups=2), [1.0, [1.0], np.ones((6, 1))],
                  [None, np.ones(6)]),
    "conv1d padding": (lambda v: F.conv1d(LINE, KERNELS[:, :, 0], padding=v, groups=2), [-1, -7],
                       [0, 1]),
    "conv_transpose": (lambda v: F.conv_transpose2d(IMAGE, KERNELS[:4], padding=v), [-1], [0, 1]),
    "conv_transpose more": (
        lambda v: F.conv_transpose2d(IMAGE, KERNELS[:4], None, 2, 0, v), [-1, 2], [0, 1]
    ),
    "conv_transpose bias": (
        lambda v: F.conv_transpose2d(IMAGE, KERNELS[:4], v), [1.0, [1.0]], [None, np.ones(2)]
    ),
    "Conv2d groups": (lambda v: nn.Conv2d(4, 6, 3, groups=v), [0, -1, 3, 4, 0.5], [1, 2]),
    "Conv2d kernel_size": (lambda v: nn.Conv2d(4, 6, v), [0, -1, (3, 0), "3"], [1, (3, 2)]),
    "Conv1d channels": (lambda v: nn.Conv1d(v, 6, 3), [-1, 1.5], [1, 4]),
    **{
        f"{pool.__name__} {option}": (
            lambda v, pool=pool, x=x, option=option: pool(x, **{"kernel_size": 3, option: v}),
            bad,
            good,
        )
        for pool, x in (
            (F.max_pool2d, IMAGE), (F.avg_pool2d, IMAGE), (F.max_pool1d, LINE), (F.avg_pool1d, LINE)
        )
        for option, bad, good in (
            ("padding", [-1, 2, 3, 0.5], [0, 1]),
            ("stride", [0, -1, 0.5], [1, 2, 9, None]),
            ("kernel_size", [0, -1, 7, 1.5], [1, 3]),
        )
    },
    "max_pool2d dilation": (lambda v: F.max_pool2d(IMAGE, 2, dilation=v), [0, -1], [1, 2]),
    "MaxPool2d padding": (lambda v: nn.MaxPool2d(3, padding=v)(IMAGE), [-1, 2], [0, 1]),
    "nets.max_pool padding": (lambda v: nets.max_pool(IMAGE, 2, padding=v), [-1, "a"], [0, 3]),
    "layer_norm eps": (lambda v: F.layer_norm(X, 4, eps=v), [-1, NAN, None], [0, 1e-3]),
    "layer_norm weight": (lambda v: F.layer_norm(X, 4, v), [1.0, [1.0], np.ones((1, 4))],
                          [None, np.ones(4)]),
    "layer_norm bias": (lambda v: F.layer_norm(X, 4, None, v), [1.0, [1.0]], [np.ones(4)]),
    "layer_norm shape": (lambda v: F.layer_norm(X, v), [3, (), (4, 3), -4, 4.0], [4, (3, 4)]),
    "rms_norm weight": (lambda v: F.rms_norm(X, 4, v), [1.0, [1.0]], [None, np.ones(4)]),
    "rms_norm eps": (lambda v: F.rms_norm(X, 4, eps=v), [-1, NAN], [None, 0, 1]),
    "group_norm groups": (lambda v: F.group_norm(IMAGE, v), [0, -1, 3, 8, 0.5], [1, 2, 4]),
    "group_norm weight": (lambda v: F.group_norm(IMAGE, 2, v), [[1.0], 1.0], [np.ones(4)]),
    "GroupNorm": (lambda v: nn.GroupNorm(v, 4), [0, -1, 3], [1, 4]),
    "batch_norm momentum": (
        lambda v: F.batch_norm(IMAGE, None, None, training=True, momentum=v), [-0.1, 1.5], [0, 1]
    ),
    "batch_norm eps": (lambda v: F.batch_norm(IMAGE, None, None, training=True, eps=v), [-1, NAN],
                       [0, 1]),
    "batch_norm weight": (lambda v: F.batch_norm(IMAGE, None, None, v, training=True), [[1.0], 1.0],
                          [np.ones(4)]),
    "batch_norm statistics": (
        lambda v: F.batch_norm(IMAGE, nets.Tensor(v), nets.Tensor(np.ones(4))), [[1.0], 1.0],
        [np.ones(4)]
    ),
    "batch_norm input": (lambda v: F.batch_norm(np.ones(v), None, None, training=True),
                         [(), (3,), (1, 3), (0, 3)], [(2, 3), (2, 3, 1, 1)]),
    "glu": (lambda v: F.glu(X, v), [1, 3, -4, 0.5], [0, 2, -1]),
    "Flatten start_dim": (lambda v: nn.Flatten(v)(X), [3, -4, 0.5], [0, 1, 2, -1]),
    "Flatten end_dim": (lambda v: nn.Flatten(1, v)(X), [0, 3, -4], [1, 2, -1]),
    "PReLU": (lambda v: nn.PReLU(v, dtype="float64")(IMAGE), [3, -1], [1, 4]),
    "Embedding padding_idx": (lambda v: nn.Embedding(3, 2, v), [3, -4, 0.5], [0, -3, None]),
    "Linear": (lambda v: nn.Linear(v, 2), [-1, 1.5, "3", True], [0, 1]),
    "LSTM num_layers": (lambda v: nn.LSTM(2, 3, v), [0, -1, 1.5], [1, 2]),
    "GRU hidden_size": (lambda v: nn.GRU(2, v), [0, -1], [1]),
    "RNN dropout": (lambda v: nn.RNN(2, 3, dropout=v), [-0.1, 2, NAN], [0, 1]),
    "LSTM proj_size": (lambda v: nn.LSTM(2, 3, proj_size=v), [-1, 3, 1.5], [0, 2]),
    "uniform": (lambda v: nets.random.uniform(3, 0, v), [-1, NAN, "a"], [0, 2]),
    "normal": (lambda v: nets.random.normal(3, 0, v), [-1, NAN, None], [0, 2]),
    "random shape": (lambda v: nets.random.uniform(v), [-1, (2, -1), 1.5, "3"], [0, (), [2, 3]]),
    "random dtype": (lambda v: nets.random.uniform(2, dtype=v), ["int32", "x", 3], ["float64"]),
    "randint": (lambda v: nets.random.randint(0, v), [0, -1, 2**33, 1.5], [1, 2**32]),
    "permutation": (lambda v: nets.random.permutation(v), [-1, 1.0], [0, 3]),
    "seed": (lambda v: nets.random.key(v), [1.5, "a", None], [0, -1, 2**70]),
    "bernoulli": (lambda v: nets.random.bernoulli(v), [-0.1, 1.1, NAN, [0.5, 2]], [0, 1, [0, 0.5]]),
    "probabilities": (chances, [CHANCES - 0.1, CHANCES + 0.1, CHANCES * NAN], [CHANCES]),
}  # fmt: skip
MADE: dict[str, Options] = {
    **{
        f"{make.__name__} {name}": (
            lambda v, make=make, name=name: make(parameter(), **{name: v}), bad, good
        )
        for make, name, bad, good in (
            (optim.SGD, "lr", [-1, NAN, INF], [0, 1]),
            (optim.SGD, "momentum", [-0.1, NAN], [0, 0.9]),
            (optim.SGD, "weight_decay", [-0.1, NAN], [0, 0.1]),
            (optim.SGD, "nesterov", [True], [False]),
            (optim.Adam, "lr", [-1, NAN], [0, 1]),
            (optim.Adam, "betas", [(1.0, 0.9), (0.9, 1.0), (-0.1, 0.9), (NAN, 0.9), (0.9,)],
             [(0, 0)]),
            (optim.Adam, "eps", [-1, NAN], [0, 1e-3]),
            (optim.AdamW, "weight_decay", [-1, NAN], [0, 1]),
            (optim.RMSprop, "alpha", [-1, NAN], [0, 0.5]),
            (optim.RMSprop, "momentum", [-1], [0]),
            (optim.Adagrad, "lr_decay", [-1, NAN], [0]),
            (optim.Adagrad, "initial_accumulator_value", [-1], [0, 1]),
            (optim.Lion, "betas", [(1.0, 0.9), (0.9, -1)], [(0.9, 0.99)]),
        )
    },
    "StepLR": (lambda v: schedule(optim.StepLR, v), [0, -1, 1.5], [1]),
    "LinearLR start": (lambda v: schedule(optim.LinearLR, v), [0, -1, 1.5, NAN], [0.1, 1]),
    "LinearLR end": (lambda v: schedule(optim.LinearLR, 0.5, v), [-1, 1.5], [0, 1]),
    "LinearLR total": (lambda v: schedule(optim.LinearLR, total_iters=v), [0, -1], [1]),
    "CosineAnnealingLR": (lambda v: schedule(optim.CosineAnnealingLR, v), [0, -1], [1]),
    "OneCycleLR steps": (lambda v: schedule(optim.OneCycleLR, 1.0, v), [0, -1, 1.5], [1, 2, 10]),
    "OneCycleLR start": (
        lambda v: schedule(optim.OneCycleLR, 1.0, 10, pct_start=v), [-0.1, 1.1, NAN], [0, 0.1, 1]
    ),
    "ReduceLROnPlateau": (lambda v: schedule(optim.ReduceLROnPlateau, factor=v), [1, -1, NAN],
                          [0, 0.5]),
    "patience": (lambda v: schedule(optim.ReduceLROnPlateau, patience=v), [-1, 0.5], [0]),
    "uniform_": (lambda v: nn.init.uniform_(nets.zeros(3), 0, v), [-1, NAN], [0, 1]),
    "normal_": (lambda v: nn.init.normal_(nets.zeros(3), 0, v), [-1, NAN], [0, 1]),
    "trunc_normal_ bounds": (
        lambda v: nn.init.trunc_normal_(nets.zeros(3), a=0, b=v), [-1, 0, NAN], [1, INF]
    ),
    "trunc_normal_ mean": (
        lambda v: nn.init.trunc_normal_(nets.zeros(3), v), [1000, -9, INF], [0, 2]
    ),
    "trunc_normal_ std": (
        lambda v: nn.init.trunc_normal_(nets.zeros(3), 1, v), [-1, NAN], [0, 1]
    ),
    "eye_": (lambda v: nn.init.eye_(nets.zeros(v)), [3, (2, 2, 2)], [(2, 3)]),
    "mode": (lambda v: nn.init.kaiming_normal_(nets.zeros((2, 3)), mode=v), ["fan", None],
             ["fan_in", "fan_out"]),
    "xavier": (lambda v: nn.init.xavier_uniform_(nets.zeros((0, 0)), v), [-1, NAN], [1]),
    "clip_grad_norm_": (lambda v: nn.utils.clip_grad_norm_(parameter(), v), [-1, NAN], [0, 1]),
    "norm_type": (lambda v: nn.utils.clip_grad_norm_(parameter(), 1, v), [0, -1], [1, 2, INF]),
    "clip_grad_value_": (lambda v: nn.utils.clip_grad_value_(parameter(), v), [-1, NAN], [0, 1]),
}  # fmt: skip


def refused(call: Callable[[], Any]) -> None:
    with pytest.raises(NetsError) as caught:
        call()
    assert isinstance(caught.value, (ArgumentError, ShapeError, nets.errors.DTypeError))
    assert "test_refused_options.py" in str(caught.value)  # the user's line


@pytest.mark.parametrize("name", [*FUNCTIONS, *MADE])
@pytest.mark.sampled(3)
def test_options_at_once(name: str) -> None:
    call, bad, good = (FUNCTIONS | MADE)[name]
    for value in bad:
        refused(lambda value=value: call(value))
    for value in good:
        call(value)


@pytest.mark.parametrize("name", [name for name in FUNCTIONS if name[0].islower()])
@pytest.mark.sampled(5)
def test_options_in_a_trace(name: str) -> None:
    call, bad, good = FUNCTIONS[name]
    for value in bad:
        refused(lambda value=value: nets.trace(lambda: call(value))())
    nets.trace(lambda: call(good[0])).lower()


@pytest.mark.long
def test_probabilities_are_checked_when_compiled_code_runs(tmp_path: Any) -> None:
    loss = nets.trace(chances)
    draw = nets.trace(lambda p: nets.random.bernoulli(p, key=nets.random.key(0)))
    nets.export(tmp_path / "chances", loss=loss.lower(CHANCES), draw=draw.lower(CHANCES))
    library = nets.load(tmp_path / "chances.so")
    for call in (loss, draw, library.loss, library.draw):
        call(CHANCES)
        for bad in (CHANCES - 0.1, CHANCES + 0.1, CHANCES * NAN):
            with pytest.raises(ArgumentError, match="probability"):
                call(bad)
