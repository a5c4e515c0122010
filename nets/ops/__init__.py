"""What the words mean: one class per op, one family per file. Importing nets.ops fills the
registry."""

from nets.ops.collective import ranks, shards
from nets.ops.linalg import cholesky, determinant, elimination, exchange, lu, triangular
from nets.ops.loop import arithmetic as loop_arithmetic
from nets.ops.loop import control as loop_control
from nets.ops.loop import kernels as loop_kernels
from nets.ops.loop import memory as loop_memory
from nets.ops.loop import sorting as loop_sorting
from nets.ops.loop import transfers as loop_transfers
from nets.ops.order import running, scattering, sorting, tallying
from nets.ops.orthogonal import eigh, pinv, qr, svd
from nets.ops.pools import pooling
from nets.ops.regions import control, custom, recomputation, structure
from nets.ops.tensor import (
    arithmetic,
    comparison,
    constant,
    contraction,
    convolution,
    dynamic_slicing,
    effects,
    elementwise,
    gradient,
    indexing,
    logic,
    mathematics,
    reduction,
    rounding,
    shape,
    slicing,
)
from nets.ops.transcendental import (
    bessel,
    error,
    exponential,
    gamma,
    hyperbolic,
    incomplete,
    trigonometric,
)

__all__ = [
    "arithmetic",
    "bessel",
    "cholesky",
    "comparison",
    "constant",
    "contraction",
    "control",
    "convolution",
    "custom",
    "determinant",
    "dynamic_slicing",
    "effects",
    "eigh",
    "elementwise",
    "elimination",
    "error",
    "exchange",
    "exponential",
    "gamma",
    "gradient",
    "hyperbolic",
    "incomplete",
    "indexing",
    "logic",
    "loop_arithmetic",
    "loop_control",
    "loop_kernels",
    "loop_memory",
    "loop_sorting",
    "loop_transfers",
    "lu",
    "mathematics",
    "pinv",
    "pooling",
    "qr",
    "ranks",
    "recomputation",
    "reduction",
    "rounding",
    "running",
    "scattering",
    "shape",
    "shards",
    "slicing",
    "sorting",
    "structure",
    "svd",
    "tallying",
    "triangular",
    "trigonometric",
]
