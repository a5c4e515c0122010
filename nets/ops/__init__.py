"""What the words mean: one class per op, one family per file. Importing nets.ops fills the
registry."""

from nets.ops.loop import dialect
from nets.ops.pools import pooling
from nets.ops.tensor import (
    arithmetic,
    comparison,
    constant,
    contraction,
    control,
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
    structure,
)

__all__ = [
    "arithmetic",
    "comparison",
    "constant",
    "contraction",
    "control",
    "convolution",
    "dialect",
    "dynamic_slicing",
    "effects",
    "elementwise",
    "gradient",
    "indexing",
    "logic",
    "mathematics",
    "pooling",
    "reduction",
    "rounding",
    "shape",
    "slicing",
    "structure",
]
