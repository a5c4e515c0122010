"""Layers and losses against PyTorch, from the same weights: values, gradients, ten steps."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

import nets
from nets import nn, optim

torch: Any = pytest.importorskip(
    "torch", reason='PyTorch is not installed: pip install "nets-compiler[torch]"'
)

Array = npt.NDArray[Any]
W = np.array([0.2, 1.0, 3.0])
OURS = {name: getattr(nn, name) for name in nn.__all__} | {"W": W}
THEIRS = vars(torch.nn) | {"W": torch.tensor(W)}


def wave(shape: tuple[int, ...], shift: float = 0.0) -> npt.NDArray[np.float64]:
    """Numbers that look random and are the same everywhere."""
    return np.sin(1.7 * np.arange(int(np.prod(shape))) + shift).reshape(shape)


def pair(text: str, dtype: str = "float64") -> tuple[nn.Module, Any]:
    """The module the text makes in nets and in PyTorch, with PyTorch's weights.

    The weights come over as a dict of arrays, under PyTorch's names.
    """
    ours: nn.Module = eval(text, dict(OURS)).astype(dtype)
    theirs = eval(text, dict(THEIRS)).to(getattr(torch, dtype))
    with torch.no_grad():
        for i, p in enumerate(theirs.parameters()):
            p.copy_(torch.tensor(wave(tuple(p.shape), i) * 0.5))
    ours.load_state_dict({name: x.numpy() for name, x in theirs.state_dict().items()})
    return ours, theirs


def first(output: Any) -> Any:
    return output[0] if isinstance(output, tuple) else output


def state(module: Any) -> dict[str, Array]:
    return {name: np.asarray(x) for name, x in module.state_dict().items()}


# Each module with the shape of its input; attention takes it three times.
LAYERS = {
    "Linear(5, 3)": (4, 5),
    "Linear(5, 3, bias=False)": (2, 3, 5),
    "BatchNorm1d(3)": (6, 3),
    "BatchNorm1d(3, momentum=None)": (4, 3, 5),
    "BatchNorm1d(3, track_running_stats=False, affine=False)": (6, 3),
    "BatchNorm2d(2)": (3, 2, 4, 3),
    "LayerNorm((3, 4))": (2, 3, 4),
    "LayerNorm(4, bias=False)": (2, 3, 4),
    "GroupNorm(2, 4)": (2, 4, 3),
    "RMSNorm(4)": (3, 4),
    "RNN(3, 2, num_layers=2, bidirectional=True)": (4, 2, 3),
    "RNN(3, 2, nonlinearity='relu', bias=False)": (4, 2, 3),
    "GRU(3, 2, num_layers=2, bidirectional=True)": (4, 2, 3),
    "LSTM(3, 2, num_layers=2, bidirectional=True)": (4, 2, 3),
    "LSTM(3, 2, batch_first=True)": (4, 2, 3),
    "LSTM(3, 4, 2, bidirectional=True, proj_size=2)": (4, 2, 3),
    "MultiheadAttention(6, 2)": (3, 2, 6),
    "MultiheadAttention(6, 3, bias=False, batch_first=True)": (3, 2, 6),
    "MultiheadAttention(6, 2, kdim=5, vdim=4)": (3, 6),
    "TransformerEncoderLayer(4, 2, 6, 0.0)": (3, 2, 4),
    "TransformerEncoderLayer(4, 2, 6, 0.0, 'gelu', batch_first=True, norm_first=True)": (3, 2, 4),
    "Conv1d(2, 3, 3, padding=1)": (2, 2, 5),
    "Conv2d(2, 4, 3, stride=2, padding=1)": (2, 2, 5, 6),
    "Conv2d(4, 4, 3, dilation=2, groups=2)": (1, 4, 6, 7),
    "Conv2d(2, 2, (1, 3), padding='same', bias=False)": (1, 2, 3, 4),
    "ConvTranspose2d(4, 2, 3, stride=2, padding=1, output_padding=1, groups=2)": (1, 4, 3, 4),
    "MaxPool1d(2, ceil_mode=True)": (2, 5),
    "MaxPool2d(3, 2, 1)": (2, 2, 5, 6),
    "MaxPool2d(2, 3, 1, 2, ceil_mode=True)": (2, 2, 7, 9),
    "AvgPool1d(3, 2, 1, True)": (2, 6),
    "AvgPool2d(2, 3, 1, ceil_mode=True)": (2, 2, 6, 8),
    "AvgPool2d(3, 2, 1)": (2, 2, 5, 6),
    "AvgPool2d(3, 2, 1, True, False)": (2, 2, 5, 6),
    "Flatten()": (2, 3, 4),
    "Sequential(Conv2d(1, 2, 3), ReLU(), MaxPool2d(2), Flatten(), Linear(8, 3))": (2, 1, 6, 6),
    "PReLU(3)": (2, 3, 4),
    "PReLU()": (2, 3),
    **dict.fromkeys(
        (
            "ReLU()",
            "ReLU6()",
            "LeakyReLU(0.2)",
            "ELU(1.3)",
            "SELU()",
            "CELU(0.7)",
            "GELU()",
            "GELU('tanh')",
            "SiLU()",
            "Mish()",
            "Tanh()",
            "Sigmoid()",
            "LogSigmoid()",
            "Hardtanh(-0.5, 0.7)",
            "Hardsigmoid()",
            "Hardswish()",
            "Softplus(2.0)",
            "Softsign()",
            "Softmax(1)",
            "LogSoftmax(0)",
            "GLU(0)",
        ),
        (4, 5),
    ),
}

IN_FLOAT32 = ("CELU(0.7)", "Hardsigmoid()")
"""What PyTorch computes with constants of 24 bits even in float64."""

TRAINED = [text for text in LAYERS if list(eval(text, dict(OURS)).parameters())]


def inputs(text: str, x: Any) -> tuple[Any, ...]:
    if "kdim" in text:
        return x, x[..., :5], x[..., :4]
    return (x, x, x) if text.startswith("Multihead") else (x,)


@pytest.mark.parametrize("text", LAYERS)
def test_values_and_gradients_are_pytorchs(text: str) -> None:
    ours, theirs = pair(text)
    shape = LAYERS[text]
    x = nets.Tensor(wave(shape, 0.3) * 4, requires_grad=True)
    y = torch.tensor(x.data.copy(), requires_grad=True)
    found, expected = first(ours(*inputs(text, x))), first(theirs(*inputs(text, y)))
    assert found.shape == tuple(expected.shape)
    found.backward(nets.Tensor(wave(found.shape, 1.0)))
    expected.backward(torch.tensor(wave(found.shape, 1.0)))
    near: dict[str, Any] = {"rtol": 1e-6 if text in IN_FLOAT32 else 1e-9, "atol": 1e-12}
    np.testing.assert_allclose(found.data, expected.detach(), **near)
    np.testing.assert_allclose(np.asarray(x.grad), y.grad, **near)
    of_theirs = dict(theirs.named_parameters())
    for name, p in ours.named_parameters():
        np.testing.assert_allclose(np.asarray(p.grad), of_theirs[name].grad, **near, err_msg=name)
    for name, array in state(theirs).items():  # running statistics, too
        np.testing.assert_allclose(state(ours)[name], array, **near, err_msg=name)
    ours.eval()
    expected = first(theirs.eval()(*inputs(text, y.detach()))).detach()
    np.testing.assert_allclose(first(ours(*inputs(text, x))).data, expected, **near)


@pytest.mark.filterwarnings("ignore:LSTM with projections")
@pytest.mark.parametrize("text", TRAINED)
def test_ten_training_steps_end_where_pytorchs_do(text: str) -> None:
    """In float32, one native call each."""
    ours, theirs = pair(text, "float32")
    x = (wave(LAYERS[text], 0.3) * 2).astype("float32")
    target = wave(first(ours(*inputs(text, x))).shape, 1.0).astype("float32")
    ours.load_state_dict(state(theirs))  # running statistics have moved
    optimizer = optim.SGD(ours.parameters(), lr=0.05, momentum=0.9)
    criterion = nn.MSELoss()

    @nets.trace
    def step(x: nets.Tensor, target: nets.Tensor) -> nets.Tensor:
        optimizer.zero_grad()
        loss: nets.Tensor = criterion(first(ours(*inputs(text, x))), target)
        loss.backward()
        optimizer.step()
        return loss

    theirs_optimizer = torch.optim.SGD(theirs.parameters(), lr=0.05, momentum=0.9)
    for _ in range(10):
        theirs_optimizer.zero_grad()
        output = first(theirs(*inputs(text, torch.tensor(x))))
        loss = torch.nn.functional.mse_loss(output, torch.tensor(target))
        loss.backward()
        theirs_optimizer.step()
        assert step(x, target).item() == pytest.approx(loss.item(), rel=1e-4)
    for name, array in state(theirs).items():
        np.testing.assert_allclose(state(ours)[name], array, rtol=1e-4, atol=1e-5, err_msg=name)


# Each loss with the kind of its targets.
LOSSES = {
    "CrossEntropyLoss()": "classes",
    "CrossEntropyLoss(W, label_smoothing=0.1)": "classes",
    "CrossEntropyLoss(W, reduction='none', ignore_index=1)": "classes",
    "CrossEntropyLoss(W, reduction='sum', label_smoothing=0.1)": "probabilities",
    "CrossEntropyLoss(label_smoothing=0.2)": "one-hot",
    "NLLLoss(W)": "classes",
    "MSELoss()": "probabilities",
    "L1Loss(reduction='sum')": "probabilities",
    "SmoothL1Loss(beta=0.3)": "probabilities",
    "SmoothL1Loss(beta=0)": "probabilities",
    "HuberLoss(delta=0.3)": "probabilities",
    "BCELoss(W, reduction='none')": "probabilities",
    "BCEWithLogitsLoss(W, pos_weight=W)": "probabilities",
    "KLDivLoss(reduction='batchmean')": "probabilities",
    "KLDivLoss(reduction='sum', log_target=True)": "probabilities",
}


@pytest.mark.parametrize("text", LOSSES)
def test_losses_are_pytorchs(text: str) -> None:
    targets = {
        "classes": np.array([0, 2, 1, 2, -100 if "ignore" not in text else 1]),
        "probabilities": wave((5, 3), 0.5) * 0.4 + 0.5,
        "one-hot": np.eye(3)[[0, 2, 1, 2, 0]],
    }
    target = targets[LOSSES[text]]
    ours, theirs = eval(text, dict(OURS)), eval(text, dict(THEIRS))
    scores = wave((5, 3), 0.3) * (0.4 if "BCELoss" in text else 2) + 0.5 * ("BCELoss" in text)
    x = nets.Tensor(scores, requires_grad=True)
    y = torch.tensor(scores, requires_grad=True)
    found, expected = ours(x, target), theirs(y, torch.tensor(target))
    found.backward(nets.ones(found.shape))
    expected.backward(torch.ones_like(expected))
    np.testing.assert_allclose(found.data, expected.detach(), rtol=1e-9)
    np.testing.assert_allclose(np.asarray(x.grad), y.grad, rtol=1e-9, atol=1e-15)
    np.testing.assert_allclose(nets.trace(ours)(x, target).data, expected.detach(), rtol=1e-9)


INITIAL = [
    "Linear(300, 200)",
    "Conv1d(20, 30, 9)",
    "Conv2d(16, 32, 5, groups=2)",
    "ConvTranspose2d(32, 16, 5)",
    "Embedding(300, 100)",
    "RNN(50, 60)",
    "GRU(50, 60)",
    "LSTM(50, 60)",
    "MultiheadAttention(96, 4)",
    "TransformerEncoderLayer(64, 4, 200)",
    "BatchNorm2d(7)",
    "GroupNorm(2, 8)",
    "LayerNorm(9)",
    "PReLU()",
]


@pytest.mark.parametrize("text", INITIAL)
def test_parameters_start_as_pytorchs(text: str) -> None:
    """Of one distribution: the same mean, deviation and range, as far as chance lets one say."""
    nets.manual_seed(0)
    torch.manual_seed(0)
    ours, theirs = state(eval(text, dict(OURS))), state(eval(text, dict(THEIRS)))
    assert list(ours) == list(theirs)
    for name, expected in theirs.items():
        found = ours[name]
        assert (found.shape, found.dtype) == (expected.shape, expected.dtype), name
        scale = max(float(expected.std()), 1e-6)
        chance = 5 * scale / np.sqrt(expected.size)
        assert abs(found.mean() - expected.mean()) < 1.5 * chance, name
        assert abs(found.std() - expected.std()) < 1.5 * chance, name
        if expected.size > 1000 and "Embedding" not in text:  # a uniform distribution shows its end
            assert np.abs(found).max() == pytest.approx(np.abs(expected).max(), rel=0.02), name
