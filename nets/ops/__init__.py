"""What the words mean: one class per op, one family per file. Importing nets.ops fills the
registry."""

from nets.ops import (
    arithmetic,
    comparison,
    constant,
    contraction,
    control,
    convolution,
    elementwise,
    gradient,
    indexing,
    logic,
    loop,
    mathematics,
    pooling,
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
    "elementwise",
    "gradient",
    "indexing",
    "logic",
    "loop",
    "mathematics",
    "pooling",
    "reduction",
    "rounding",
    "shape",
    "slicing",
    "structure",
]
