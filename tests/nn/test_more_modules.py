"""Layers beside PyTorch's: the same names, parameters and numbers, eager and traced."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import nets
from nets import nn
from nets.errors import ArgumentError, IndexOutOfBoundsError, MissingKeyError
from nets.nn.utils import rnn

torch = pytest.importorskip("torch")

RNG = np.random.default_rng(7)
LINE, IMAGE, VOLUME, ROWS = (
    RNG.normal(size=shape).astype("float32")
    for shape in ((2, 4, 9), (2, 4, 6, 6), (2, 4, 4, 6, 5), (5, 3))
)
STATE = RNG.normal(size=(5, 6)).astype("float32")
SEQUENCE = RNG.normal(size=(4, 5, 8)).astype("float32")
MEMORY = RNG.normal(size=(6, 5, 8)).astype("float32")

Make = Callable[[Any], Any]
LAYERS: dict[str, tuple[Make, tuple[Any, ...]]] = {
    "Conv3d": (lambda nn: nn.Conv3d(4, 6, (2, 3, 2), 2, 1, groups=2), (VOLUME,)),
    "ConvTranspose1d": (lambda nn: nn.ConvTranspose1d(4, 3, 3, 2, 1, 1), (LINE,)),
    "ConvTranspose2d": (lambda nn: nn.ConvTranspose2d(4, 6, 3, groups=2, bias=False), (IMAGE,)),
    "ConvTranspose3d": (lambda nn: nn.ConvTranspose3d(4, 2, 2, 2), (VOLUME,)),
    "MaxPool3d": (lambda nn: nn.MaxPool3d(2, return_indices=True), (VOLUME,)),
    "MaxPool2d": (lambda nn: nn.MaxPool2d(3, 2, 1, 1, True, True), (IMAGE,)),
    "AvgPool3d": (lambda nn: nn.AvgPool3d(2, 1, 1, divisor_override=3), (VOLUME,)),
    "LPPool1d": (lambda nn: nn.LPPool1d(2, 3), (LINE,)),
    "AdaptiveAvgPool2d": (lambda nn: nn.AdaptiveAvgPool2d((4, None)), (IMAGE,)),
    "AdaptiveMaxPool1d": (lambda nn: nn.AdaptiveMaxPool1d(4, return_indices=True), (LINE,)),
    "ReflectionPad2d": (lambda nn: nn.ReflectionPad2d((1, 2, 0, 1)), (IMAGE,)),
    "ReplicationPad3d": (lambda nn: nn.ReplicationPad3d(1), (VOLUME,)),
    "CircularPad1d": (lambda nn: nn.CircularPad1d(2), (LINE,)),
    "ConstantPad1d": (lambda nn: nn.ConstantPad1d((1, -2), 3.5), (LINE,)),
    "ZeroPad2d": (lambda nn: nn.ZeroPad2d(1), (IMAGE,)),
    "Upsample": (lambda nn: nn.Upsample(scale_factor=1.5, mode="bilinear"), (IMAGE,)),
    "UpsamplingNearest2d": (lambda nn: nn.UpsamplingNearest2d(9), (IMAGE,)),
    "PixelShuffle": (lambda nn: nn.PixelShuffle(2), (IMAGE,)),
    "Unfold": (lambda nn: nn.Unfold(2, stride=2), (IMAGE,)),
    "Fold": (lambda nn: nn.Fold((3, 4), 2), (RNG.normal(size=(1, 8, 6)).astype("float32"),)),
    "Unflatten": (lambda nn: nn.Unflatten(1, (2, 2)), (LINE,)),
    "BatchNorm3d": (lambda nn: nn.BatchNorm3d(4), (VOLUME,)),
    "InstanceNorm2d": (lambda nn: nn.InstanceNorm2d(4, affine=True), (IMAGE,)),
    "InstanceNorm1d": (lambda nn: nn.InstanceNorm1d(4, track_running_stats=True), (LINE,)),
    "LocalResponseNorm": (lambda nn: nn.LocalResponseNorm(2), (IMAGE,)),
    "Bilinear": (lambda nn: nn.Bilinear(3, 6, 2), (ROWS, STATE)),
    "EmbeddingBag": (
        lambda nn: nn.EmbeddingBag(7, 3, mode="sum", padding_idx=2),
        (np.array([[1, 2], [6, 0]]),),
    ),
    "PReLU": (lambda nn: nn.PReLU(4), (IMAGE,)),
    "Softmax2d": (lambda nn: nn.Softmax2d(), (IMAGE,)),
    "Threshold": (lambda nn: nn.Threshold(0.1, 3.0), (ROWS,)),
    "Softshrink": (lambda nn: nn.Softshrink(), (ROWS,)),
    "RNNCell": (lambda nn: nn.RNNCell(3, 6, nonlinearity="relu"), (ROWS, STATE)),
    "GRUCell": (lambda nn: nn.GRUCell(3, 6), (ROWS, STATE)),
    "LSTMCell": (lambda nn: nn.LSTMCell(3, 6), (ROWS,)),
    "TripletMarginLoss": (lambda nn: nn.TripletMarginLoss(), (ROWS, ROWS[::-1], ROWS * 2)),
    "PairwiseDistance": (lambda nn: nn.PairwiseDistance(3.0), (ROWS, ROWS[::-1])),
    "CosineSimilarity": (lambda nn: nn.CosineSimilarity(), (ROWS, ROWS[::-1])),
    "decoder layer": (
        lambda nn: nn.TransformerDecoderLayer(8, 2, 16, 0.0, "gelu", norm_first=True),
        (SEQUENCE, MEMORY),
    ),
    "Transformer": (lambda nn: nn.Transformer(8, 2, 1, 2, 12, 0.0), (MEMORY, SEQUENCE)),
}


def flat(result: Any) -> list[Any]:
    if isinstance(result, (tuple, list)):
        return [x for part in result for x in flat(part)]
    return [result]


def pair(make: Make) -> tuple[Any, Any]:
    """The layer of both, with one's parameters."""
    own, theirs = make(nn), make(torch.nn)
    state = {key: torch.from_numpy(np.array(x)) for key, x in own.state_dict().items()}
    theirs.load_state_dict(state)
    return own, theirs


