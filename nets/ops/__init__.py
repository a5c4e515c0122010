"""What the words mean: one class per op, one family per file. Importing nets.ops fills the
registry."""

from nets.ops.loop import arithmetic as loop_arithmetic
from nets.ops.loop import control as loop_control
from nets.ops.loop import kernels as loop_kernels
from nets.ops.loop import memory as loop_memory
from nets.ops.loop import sorting as loop_sorting
from nets.ops.order import scattering, sorting
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

__all__ = [
    "arithmetic",
    "comparison",
    "constant",
    "contraction",
    "control",
    "convolution",
    "custom",
    "dynamic_slicing",
    "effects",
    "elementwise",
    "gradient",
    "indexing",
    "logic",
    "loop_arithmetic",
    "loop_control",
    "loop_kernels",
    "loop_memory",
    "loop_sorting",
    "mathematics",
    "pooling",
    "recomputation",
    "reduction",
    "rounding",
    "scattering",
    "shape",
    "slicing",
    "sorting",
    "structure",
]
