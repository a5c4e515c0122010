"""Convolutions: forward, both gradients, and a training step of a small convolutional network."""

from __future__ import annotations

import numpy as np

from benchmarks import adam
from benchmarks.mlp import adam_in_torch
from benchmarks.workload import Bound, Builder, Run, Workload, normal

# ------------------------------------------------------------------- 3×3, 64 to 64, 56²

BATCH, CHANNELS, SIZE = 8, 64, 56
IMAGES = (BATCH, CHANNELS, SIZE, SIZE)
WEIGHT = (CHANNELS, CHANNELS, 3, 3)
FLOPS = 2.0 * np.prod(IMAGES) * np.prod(WEIGHT[1:])
LAYOUT = ("NCHW", "OIHW", "NCHW")


def conv_in_jax(jax):
    def conv(x, w):
        return jax.lax.conv_general_dilated(x, w, (1, 1), "SAME", dimension_numbers=LAYOUT)

    return conv


def forward_in_nets(nets):
    return lambda x, w: nets.conv(x, w, padding=1)


def forward_in_torch(torch):
    return lambda x, w: torch.nn.functional.conv2d(x, w, padding=1)


def input_gradient_in_nets(nets):
    return lambda ct, w: nets.conv_transpose(ct, w, padding=1)


def input_gradient_in_jax(jax):
    def gradient(ct, w):
        zero = jax.numpy.zeros(IMAGES, ct.dtype)
        return jax.vjp(lambda x: conv_in_jax(jax)(x, w), zero)[1](ct)[0]

    return gradient


def input_gradient_in_torch(torch):
    return lambda ct, w: torch.nn.grad.conv2d_input(IMAGES, w, ct, padding=1)


def weight_gradient_in_nets(nets):
    def gradient(x, ct):
        return nets.grad(lambda w: (nets.conv(x, w, padding=1) * ct).sum())(
            nets.zeros(WEIGHT, dtype="float32")
        )

    return gradient


def weight_gradient_in_jax(jax):
    def gradient(x, ct):
        zero = jax.numpy.zeros(WEIGHT, ct.dtype)
        return jax.vjp(lambda w: conv_in_jax(jax)(x, w), zero)[1](ct)[0]

    return gradient


def weight_gradient_in_torch(torch):
    return lambda x, ct: torch.nn.grad.conv2d_weight(x, WEIGHT, ct, padding=1)


def convolution(name: str, what: str, systems, *shapes) -> Workload:
    traffic = 4.0 * np.prod(IMAGES)
    nets, jax, torch = systems
    return Workload(
        name=f"conv/{name}",
        what=f"{what} of a convolution of 3×3, 64 to 64 channels, 8 images of 56×56",
        arguments=normal(*shapes),
        systems={"nets": nets, "jax": jax, "torch": torch},
        bound=Bound(flops=FLOPS, reads=traffic, writes=traffic),
        tolerance=1e-4,
    )


# --------------------------------------------------------------------- a training step

