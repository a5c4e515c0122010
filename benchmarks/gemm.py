"""Matrix products against NumPy's BLAS, one thread: ``python -m benchmarks.gemm``.

The calls go through ctypes, which costs about a microsecond on our side.
"""

from __future__ import annotations

import os

os.environ["OPENBLAS_NUM_THREADS"] = "1"  # before NumPy comes

import numpy as np

from benchmarks.sampling import compare
from nets.backend.llvm import gemm
from nets.backend.llvm.target import host
from nets.ir.types import DType, f32, f64
from tests.backend.kernels import GemmKernel

# m, n, k, and how x and y lie: n as they are, t transposed.
SHAPES = [
    *((size, size, size, "nn") for size in (32, 64, 128, 256, 512, 1024)),
    (512, 512, 512, "tn"),
    (512, 512, 512, "nt"),
    (1, 1024, 1024, "nn"),
    (8, 1024, 1024, "nn"),
    (128, 512, 784, "nn"),
    (1000, 10, 784, "nn"),
    (1437, 128, 64, "nn"),
    (64, 128, 1437, "tn"),
    (1437, 64, 128, "nt"),
    (784, 1, 512, "nn"),
]


def measure(dtype: DType, m: int, n: int, k: int, layout: str) -> None:
    transpose_x, transpose_y = (letter == "t" for letter in layout)
    generator = np.random.default_rng(0)
    x = generator.standard_normal((k, m) if transpose_x else (m, k)).astype(dtype.numpy)
    y = generator.standard_normal((n, k) if transpose_y else (k, n)).astype(dtype.numpy)
    ours, theirs = (np.empty((m, n), dtype.numpy) for _ in range(2))
    code = gemm.product_code(dtype, 1, m, n, k, transpose_x, transpose_y, host())
    kernel = GemmKernel(code)
    addresses = x.ctypes.data, y.ctypes.data, ours.ctypes.data
    xs, ys = (x.T if transpose_x else x), (y.T if transpose_y else y)
    found = compare(
        lambda: kernel.run(*addresses, 0, code.panels), lambda: np.matmul(xs, ys, out=theirs)
    )
    flops = 2e-9 * m * n * k
    print(
        f"{dtype} {m:5}x{n:<4}x{k:<4} {layout}  nets {flops / found.ours:6.1f} GF/s  "
        f"BLAS {flops / found.theirs:6.1f} GF/s  ratio {found.ratio:.2f}",
        flush=True,
    )


def main() -> None:
    for dtype in (f32, f64):
        for shape in SHAPES:
            measure(dtype, *shape)


if __name__ == "__main__":
    main()
