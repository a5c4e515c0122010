"""A whole training step of a small transformer: batch 8, length 128, width 128, 4 heads, 2 layers.

Decoder only, normalised before each block, causal attention, gelu, learned positions, a vocabulary
of 256; the loss is the cross-entropy of the next token, the update Adam's.
"""

from __future__ import annotations

import math

import numpy as np

from benchmarks import adam
from benchmarks.mlp import adam_in_torch
from benchmarks.workload import Array, Bound, Builder, Run, Workload

BATCH, LENGTH, WIDTH, HEADS, LAYERS, VOCABULARY = 8, 128, 128, 4, 2, 256
HEAD, HIDDEN, EPSILON = WIDTH // HEADS, 4 * WIDTH, 1e-5


def arguments(rng: np.random.Generator):
    """State, tokens and the tokens after them."""

    def weight(*shape: int) -> Array:
        return (rng.normal(size=shape) * 0.02).astype("float32")

    def ones() -> Array:
        return np.ones(WIDTH, "float32")

    params = {"tokens": weight(VOCABULARY, WIDTH), "positions": weight(LENGTH, WIDTH)}
    for i in range(LAYERS):
        params |= {
            f"norm1_{i}": ones(),
            f"shift1_{i}": 0 * ones(),
            f"qkv_{i}": weight(WIDTH, 3 * WIDTH),
            f"out_{i}": weight(WIDTH, WIDTH),
            f"norm2_{i}": ones(),
            f"shift2_{i}": 0 * ones(),
            f"up_{i}": weight(WIDTH, HIDDEN),
            f"up_bias_{i}": np.zeros(HIDDEN, "float32"),
            f"down_{i}": weight(HIDDEN, WIDTH),
            f"down_bias_{i}": 0 * ones(),
        }
    params |= {"norm": ones(), "shift": 0 * ones(), "head": weight(WIDTH, VOCABULARY)}
    text = rng.integers(0, VOCABULARY, (BATCH, LENGTH + 1))
    return adam.initial_state(params), text[:, :-1].copy(), text[:, 1:].copy()


# ---------------------------------------------------------------------------------- nets


def step_in_nets(nets):
    def normalized(x, weight, bias):
        centred = x - x.mean(axis=-1, keepdims=True)
        variance = (centred * centred).mean(axis=-1, keepdims=True)
        return centred * nets.rsqrt(variance + EPSILON) * weight + bias

    def attention(x, qkv, out):
        split = (x @ qkv).reshape(BATCH, LENGTH, 3, HEADS, HEAD)
        q, k, v = (nets.permute_dims(split[:, :, i], (0, 2, 1, 3)) for i in range(3))
        scores = q @ nets.permute_dims(k, (0, 1, 3, 2)) / math.sqrt(HEAD)
        past = nets.tril(nets.ones((LENGTH, LENGTH), dtype=bool))
        weights = nets.softmax(nets.where(past, scores, -1e30), axis=-1)
        mixed = nets.permute_dims(weights @ v, (0, 2, 1, 3)).reshape(BATCH, LENGTH, WIDTH)
        return mixed @ out

    def loss(p, x, y):
        x = nets.take(p["tokens"], x, axis=0) + p["positions"]
        for i in range(LAYERS):
            given = normalized(x, p[f"norm1_{i}"], p[f"shift1_{i}"])
            x = x + attention(given, p[f"qkv_{i}"], p[f"out_{i}"])
            given = normalized(x, p[f"norm2_{i}"], p[f"shift2_{i}"])
            hidden = nets.gelu(given @ p[f"up_{i}"] + p[f"up_bias_{i}"])
            x = x + hidden @ p[f"down_{i}"] + p[f"down_bias_{i}"]
        logs = nets.log_softmax(normalized(x, p["norm"], p["shift"]) @ p["head"], axis=-1)
        return -nets.take_along_axis(logs, y[:, :, None], axis=-1).mean()

    def step(state, x, y):
        value, grads = nets.value_and_grad(loss)(state["params"], x, y)
        return value, adam.update(nets.sqrt, state, grads)

    return step


# ----------------------------------------------------------------------------------- JAX