@pytest.mark.parametrize("name", LAYERS)
@pytest.mark.filterwarnings("ignore:enable_nested_tensor")
def test_layers_are_those_of_pytorch(name: str) -> None:
    make, arrays = LAYERS[name]
    own, theirs = pair(make)
    assert [key for key, _ in own.named_parameters()] == [k for k, _ in theirs.named_parameters()]
    found = flat(own(*map(nets.Tensor, arrays)))
    expected = flat(theirs(*(torch.from_numpy(a.copy()) for a in arrays)))
    for a, b in zip(found, expected, strict=True):
        np.testing.assert_allclose(a.numpy(), b.detach().numpy(), rtol=2e-4, atol=2e-5)
    if not list(theirs.parameters()):
        return
    sum((x * x).sum() for x in found if x.dtype.kind == "f").backward()
    sum((x * x).sum() for x in expected if x.is_floating_point()).backward()
    for p, q in zip(own.parameters(), theirs.parameters(), strict=True):
        np.testing.assert_allclose(p.grad.numpy(), q.grad.numpy(), rtol=2e-3, atol=2e-3)


@pytest.mark.parametrize("kind", ["Bilinear", "RNNCell", "ConvTranspose3d", "Conv3d"])
def test_parameters_start_within_the_bounds_of_pytorch(kind: str) -> None:
    own = LAYERS[kind][0](nn)
    fresh = LAYERS[kind][0](torch.nn)
    for (name, p), q in zip(own.named_parameters(), fresh.parameters(), strict=True):
        if p.size < 16:
            continue
        largest = float(q.detach().abs().max())
        assert np.abs(p.numpy()).max() == pytest.approx(largest, rel=0.3), name


def test_arguments_are_in_the_order_of_pytorch() -> None:
    """Who passes options by position means the same in both, up to those that nets has not."""
    apart = {"MaxPool1d", "Transformer"} | {"NLLLoss", "CrossEntropyLoss"}
    left_out = {"device", "dtype", "size_average", "reduce", "_weight", "_freeze"}
    for name in nn.__all__:
        theirs = getattr(torch.nn, name, None)
        if not inspect.isclass(theirs) or name in apart or name in ("Module", "Parameter"):
            continue
        own = [p for p in inspect.signature(getattr(nn, name)).parameters if p not in left_out]
        wanted = [p for p in inspect.signature(theirs).parameters if p not in left_out]
        shared = [p for p in own if p in wanted]
        assert shared == [p for p in wanted if p in own], name


LENGTHS = [3, 5, 1, 4]


