"""Math functions against NumPy, in the L2 cache: ``python -m benchmarks.math_functions``."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from benchmarks.sampling import compare
from nets.backend.llvm import math
from nets.backend.llvm.target import host
from nets.ir.types import DType, f32, f64
from nets.ops.definition.registry import Array
from tests.backend.kernels import MathKernel

COUNT = 1 << 14


def _sigmoid(x: Array, out: Array) -> None:
    np.exp(np.negative(x, out=out), out=out)
    np.divide(1, np.add(out, 1, out=out), out=out)


def _rsqrt(x: Array, out: Array) -> None:
    np.divide(1, np.sqrt(x, out=out), out=out)


NUMPY: dict[str, Callable[..., object]] = {
    "exp": np.exp,
    "expm1": np.expm1,
    "log": np.log,
    "log1p": np.log1p,
    "sin": np.sin,
    "cos": np.cos,
    "tanh": np.tanh,
    "pow": np.power,
    "fmod": np.fmod,
    "sigmoid": _sigmoid,
    "rsqrt": _rsqrt,
}
"""NumPy has no erf."""


def measure(function: str, dtype: DType) -> None:
    generator = np.random.default_rng(0)
    x, y = generator.uniform(0.1, 8, (2, COUNT)).astype(dtype.numpy)
    out = np.empty_like(x)
    arguments = (x, y)[: math.FUNCTIONS[function]]
    kernel = MathKernel(function, dtype, host().vector_bytes // dtype.itemsize)
    addresses = x.ctypes.data, y.ctypes.data, out.ctypes.data
    numpy = NUMPY.get(function)
    found = compare(
        lambda: kernel.run(*addresses, COUNT),
        lambda: numpy(*arguments, out=out) if numpy else None,
    )
    ours, theirs = (seconds / COUNT * 1e9 for seconds in (found.ours, found.theirs))
    other = f"  NumPy {theirs:6.2f}  ratio {found.ratio:.2f}" if numpy else ""
    print(f"{function:8} {dtype}  nets {ours:5.2f} ns/element{other}", flush=True)


def main() -> None:
    for dtype in (f32, f64):
        for function in math.FUNCTIONS:
            measure(function, dtype)


if __name__ == "__main__":
    main()