def step_in_jax(jax):
    jnp = jax.numpy

    def normalized(x, weight, bias):
        centred = x - x.mean(axis=-1, keepdims=True)
        variance = (centred * centred).mean(axis=-1, keepdims=True)
        return centred * jax.lax.rsqrt(variance + EPSILON) * weight + bias

    def attention(x, qkv, out):
        split = (x @ qkv).reshape(BATCH, LENGTH, 3, HEADS, HEAD)
        q, k, v = (split[:, :, i].transpose(0, 2, 1, 3) for i in range(3))
        scores = q @ k.transpose(0, 1, 3, 2) / math.sqrt(HEAD)
        past = jnp.tril(jnp.ones((LENGTH, LENGTH), bool))
        weights = jax.nn.softmax(jnp.where(past, scores, -1e30), axis=-1)
        mixed = (weights @ v).transpose(0, 2, 1, 3).reshape(BATCH, LENGTH, WIDTH)
        return mixed @ out

    def loss(p, x, y):
        x = p["tokens"][x] + p["positions"]
        for i in range(LAYERS):
            given = normalized(x, p[f"norm1_{i}"], p[f"shift1_{i}"])
            x = x + attention(given, p[f"qkv_{i}"], p[f"out_{i}"])
            given = normalized(x, p[f"norm2_{i}"], p[f"shift2_{i}"])
            hidden = jax.nn.gelu(given @ p[f"up_{i}"] + p[f"up_bias_{i}"], approximate=False)
            x = x + hidden @ p[f"down_{i}"] + p[f"down_bias_{i}"]
        logs = jax.nn.log_softmax(normalized(x, p["norm"], p["shift"]) @ p["head"], axis=-1)
        return -jnp.take_along_axis(logs, y[:, :, None], axis=-1).mean()

    def step(state, x, y):
        value, grads = jax.value_and_grad(loss)(state["params"], x, y)
        return value, adam.update(jnp.sqrt, state, grads)

    return step


# ------------------------------------------------------------------------------- PyTorch


def step_in_torch(torch, stage, state, x, y) -> Run:
    functional = torch.nn.functional
    model = torch.nn.ParameterDict(state["params"])

    def attention(x, qkv, out):
        split = (x @ qkv).view(BATCH, LENGTH, 3, HEADS, HEAD).permute(2, 0, 3, 1, 4)
        mixed = functional.scaled_dot_product_attention(*split, is_causal=True)
        return mixed.transpose(1, 2).reshape(BATCH, LENGTH, WIDTH) @ out

    def normalized(x, weight, bias):
        return functional.layer_norm(x, (WIDTH,), weight, bias, EPSILON)

    def loss(x, y):
        p = model
        x = functional.embedding(x, p["tokens"]) + p["positions"]
        for i in range(LAYERS):
            given = normalized(x, p[f"norm1_{i}"], p[f"shift1_{i}"])
            x = x + attention(given, p[f"qkv_{i}"], p[f"out_{i}"])
            given = normalized(x, p[f"norm2_{i}"], p[f"shift2_{i}"])
            hidden = functional.gelu(given @ p[f"up_{i}"] + p[f"up_bias_{i}"])
            x = x + hidden @ p[f"down_{i}"] + p[f"down_bias_{i}"]
        scores = normalized(x, p["norm"], p["shift"]) @ p["head"]
        return functional.cross_entropy(scores.view(-1, VOCABULARY), y.view(-1))

    staged = stage(loss)
    return adam_in_torch(torch, model, lambda: staged(x, y))


def bound() -> Bound:
    """Products three times each (value, two gradients), and the update of the parameters."""
    tokens = BATCH * LENGTH
    block = WIDTH * (3 * WIDTH + WIDTH + 2 * HIDDEN)
    weights = LAYERS * block + WIDTH * VOCABULARY
    attention = (
        LAYERS * 2.0 * BATCH * HEADS * LENGTH * LENGTH * HEAD
    )  # causal: half of two products
    params = weights + WIDTH * (VOCABULARY + LENGTH)
    return Bound(
        flops=3 * (2.0 * tokens * weights + attention) + 13.0 * params,
        reads=12.0 * params,
        writes=12.0 * params,
    )


WORKLOADS = [
    Workload(
        name="transformer/2 layers",
        what="a training step (Adam) of a transformer of width 128 on 8 texts of 128 tokens",
        arguments=arguments,
        systems={"nets": step_in_nets, "jax": step_in_jax, "torch": Builder(step_in_torch)},
        bound=bound(),
        tolerance=1e-4,
        steps=True,
    )
]
