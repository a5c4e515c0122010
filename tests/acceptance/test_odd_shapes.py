"""Every public function and layer with odd shapes and dtypes: a result, or an error of nets.

Calls are drawn at random with fixed seeds: tensors without axes, without elements, of the wrong
rank and of every dtype, now and then an option that is none. Warnings are errors here, too.
"""

from __future__ import annotations

import inspect
import random
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import nets
from nets import nn
from nets.errors import ControlFlowError, IndexOutOfBoundsError, NetsError

SHAPES: list[tuple[int, ...]] = [
    (), (0,), (1,), (3,), (0, 2), (2, 0), (2, 3), (3, 4), (1, 1), (2, 3, 4), (2, 0, 3), (1, 4, 8),
    (2, 4, 3, 3), (0, 2, 4, 4), (1, 2, 6, 6), (1, 2, 3, 4, 5),
]  # fmt: skip
DTYPES = ["float64"] * 5 + ["float32", "int64", "int64", "int8", "uint8", "bool"]
OPTIONS: list[Any] = [
    None, -1, 0, 1, 2, 3, -2, 7, -7, 2.5, 0.5, -0.5, True, "mean", "same", "bad", (1, 2), (0,), (),
    [1], (2, 2), (-1, 0), float("nan"), float("inf"), (1, 2, 3), "float32", "int8", np.int64(1),
]  # fmt: skip
TENSORS = {
    *("x", "y", "input", "target", "weight", "bias", "query", "key", "value", "tensor", "src"),
    *("condition", "indices", "attn_mask", "running_mean", "running_var", "logits", "update"),
    *("values", "p", "fill_value"),
}
"""Parameters that take tensors."""
FLAGS = {"keepdims", "requires_grad", "inplace", "training", "endpoint", "is_causal"}
WORDS = {"mode", "reduction", "approximate", "nonlinearity"}
OTHERS = {
    *("Tensor", "Solver", "from_dlpack", "debug_print", "trace", "grad", "value_and_grad", "vjp"),
    *("cond", "fori_loop", "map", "scan", "while_loop", "spec", "evaluate", "parse_ir", "export"),
    *("load", "user_location", "manual_seed", "suspended", "no_grad", "enable_grad"),
}
"""Public names that take no tensors."""
FUNCTIONS: dict[str, Callable[..., Any]] = {
    **{n: getattr(nets, n) for n in nets.__all__ if n not in OTHERS and n.islower()},
    **{f"F.{n}": getattr(nn.functional, n) for n in nn.functional.__all__},
    **{
        f"random.{n}": getattr(nets.random, n)
        for n in ("uniform", "normal", "bernoulli", "randint", "categorical", "permutation")
    },
    **{f"init.{n}": getattr(nn.init, n) for n in dir(nn.init) if n.endswith("_") and n[0] != "_"},
}
FUNCTIONS = {n: f for n, f in FUNCTIONS.items() if inspect.isfunction(f)}
LAYERS: dict[str, Callable[..., Any]] = {
    n: getattr(nn, n)
    for n in nn.__all__
    if inspect.isclass(getattr(nn, n)) and issubclass(getattr(nn, n), nn.Module)
}
for _container in ("Module", "Sequential", "ModuleList", "TransformerEncoder", "DNN"):
    del LAYERS[_container]