IMAGE, DEPTHS, HIDDEN, CLASSES, SAMPLES = 28, (1, 32, 64), 128, 10, 64
FLAT = DEPTHS[-1] * (IMAGE // 4) ** 2


def network(rng: np.random.Generator):
    """State of the network, images and labels."""
    shapes = {
        "c0": (DEPTHS[1], DEPTHS[0], 3, 3),
        "c1": (DEPTHS[2], DEPTHS[1], 3, 3),
        "w0": (HIDDEN, FLAT),
        "w1": (CLASSES, HIDDEN),
    }
    params = {}
    for name, shape in shapes.items():
        scale = np.sqrt(2 / np.prod(shape[1:]))
        params[name] = (rng.normal(size=shape) * scale).astype("float32")
        params[f"b{name}"] = np.zeros(shape[0], "float32")
    x = rng.normal(size=(SAMPLES, DEPTHS[0], IMAGE, IMAGE)).astype("float32")
    return adam.initial_state(params), x, rng.integers(0, CLASSES, SAMPLES)


def network_in_nets(nets):
    F = nets.nn.functional

    def loss(params, x, y):
        for name in ("c0", "c1"):
            x = F.relu(F.conv2d(x, params[name], params[f"b{name}"], padding=1))
            x = F.max_pool2d(x, 2)
        x = nets.reshape(x, (SAMPLES, FLAT))
        x = F.relu(x @ params["w0"].T + params["bw0"])
        scores = x @ params["w1"].T + params["bw1"]
        return -nets.take_along_axis(nets.log_softmax(scores, axis=1), y[:, None], axis=1).mean()

    def step(state, x, y):
        value, grads = nets.value_and_grad(loss)(state["params"], x, y)
        return value, adam.update(nets.sqrt, state, grads)

    return step


def network_in_jax(jax):
    def loss(params, x, y):
        for name in ("c0", "c1"):
            x = conv_in_jax(jax)(x, params[name]) + params[f"b{name}"][:, None, None]
            window = (1, 1, 2, 2)
            x = jax.lax.reduce_window(jax.nn.relu(x), -np.inf, jax.lax.max, window, window, "VALID")
        x = jax.nn.relu(x.reshape((SAMPLES, FLAT)) @ params["w0"].T + params["bw0"])
        logs = jax.nn.log_softmax(x @ params["w1"].T + params["bw1"], axis=1)
        return -jax.numpy.take_along_axis(logs, y[:, None], axis=1).mean()

    def step(state, x, y):
        value, grads = jax.value_and_grad(loss)(state["params"], x, y)
        return value, adam.update(jax.numpy.sqrt, state, grads)

    return step


def network_in_torch(torch, stage, state, x, y) -> Run:
    nn, params = torch.nn, state["params"]
    layers = {
        "c0": nn.Conv2d(*DEPTHS[:2], 3, padding=1),
        "c1": nn.Conv2d(*DEPTHS[1:], 3, padding=1),
        "w0": nn.Linear(FLAT, HIDDEN),
        "w1": nn.Linear(HIDDEN, CLASSES),
    }
    for name, layer in layers.items():
        layer.weight.data, layer.bias.data = params[name], params[f"b{name}"]
    c0, c1, w0, w1 = layers.values()
    convolutional = (c0, nn.ReLU(), nn.MaxPool2d(2), c1, nn.ReLU(), nn.MaxPool2d(2))
    model = nn.Sequential(*convolutional, nn.Flatten(), w0, nn.ReLU(), w1)
    loss_of = stage(lambda x, y: nn.functional.cross_entropy(model(x), y))
    return adam_in_torch(torch, model, lambda: loss_of(x, y))


def training() -> Workload:
    half = IMAGE // 2
    first = 2.0 * 9 * SAMPLES * IMAGE**2 * DEPTHS[0] * DEPTHS[1]
    second = 2.0 * 9 * SAMPLES * half**2 * DEPTHS[1] * DEPTHS[2]
    dense = 2.0 * SAMPLES * HIDDEN * (FLAT + CLASSES)
    weights = 9 * (DEPTHS[0] * DEPTHS[1] + DEPTHS[1] * DEPTHS[2]) + HIDDEN * (FLAT + CLASSES)
    return Workload(
        name="cnn/28x28",
        what="a training step (Adam) of a network of two convolutions and two dense layers, "
        "64 images of 28×28",
        arguments=network,
        systems={
            "nets": network_in_nets,
            "jax": network_in_jax,
            "torch": Builder(network_in_torch),
        },
        bound=Bound(  # no gradient of the images
            flops=2 * first + 3 * (second + dense) + 13.0 * weights,
            reads=12.0 * weights,
            writes=12.0 * weights,
        ),
        tolerance=1e-3,
        steps=True,
    )


WORKLOADS = [
    convolution(
        "forward", "value", (forward_in_nets, conv_in_jax, forward_in_torch), IMAGES, WEIGHT
    ),
    convolution(
        "input_gradient",
        "gradient of the input",
        (input_gradient_in_nets, input_gradient_in_jax, input_gradient_in_torch),
        *(IMAGES, WEIGHT),
    ),
    convolution(
        "weight_gradient",
        "gradient of the weight",
        (weight_gradient_in_nets, weight_gradient_in_jax, weight_gradient_in_torch),
        *(IMAGES, IMAGES),
    ),
    training(),
]