@pytest.mark.parametrize("kind", ["LSTM", "GRU", "RNN"])
@pytest.mark.parametrize("traced", [False, True])
def test_packed_sequences(kind: str, traced: bool) -> None:
    options: dict[str, Any] = {"num_layers": 2, "bidirectional": True, "batch_first": True}
    if kind == "LSTM":
        options["proj_size"] = 3
    own, theirs = pair(lambda nn: getattr(nn, kind)(4, 6, **options))
    x = RNG.normal(size=(4, 5, 4)).astype("float32")

    def run(x: Any) -> Any:
        packed = rnn.pack_padded_sequence(x, LENGTHS, batch_first=True, enforce_sorted=False)
        output, state = own(packed)
        return *rnn.pad_packed_sequence(output, True, -1.0, 6), *flat(state)

    found = (nets.trace(run) if traced else run)(nets.Tensor(x))
    room = torch.nn.utils.rnn
    packed = room.pack_padded_sequence(
        torch.from_numpy(x), torch.tensor(LENGTHS), batch_first=True, enforce_sorted=False
    )
    output, state = theirs(packed)
    expected = *room.pad_packed_sequence(output, True, -1.0, 6), *flat(state)
    for a, b in zip(found, expected, strict=True):
        np.testing.assert_allclose(a.numpy(), b.detach().numpy(), rtol=1e-4, atol=1e-5)


def test_packing_is_that_of_pytorch() -> None:
    x = RNG.normal(size=(5, 4, 2))
    room = torch.nn.utils.rnn
    own = rnn.pack_padded_sequence(x, LENGTHS, enforce_sorted=False)
    theirs = room.pack_padded_sequence(torch.from_numpy(x), LENGTHS, enforce_sorted=False)
    for a, b in zip(own, theirs, strict=True):
        np.testing.assert_array_equal(np.asarray(a), b.numpy())
    parts = rnn.unpack_sequence(own)
    assert [p.shape for p in parts] == [(n, 2) for n in LENGTHS]
    padded = rnn.pad_sequence(parts, True, 9.0, "left")
    assert padded.shape == (4, 5, 2)
    assert padded[2, 3, 0].item() == 9
    assert rnn.pack_sequence(sorted(parts, key=len, reverse=True)).data.shape == (13, 2)
    with pytest.raises(ArgumentError, match="enforce_sorted"):
        rnn.pack_padded_sequence(x, LENGTHS)
    with pytest.raises(ArgumentError, match="beyond"):
        rnn.pack_padded_sequence(x, [9, 1, 1, 1])


def test_containers_by_name() -> None:
    layers = nn.ModuleDict({"a": nn.Linear(2, 3), "b": nn.ReLU()})
    layers["c"] = nn.Linear(3, 1)
    assert list(layers) == ["a", "b", "c"]
    assert len(list(layers.parameters())) == 4
    assert isinstance(layers.pop("b"), nn.ReLU)
    assert "b" not in layers
    assert list(layers.state_dict()) == ["a.weight", "a.bias", "c.weight", "c.bias"]
    with pytest.raises(MissingKeyError):
        layers["b"]
    with pytest.raises(ArgumentError):
        layers["forward"] = nn.ReLU()
    numbers = nn.ParameterList([nets.zeros(2), nn.Parameter([1.0])])
    numbers.append(nets.ones(3))
    assert [p.size for p in numbers] == [2, 1, 3]
    assert list(numbers.state_dict()) == ["0", "1", "2"]
    assert numbers[-1] is numbers[2]
    with pytest.raises(IndexOutOfBoundsError):
        numbers[3]
    named = nn.ParameterDict({"w": nets.ones(2)})
    named["b"] = nets.zeros(2)
    assert sorted(named.keys()) == ["b", "w"]
    assert [n for n, _ in named.named_parameters()] == ["w", "b"]
    del named["w"]
    assert len(named) == 1


def test_a_layer_that_draws_is_still_in_evaluation() -> None:
    for layer in (nn.Dropout2d(), nn.AlphaDropout(), nn.FeatureAlphaDropout(), nn.RReLU(0.2, 0.2)):
        found = layer.eval()(nets.Tensor(IMAGE)).numpy()
        expected = np.where(IMAGE > 0, IMAGE, 0.2 * IMAGE) if isinstance(layer, nn.RReLU) else IMAGE
        np.testing.assert_allclose(found, expected, rtol=1e-6)
    assert nn.Dropout2d(0.5)(nets.ones((3, 8, 2, 2))).numpy().max() == 2


def test_a_model_of_cells_is_trained_in_one_program() -> None:
    cell, head = nn.LSTMCell(2, 8), nn.Linear(8, 1)
    optimizer = nets.optim.NAdam([*cell.parameters(), *head.parameters()], 2e-2)
    x = RNG.normal(size=(16, 6, 2)).astype("float32")
    y = x.sum((1, 2))[:, None]

    @nets.trace
    def step(x: Any, y: Any) -> Any:
        optimizer.zero_grad()
        state = None
        for i in range(6):
            state = cell(x[:, i], state)
        loss = nn.functional.huber_loss(head(state[0]), y)
        loss.backward()
        optimizer.step()
        return loss

    losses = [step(x, y).item() for _ in range(60)]
    assert losses[-1] < 0.5 * losses[0]
    assert all(map(math.isfinite, losses))