class Draw:
    """Arguments drawn at random."""

    def __init__(self, seed: str) -> None:
        self.rng = random.Random(seed)

    def array(self) -> np.ndarray[Any, Any]:
        shape, dtype = self.rng.choice(SHAPES), self.rng.choice(DTYPES)
        numbers = np.random.default_rng(self.rng.randrange(99)).integers(0, 3, shape)
        return (numbers - self.rng.choice([0, 0, 1])).astype(dtype)

    def tensor(self) -> Any:
        array, kind = self.array(), self.rng.random()
        return nets.Tensor(array, array.dtype.kind == "f") if kind < 0.4 else array

    def argument(self, name: str) -> Any:
        if name in FLAGS:
            return self.rng.random() < 0.5
        if name == "tensors":
            return [self.tensor() for _ in range(self.rng.randrange(3))]
        is_tensor = self.rng.random() < (0.85 if name in TENSORS else 0.05)
        return self.tensor() if is_tensor and name not in WORDS else self.rng.choice(OPTIONS)

    def call(self, function: Callable[..., Any], few: float) -> tuple[list[Any], dict[str, Any]]:
        """Arguments of a call, with each option that has a default given so seldom."""
        listed: list[Any] = []
        options: dict[str, Any] = {}
        for p in inspect.signature(function).parameters.values():
            if p.kind is p.VAR_POSITIONAL:
                listed += [self.tensor() for _ in range(self.rng.randrange(3))]
            elif p.kind is p.VAR_KEYWORD:
                continue
            elif p.default is not p.empty:
                if self.rng.random() < few:
                    options[p.name] = self.argument(p.name)
            elif p.kind is p.KEYWORD_ONLY:
                options[p.name] = self.argument(p.name)
            else:
                listed.append(self.argument(p.name))
        return listed, options

    def layer(self, make: Callable[..., Any]) -> Any:
        """A layer of small sizes, or of odd ones."""
        is_sane, options = self.rng.random() < 0.7, {}
        for p in inspect.signature(make).parameters.values():
            if p.kind in (p.VAR_POSITIONAL, p.VAR_KEYWORD):
                continue
            if p.default is p.empty:
                sizes: list[Any] = [1, 2, 3, 4] if is_sane else OPTIONS
                options[p.name] = self.rng.choice(sizes)
            elif self.rng.random() < 0.15:
                options[p.name] = self.rng.choice(OPTIONS)
        return make(**options)


def outcome(call: Callable[[], Any]) -> Any:
    """What a call gives, after a backward pass where there is one; or the error of nets."""
    try:
        found = call()
        for result in found if isinstance(found, (tuple, list)) else [found]:
            if isinstance(result, nets.Tensor) and result.requires_grad and not result.is_leaf:
                result.sum().backward()
    except NetsError as error:
        return error
    return found


@pytest.mark.parametrize("name", FUNCTIONS)
@pytest.mark.sampled(3)
def test_functions(name: str) -> None:
    draw, function = Draw(name), FUNCTIONS[name]
    for _ in range(12):
        listed, options = draw.call(function, 0.3)
        if name.startswith("init."):
            listed[0] = nets.zeros(draw.rng.choice(SHAPES))
        outcome(lambda a=listed, o=options: function(*a, **o))


@pytest.mark.filterwarnings("ignore::nets.errors.PrecisionWarning")
@pytest.mark.parametrize("name", LAYERS)
@pytest.mark.sampled(3)
def test_layers(name: str) -> None:
    draw = Draw(name)
    for _ in range(12):
        layer = outcome(lambda: draw.layer(LAYERS[name]))
        if isinstance(layer, nn.Module):
            listed, options = draw.call(layer.forward, 0.15)
            outcome(lambda a=listed, o=options, layer=layer: layer(*a, **o))


VALUES_DECIDE = (IndexOutOfBoundsError, ControlFlowError)
"""Errors that elements decide about, which a trace does not know."""


@pytest.mark.parametrize("name", [name for name in FUNCTIONS if name.startswith("F.")])
def test_traces_refuse_what_is_refused_at_once(name: str) -> None:
    draw, function = Draw(f"traced {name}"), FUNCTIONS[name]
    for _ in range(4):
        listed, options = draw.call(function, 0.1)
        listed = [x.numpy() if isinstance(x, nets.Tensor) else x for x in listed]
        places = [i for i, x in enumerate(listed) if isinstance(x, np.ndarray)]

        def call(
            *arrays: Any,
            listed: list[Any] = listed,
            options: dict[str, Any] = options,
            places: list[int] = places,
        ) -> Any:
            given = list(listed)
            for place, array in zip(places, arrays, strict=True):
                given[place] = array
            return function(*given, **options)

        arrays = [listed[place] for place in places]
        eager = outcome(lambda call=call, arrays=arrays: call(*arrays))
        traced = outcome(lambda call=call, arrays=arrays: nets.trace(call).lower(*arrays))
        if not isinstance(eager, VALUES_DECIDE) and not isinstance(traced, VALUES_DECIDE):
            of_elements = "probability" in str(eager)
            assert of_elements or isinstance(eager, NetsError) == isinstance(traced, NetsError)
