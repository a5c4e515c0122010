"""Sums of pads, drawn at random: the same bits, also of −0.0, and how often parts are written."""

import numpy as np
import pytest

import nets
from nets.backend.numpy.interpreter import evaluate
from nets.ir.parser import parse_module
from nets.ops.definition.registry import lookup
from nets.passes.manager import Options
from nets.tools.opt import optimize

SIZE, PARTS = 9, ((0, 2), (2, 3), (3, 7), (7, 9), (1, 4))
"""The last part lies across edges of the others."""


def program(rng: np.random.Generator, terms: int) -> tuple[str, list[np.ndarray]]:
    """A sum of pads in a random order, and its arguments, many of which are zeros of both signs."""
    places = [PARTS[i] for i in rng.choice(len(PARTS), terms, p=(0.24,) * 4 + (0.04,))]
    shapes = [f"{stop - start}xf64" for start, stop in places]
    heads = [f"%a{i}: tensor<{shape}>" for i, shape in enumerate(shapes)]
    lines = ["%z = constant {value = dense<0.0>} : tensor<f64>"]
    for i, (start, stop) in enumerate(places):
        widths = f"{{low = [{start}], high = [{SIZE - stop}]}}"
        lines.append(f"%p{i} = pad %a{i}, %z {widths} : tensor<{SIZE}xf64>")
    left = [f"%p{i}" for i in range(terms)]
    for i in range(terms - 1):
        x, y = (left.pop(rng.integers(len(left))) for _ in range(2))
        lines.append(f"%s{i} = add {x}, {y} : tensor<{SIZE}xf64>")
        left.append(f"%s{i}")
    body = "\n".join([*lines, f"return {left[0]} : tensor<{SIZE}xf64>"])
    text = f"func @f({', '.join(heads)}) -> tensor<{SIZE}xf64> {{\n{body}\n}}\n"
    values = [rng.choice([0.0, -0.0, 1e-30, 0.1, -0.7], stop - start) for start, stop in places]
    return text, values


@pytest.mark.parametrize("seed", range(12))
def test_bits_stay(seed: int) -> None:
    rng = np.random.default_rng(seed)
    for terms in (2, 3, 5, 9):
        text, arguments = program(rng, terms)
        plain = parse_module(text, lookup).functions["f"]
        short = optimize(parse_module(text, lookup), ("canonicalize", "dce"), Options()).functions[
            "f"
        ]
        (expected,), (found,) = evaluate(plain, arguments), evaluate(short, arguments)
        assert found.tobytes() == expected.tobytes(), text


def test_the_gradient_of_slices_is_written_once() -> None:
    """However often, and in whichever order, they are taken."""

    def f(x):
        a, b = x[:2], x[2:]
        return x[0] * a[1] + nets.sin(x[3]) * b[0] + b[1] * x[2] * x[0] * x[4]

    text = nets.grad(f).lower(np.ones(5)).ir()
    assert text.count("pad") == 0
    assert text.count("concatenate") == 1
