"""Random networks of ``nets.nn``, with data and a step that trains them.

Training steps hold what programs of single operations rarely bring together: residuals, norms,
products and losses with the gradients of all parameters, and updates in place.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

import nets
from nets import nn, optim
from nets.ops.definition.registry import Array

CLASSES = 5

_ACTIVATIONS = (nn.ReLU, nn.Tanh, nn.GELU, nn.SiLU, nn.Sigmoid, nn.Softplus, nn.ELU, nn.Mish)


class Residual(nn.Module):
    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, x: Any) -> Any:
        return x + self.inner(x)


class Text(nn.Module):
    """Classes of texts of symbols: an embedding, something over their length, and a mean."""

    def __init__(self, symbols: int, width: int, core: nn.Module) -> None:
        super().__init__()
        self.embedding = nn.Embedding(symbols, width)
        self.core = core
        self.head = nn.Linear(width, CLASSES)

    def forward(self, x: Any) -> Any:
        found = self.core(self.embedding(x))
        features = found[0] if isinstance(found, tuple) else found
        return self.head(features.mean(axis=1))


def dense_network(rng: np.random.Generator) -> tuple[nn.Module, Array]:
    width, rows = int(rng.choice([3, 17, 64])), int(rng.choice([2, 33, 130]))
    x = rng.standard_normal((rows, width)).astype(np.float32)
    layers: list[nn.Module] = []
    for _ in range(rng.integers(1, 5)):
        layer, width = _dense_layer(rng, width)
        layers += [layer, rng.choice(_ACTIVATIONS)()]
    return nn.Sequential(*layers, nn.Linear(width, CLASSES)), x


def _dense_layer(rng: np.random.Generator, width: int) -> tuple[nn.Module, int]:
    """A layer for rows of that width, and the width of what it returns."""
    kind = rng.integers(4)
    if kind == 0:
        wider = int(rng.choice([16, 31]))
        return nn.Linear(width, wider, bias=bool(rng.integers(2))), wider
    if kind == 1:
        return rng.choice([nn.LayerNorm, nn.RMSNorm, nn.BatchNorm1d])(width), width
    if kind == 2:
        return nn.Dropout(0.3), width
    inner = nn.Linear(width, 2 * width), rng.choice(_ACTIVATIONS)(), nn.Linear(2 * width, width)
    return Residual(nn.Sequential(nn.LayerNorm(width), *inner)), width


def image_network(rng: np.random.Generator) -> tuple[nn.Module, Array]:
    channels, outputs = int(rng.choice([1, 3])), int(rng.choice([4, 6]))
    height, width = (int(size) for size in rng.choice([7, 8, 11, 16], 2))
    x = rng.standard_normal((3, channels, height, width)).astype(np.float32)
    groups = int(rng.choice([1, outputs]))
    layers = [
        nn.Conv2d(channels, outputs, 3, stride=int(rng.integers(1, 3)), padding=1),
        rng.choice([nn.BatchNorm2d, nn.Identity])(outputs),
        rng.choice(_ACTIVATIONS)(),
        nn.Conv2d(outputs, outputs, 3, padding=1, groups=groups),
        [nn.MaxPool2d(2), nn.AvgPool2d(2), nn.MaxPool2d(3, stride=2, padding=1)][rng.integers(3)],
        nn.Flatten(),
    ]
    body = nn.Sequential(*layers)
    features = body.eval()(nets.Tensor(x)).shape[1]
    return nn.Sequential(body.train(), nn.Linear(features, CLASSES)), x


def text_network(rng: np.random.Generator) -> tuple[nn.Module, Array]:
    symbols, width = 11, int(rng.choice([4, 8, 32]))
    x = rng.integers(0, symbols, (int(rng.choice([1, 5, 8])), int(rng.choice([1, 7, 33]))))
    heads, is_first = int(rng.choice([1, 2, 4])), bool(rng.integers(2))
    cores: list[Callable[[], nn.Module]] = [
        lambda: nn.LSTM(width, width, batch_first=True),
        lambda: nn.GRU(width, width, batch_first=True),
        lambda: nn.TransformerEncoderLayer(
            width, heads, 2 * width, dropout=0.1, batch_first=True, norm_first=is_first
        ),
    ]
    return Text(symbols, width, cores[rng.integers(len(cores))]()), x


NETWORKS = (dense_network, image_network, text_network)


def training(seed: int) -> tuple[nn.Module, Callable[[Any, Any], Any], tuple[Any, Any]]:
    """A network, a step that trains it and returns the loss, and the images and labels it takes."""
    rng = np.random.default_rng(seed)
    nets.manual_seed(seed)
    model, x = NETWORKS[seed % len(NETWORKS)](rng)
    labels = nets.Tensor(rng.integers(0, CLASSES, len(x)))
    # With the usual eps, Adam's first step is the sign of a gradient that may be rounding alone.
    optimizer = (
        optim.Adam(model.parameters(), lr=1e-3, eps=1e-3)
        if rng.integers(2)
        else optim.SGD(model.parameters(), lr=0.05, momentum=0.9)
    )
    loss_of = nn.CrossEntropyLoss()

    def step(x: Any, labels: Any) -> Any:
        optimizer.zero_grad()
        loss = loss_of(model(x), labels)
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 5.0)
        optimizer.step()
        return loss

    return model, step, (nets.Tensor(x), labels)


def train(seed: int, steps: int, **options: Any) -> tuple[list[float], dict[str, Array]]:
    """The losses of some training steps, and all parameters and buffers after them.

    Runs eagerly, or with ``options``, which are those of ``nets.trace``, compiled.
    """
    model, step, data = training(seed)
    run = nets.trace(step, **options) if options else step
    losses = [float(run(*data).item()) for _ in range(steps)]
    return losses, {name: np.array(value) for name, value in model.state_dict().items()}
