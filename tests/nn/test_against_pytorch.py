"""Layers and losses against numbers PyTorch 2.13 computed once from the same weights in float64;
and the same layers inside a trace."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

import nets
from nets import nn

W = np.array([0.2, 1.0, 3.0])
Names = {name: getattr(nn, name) for name in nn.__all__} | {"W": W}


def wave(shape: tuple[int, ...], shift: float = 0.0) -> npt.NDArray[np.float64]:
    """Numbers that look random and are the same everywhere."""
    return np.sin(1.7 * np.arange(int(np.prod(shape))) + shift).reshape(shape)


def made(text: str) -> nn.Module:
    """The module, its weights filled by wave."""
    module: nn.Module = eval(text, dict(Names))  # an expression of the tables below
    module.double()
    state = module.state_dict()
    for i, (name, array) in enumerate(state.items()):
        if array.dtype.kind == "f" and "running" not in name:
            state[name] = wave(array.shape, i) * 0.5
    module.load_state_dict(state)
    return module


def first(output: Any) -> nets.Tensor:
    result: nets.Tensor = output[0] if isinstance(output, tuple) else output
    return result


# Per module: shape of the input, and weighted sums of the output, of the gradient of the input,
# and of the gradients of the parameters.
LAYERS = {
    "Linear(5, 3)": ((4, 5), 1.7754260993235529, -2.1257263767064356, -4.862307281850128),
    "BatchNorm1d(3)": ((6, 3), 1.6827843420524888, 0.8958128858428627, -2.270236838068991),
    "BatchNorm2d(2)": ((3, 2, 4, 3), 10.245028222941755, 7.144233827351451, -17.58209322144007),
    "LayerNorm((3, 4))": ((2, 3, 4), 3.5337236831275045, -0.2320480972363319, 2.722943240464267),
    "GroupNorm(2, 4)": ((2, 4, 3), -0.7757628121317603, -0.3092428602540505, 0.018018769840269955),
    "RMSNorm(4)": ((3, 4), -0.27505870080369144, -0.5069363769564904, 0.5034894063346446),
    "RNN(3, 2, num_layers=2, bidirectional=True)": (
        (4, 2, 3),
        -3.230091496798174,
        0.42968184906704676,
        -2.4031216527678723,
    ),
    "GRU(3, 2, num_layers=2, bidirectional=True)": (
        (4, 2, 3),
        -1.202046499425001,
        -0.01616340929893173,
        1.5863792763836146,
    ),
    "LSTM(3, 2, num_layers=2, bidirectional=True)": (
        (4, 2, 3),
        -1.204848532016203,
        -0.030538440569095306,
        0.8194484843245311,
    ),
    "LSTM(3, 2, batch_first=True)": (
        (4, 2, 3),
        -0.35111873374818314,
        -0.017064603244733953,
        0.22927570633569622,
    ),
    "TransformerEncoderLayer(4, 2, 6, 0.0)": (
        (3, 2, 4),
        -5.087471302837109,
        0.8280464787405376,
        7.078140252288835,
    ),
    "TransformerEncoderLayer(4, 2, 6, 0.0, activation='gelu', batch_first=True, norm_first=True)": (
        (3, 2, 4),
        15.888786844853986,
        6.756477458842124,
        -1.4365585601547926,
    ),
    "Conv2d(2, 4, 3, stride=2, padding=1)": (
        (2, 2, 5, 6),
        -2.4133936243387604,
        -1.950568148090157,
        7.727529372871587,
    ),
    "Conv2d(4, 4, 3, dilation=2, groups=2)": (
        (1, 4, 6, 7),
        1.4865036715829647,
        2.161127485381276,
        0.6129553901286942,
    ),
    "Conv2d(2, 2, (1, 3), padding='same')": (
        (1, 2, 3, 4),
        1.0132326643344765,
        -0.9706927343787306,
        -0.6219436202601047,
    ),
    "Conv1d(2, 3, 3, padding=1)": (
        (2, 2, 5),
        -0.25975937205123784,
        0.9089442375669093,
        4.484406589277515,
    ),
    "ConvTranspose2d(4, 2, 3, stride=2, padding=1, output_padding=1, groups=2)": (
        (1, 4, 3, 4),
        -1.1317406060178632,
        -0.06691311487177376,
        2.3057237412347953,
    ),
    "MaxPool2d(3, 2, 1)": ((2, 2, 5, 6), 1.3943732511201454, -1.8664192161202202, 0.0),
    "AvgPool2d(3, 2, 1)": ((2, 2, 5, 6), 0.10632522876588388, -0.07774688144825154, 0.0),
    "AvgPool2d(3, 2, 1, count_include_pad=False)": (
        (2, 2, 5, 6),
        0.20912397876993713,
        -0.113842175952343,
        0.0,
    ),
    "ELU(1.3)": ((9,), 3.4438609089879924, 2.246782110041859, 0.0),
    "SELU()": ((9,), 3.996440827493685, 2.650759586546489, 0.0),
    "GELU()": ((9,), 2.025925698414372, 1.2009469264817139, 0.0),
    "Mish()": ((9,), 2.3035062649653235, 1.4331811509585646, 0.0),
    "Softplus(2.0)": ((9,), 2.39084362594156, 1.2281234398054794, 0.0),
    "LogSigmoid()": ((9,), 0.8053176727176498, 1.3089134571300973, 0.0),
    "Hardtanh(-0.5, 0.7)": ((9,), 2.768374795704277, 1.1495651346186166, 0.0),
    "PReLU(3)": ((2, 3), 1.256816067068973, 1.0949234869745157, 0.07862859520576475),
}

LOSSES = {
    "CrossEntropyLoss()": ("classes", 1.4640710161423254, -0.5076876908128353),
    "CrossEntropyLoss(W, label_smoothing=0.1)": (
        "classes",
        1.0809512227141165,
        -0.15771745650637875,
    ),
    "CrossEntropyLoss(W, reduction='sum', label_smoothing=0.1)": (
        "probabilities",
        11.452911254244192,
        -0.7991460233368552,
    ),
    "NLLLoss(W)": ("classes", -0.5292383240998842, -0.1941997056043684),
    "MSELoss()": ("probabilities", 1.5354056251236277, -0.3253421919810153),
    "L1Loss(reduction='sum')": ("probabilities", 16.117396391442387, -2.465080459966274),
    "SmoothL1Loss(beta=0.3)": ("probabilities", 0.929208733800095, -0.13568589200126935),
    "HuberLoss(delta=0.3)": ("probabilities", 0.2787626201400285, -0.040705767600380804),
    "BCEWithLogitsLoss(W, pos_weight=W)": (
        "probabilities",
        1.270193678822691,
        -0.09955497961397264,
    ),
    "KLDivLoss('batchmean')": ("probabilities", -1.917902604184103, -0.060379897877035266),
}


@pytest.mark.parametrize("text", LAYERS)
def test_values_and_gradients_are_pytorchs(text: str) -> None:
    shape, output, of_input, of_parameters = LAYERS[text]
    module = made(text)
    x = nets.Tensor(wave(shape, 0.3), requires_grad=True)
    found = first(module(x))
    total = nets.sum(found * wave(found.shape, 1.0))
    total.backward()
    assert total.item() == pytest.approx(output, rel=1e-9, abs=1e-12)
    assert x.grad is not None
    assert nets.sum(x.grad * wave(shape, 2.0)).item() == pytest.approx(of_input, rel=1e-9)
    of_each = [np.sum(np.asarray(p.grad) * wave(p.shape, 3.0)) for p in module.parameters()]
    assert float(np.sum(of_each)) == pytest.approx(of_parameters, rel=1e-9)


@pytest.mark.parametrize("text", LOSSES)
def test_losses_are_pytorchs(text: str) -> None:
    kind, loss, gradient = LOSSES[text]
    target = np.array([0, 2, 1, 2, -100]) if kind == "classes" else wave((5, 3), 0.5) * 0.4 + 0.5
    x = nets.Tensor(wave((5, 3), 0.3) * 2, requires_grad=True)
    criterion = eval(text, dict(Names))
    found = criterion(x, target)
    found.backward()
    assert found.item() == pytest.approx(loss, rel=1e-9)
    assert x.grad is not None
    assert nets.sum(x.grad * wave((5, 3), 2.0)).item() == pytest.approx(gradient, rel=1e-9)
    assert nets.trace(criterion)(x, target).item() == pytest.approx(loss, rel=1e-9)


IN_TRACES = [
    "Linear(5, 3)",
    "BatchNorm2d(2)",
    "LSTM(3, 2, batch_first=True)",
    "TransformerEncoderLayer(4, 2, 6, 0.0)",
    "Conv2d(4, 4, 3, dilation=2, groups=2)",
    "ConvTranspose2d(4, 2, 3, stride=2, padding=1, output_padding=1, groups=2)",
    "MaxPool2d(3, 2, 1)",
]


@pytest.mark.parametrize("text", IN_TRACES)
def test_a_traced_layer_does_what_the_eager_one_does(text: str) -> None:
    shape = LAYERS[text][0]
    eager, traced = made(text), made(text)
    x = wave(shape, 0.3)
    compiled = nets.trace(lambda x: first(traced(x)))
    for _ in range(2):  # the second call finds the buffers the first has left
        np.testing.assert_allclose(compiled(x).data, first(eager(x)).data, rtol=1e-12, atol=1e-12)
    for name, array in eager.state_dict().items():
        np.testing.assert_allclose(traced.state_dict()[name], array, rtol=1e-12, err_msg=name)
