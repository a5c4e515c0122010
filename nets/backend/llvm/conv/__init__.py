"""Convolutions: the text of a kernel for one shape, and the sums it makes.

No matrix of patches is made: bands of images are copied to the workspace with their zeros around
them, and microkernels like those of matrix products walk over channels and taps (``correlation``)
or over places (``weight``, and ``depthwise`` for groups of one channel). The order of each sum is
that of ``nets.ops.tensor.convolution``.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache
from typing import TypeVar

from nets.backend.llvm.conv.correlation import Correlation
from nets.backend.llvm.conv.depthwise import DepthwiseSums
from nets.backend.llvm.conv.weight import WeightSums
from nets.backend.llvm.kernel_code import KernelCode
from nets.ir.sizes import Dim, Size
from nets.ir.types import DType
from nets.machine.machine import Machine
from nets.ops.tensor.conv_geometry import Geometry

__all__ = ["convolution_code"]

Shape = tuple[int, ...]
T = TypeVar("T")

_PARAMETERS = "ptr %x, ptr %y, ptr %out, ptr %workspace, i64 %begin, i64 %end"


@lru_cache(maxsize=256)
def convolution_code(
    role: str,
    dtype: DType,
    images: Dim,
    x: Shape,
    w: Shape,
    y: Shape,
    geometry: Geometry,
    machine: Machine,
) -> KernelCode:
    """The code of one convolution over two axes, with all sizes positive, for f32 or f64.

    As that of a matrix product; its operands are those of ``loop.conv``. Of the images a call may
    tell how many there are; x and y say what is usual then, and the gradient of the weight needs
    one at least.
    """
    lanes = machine.lanes(dtype)
    groups, kernel = geometry.groups, w[2:]
    outputs, inputs, taps = w[0] // groups, w[1], math.prod(kernel)
    common = (dtype, machine, lanes, machine.tile_registers, x[0], groups)
    sums: Correlation | WeightSums
    if role == "output":
        geometry = _without_idle_steps(geometry, y[2:])
        axes = geometry.output_axes(y[2:], kernel)
        strides = (outputs * inputs * taps, inputs * taps, taps)
        sums = Correlation(
            *common, inputs, outputs, _two(x[2:]), _two(y[2:]), _two(kernel), _two(axes), strides
        )
    elif role == "input":
        axes = geometry.input_axes(x[2:], kernel)
        strides = (outputs * inputs * taps, taps, inputs * taps)
        sums = Correlation(
            *common, outputs, inputs, _two(y[2:]), _two(x[2:]), _two(kernel), _two(axes), strides
        )
    else:
        spaces = (x[2:], y[2:], kernel, geometry.steps, geometry.low, geometry.dilation)
        is_open = isinstance(images, Size)
        sums = DepthwiseSums(*common, inputs, outputs, *map(_two, spaces), is_open=is_open)
        if not sums.is_worth_it:
            sums = WeightSums(*common, inputs, outputs, *map(_two, spaces), is_open=is_open)
        if is_open:
            texts = sums.write(f"{_PARAMETERS}, i64 %n")
            return KernelCode(sums.symbol, texts, sums.workspace_bytes, sums.panels, (images,))
    # The result of each image is made by panels of its own.
    panels = sums.panels if role == "weight" else sums.panels // x[0] * images
    return KernelCode(sums.symbol, sums.write(_PARAMETERS), sums.workspace_bytes, panels)


def _without_idle_steps(geometry: Geometry, places: Sequence[int]) -> Geometry:
    """Steps of 1 along axes where there is only one place, so that nothing is split."""
    steps = tuple(1 if n == 1 else step for n, step in zip(places, geometry.steps, strict=True))
    return replace(geometry, steps=steps)


def _two(axes: Sequence[T]) -> tuple[T, T]:
    first, second = axes
    return first, second
