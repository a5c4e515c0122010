"""Convolution over one or two axes of space, and the two other maps its three tensors give.

With x of N × C × space, w of O × C/groups × kernel and y of N × O × space (channels o and c of one
group), the term of tap k at place p pairs x at ``p · step + k · dilation − low``::

    conv         y[n, o, p] = Σ w[o, c, k] · x[n, c, p · step + k · dilation − low]
    conv_input   x[n, c, i] = the same terms, summed for the i they read
    conv_weight  w[o, c, k] = the same terms, summed for each w

Outside of x (of y, for conv_input) zeros are read, and count as terms: a weight that is not
finite makes NaN of them. Each map is linear in both operands, and its derivatives are the others.

The order of the sums is that of ``conv_geometry.py``.
"""
# Op classes are namespaces: their functions take no self.
# mypy: disable-error-code="misc"

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TypedDict, Unpack

from nets.errors import DTypeError, OpenSizeError, ShapeError
from nets.ir.core import Attribute, Trait, Value
from nets.ir.estimates import about, elements_about
from nets.ir.sizes import Dim, Size
from nets.ir.types import BufferType, TensorType
from nets.ops.definition import samples as draw
from nets.ops.definition.decisions import EACH, IN_EACH
from nets.ops.definition.emitter import Emitter, tensor_type
from nets.ops.definition.footprints import Footprint, Footprints
from nets.ops.definition.registry import Array, op, sample
from nets.ops.definition.rules import Stack
from nets.ops.definition.stacks import merged, parted
from nets.ops.definition.tap_footprints import Meetings, of_images, of_places, of_terms, of_weights
from nets.ops.loop.lowering import Lowering, buffer_type, fill_zero
from nets.ops.tensor.conv_geometry import Geometry, Ints, convolved, input_of, weight_of


class Along(TypedDict):
    """How windows lie along the axes of space, and the groups of channels: the attributes."""

    steps: Ints
    low: Ints
    high: Ints
    dilation: Ints
    groups: int


class Sized(Along):
    """With the sizes of the axes of space of the result."""

    shape: Ints


def _check(
    name: str,
    x: tuple[Dim, ...],
    w: tuple[Dim, ...],
    y: tuple[Dim, ...] | None,
    types: str,
    attributes: Along,
) -> Ints:
    """The places of y; ShapeError where shapes (None: not known) and attributes do not fit."""
    rank, groups = len(x) - 2, attributes["groups"]
    steps, low, high, dilation = lists = (
        attributes["steps"],
        attributes["low"],
        attributes["high"],
        attributes["dilation"],
    )
    if rank not in (1, 2) or len(w) != len(x) or any(len(list_) != rank for list_ in lists):
        raise ShapeError(f"{name} goes over one or two axes of space, not {types}")
    channels, *space = _known(name, x[1:], types)
    outer, inner, *kernel = _known(name, w, types)
    _known(name, (y or ())[1:], types)
    if min(*steps, *dilation, groups, *kernel) < 1:
        raise ShapeError(f"{name}: steps, dilation, groups and the sizes of the kernel start at 1")
    if channels != inner * groups or outer % groups:
        raise ShapeError(f"{name} of {types}: the channels do not form {groups} groups")
    places = []
    for size, k, step, first, last, apart in zip(
        space, kernel, steps, low, high, dilation, strict=True
    ):
        span = size + first + last - apart * (k - 1) - 1
        if span < 0:
            raise ShapeError(f"{name} of {types}: the kernel does not fit into {x[2:]}")
        places.append(span // step + 1)
    if y is not None and (y[0], y[1:]) != (x[0], (outer, *places)):
        raise ShapeError(f"{name} of {types}: {places} places expected")
    return tuple(places)


def _known(name: str, dims: tuple[Dim, ...], types: str) -> Ints:
    """The sizes; OpenSizeError where only a call tells one."""
    if any(isinstance(dim, Size) for dim in dims):
        raise OpenSizeError(
            f"{name} of {types}: the batch is the only size that may wait for the call"
        )
    return tuple(dim for dim in dims if isinstance(dim, int))


def _one_dtype(name: str, first: TensorType, second: TensorType) -> None:
    if first.dtype != second.dtype:
        raise DTypeError(f"{name} needs one dtype, not {first} and {second}")
    if first.rank < 3:
        raise ShapeError(f"{name} goes over one or two axes of space, not {first} and {second}")


def _geometry(*, steps: Ints, low: Ints, high: Ints, dilation: Ints, groups: int) -> Geometry:
    return Geometry(steps, low, dilation, groups)


def _meetings(name: str, x: Ints, w: Ints, attributes: Along) -> Meetings:
    """Which elements of x meet which places at which taps, for x and w of these shapes."""
    places = _check(name, x, w, None, "", attributes)
    windows = attributes["steps"], attributes["low"], attributes["dilation"]
    return Meetings(x[2:], places, w[2:], *windows)


def _lower(s: Lowering, role: str, terms: Dim, buffers: Sequence[Value], attributes: Along) -> None:
    """``loop.conv``, over two axes of space; zeros where there is nothing to sum."""
    out = buffers[-1]
    if buffer_type(out).elements == 0:
        return
    if terms == 0:
        fill_zero(s, out)
        return
    if isinstance(terms, Size):
        _lower_if_some(s, role, terms, buffers, attributes)
        return
    _emit_kernel(s, role, buffers, attributes)


def _lower_if_some(
    s: Lowering, role: str, terms: Size, buffers: Sequence[Value], attributes: Along
) -> None:
    """The convolution where a call tells that there is something to sum; else zeros."""
    count, zero = s.index(terms), s.index(0)
    with s.inside(s.if_(s.compare("eq", count, zero))):
        fill_zero(s, buffers[-1])
        s.yield_()
    with s.inside(s.if_(s.compare("ne", count, zero))):
        _emit_kernel(s, role, buffers, attributes)
        s.yield_()


def _emit_kernel(s: Lowering, role: str, buffers: Sequence[Value], attributes: Along) -> None:
    steps, low, dilation = attributes["steps"], attributes["low"], attributes["dilation"]
    if len(buffer_type(buffers[-1]).shape) == 3:
        buffers = [_with_one_row(s, buffer) for buffer in buffers]
        steps, low, dilation = (1, *steps), (0, *low), (1, *dilation)
    groups = attributes["groups"]
    s.emit("conv", *buffers, role=role, steps=steps, low=low, dilation=dilation, groups=groups)


def _with_one_row(s: Lowering, buffer: Value) -> Value:
    n, channels, length = buffer_type(buffer).shape
    return s.view(buffer, BufferType((n, channels, 1, length), buffer.type.dtype))


def _with_one_kernel(name: str) -> Stack:
    """The rule of a convolution: examples as images, where they have the kernel in common."""

    def stack(
        b: Emitter,
        operands: Sequence[Value],
        stacked: Sequence[bool],
        size: Dim,
        **attributes: Attribute,
    ) -> tuple[Value] | None:
        images, kernel = operands
        if stacked[1]:
            return None
        result = b.emit(name, merged(b, images), kernel, **attributes)
        return (parted(b, result, size, tensor_type(images).shape[1]),)

    return stack


_ATTRIBUTES = ("steps", "low", "high", "dilation", "groups")
_TRAITS = Trait.PURE | Trait.KERNEL | Trait.FLOAT_ONLY
_PLAIN: dict[str, Ints] = {"steps": (1, 1), "low": (0, 0), "high": (0, 0), "dilation": (1, 1)}
_EVERY: dict[str, Ints] = {"steps": (2, 3), "low": (1, 0), "high": (2, 1), "dilation": (2, 1)}
_LINE: dict[str, Ints] = {"steps": (2,), "low": (1,), "high": (1,), "dilation": (1,)}


@op("conv", _TRAITS, attributes=_ATTRIBUTES)
class Conv:
    """y[n, o, p] = Σ w[o, c, k] · x[n, c, p · step + k · dilation − low], zeros outside of x.

    x is N × C × space, w O × C/groups × kernel, y N × O × places with
    places = (size + low + high − dilation · (kernel − 1) − 1) // step + 1 along each axis.
    """

    operands = ("x", "w")
    forward = IN_EACH
    stack = _with_one_kernel("conv")
    samples = [
        sample(draw.f32(2, 3, 5, 6), draw.f32(4, 3, 3, 2), groups=1, **_PLAIN),
        sample(draw.f64(2, 4, 7, 6), draw.f64(6, 2, 2, 3), groups=2, **_EVERY),
        sample(draw.f64(2, 3, 7), draw.f64(3, 1, 4), groups=3, **_LINE),
        sample(draw.f32(0, 1, 3, 3), draw.f32(2, 1, 3, 3), groups=1, **_PLAIN),
        sample(draw.f32(1, 0, 3, 3), draw.f32(2, 0, 2, 2), groups=1, **_PLAIN),
    ]

    def infer(x: TensorType, w: TensorType, **attributes: Unpack[Along]) -> TensorType:
        _one_dtype("conv", x, w)
        places = _check("conv", x.shape, w.shape, None, f"{x} and {w}", attributes)
        return x.with_shape((x.shape[0], w.shape[0], *places))

    def flops(x: TensorType, w: TensorType, **attributes: Unpack[Along]) -> int:
        places = _check("conv", x.shape, w.shape, None, "", attributes)
        return 2 * about(x.shape[0]) * math.prod(places) * w.size

    def evaluate(x: Array, w: Array, **attributes: Unpack[Along]) -> Array:
        places = _check("conv", x.shape, w.shape, None, "", attributes)
        return convolved(x, w, places, _geometry(**attributes)).astype(x.dtype)

    def vjp(
        b: Emitter,
        operands: Sequence[Value],
        results: Sequence[Value],
        cts: Sequence[Value],
        **attributes: Unpack[Along],
    ) -> tuple[Callable[[], Value], Callable[[], Value]]:
        (x, w), (ct,) = operands, cts
        sizes, kernel = (tensor_type(value).shape[2:] for value in (x, w))
        return (
            lambda: b.emit("conv_input", ct, b.cast(w, ct.type.dtype), shape=sizes, **attributes),
            lambda: b.emit("conv_weight", b.cast(x, ct.type.dtype), ct, shape=kernel, **attributes),
        )

    def footprint(
        f: Footprints, x: Footprint, w: Footprint, **attributes: Unpack[Along]
    ) -> Footprint:
        meetings, groups = _meetings("conv", x.shape, w.shape, attributes), attributes["groups"]
        of_w = of_weights(f, w, x.shape[0], meetings, groups, back=False)
        return f.union(of_images(f, x, w, meetings, groups), of_w)

    def lower(
        s: Lowering,
        operands: Sequence[Value],
        results: Sequence[Value],
        **attributes: Unpack[Along],
    ) -> None:
        terms = math.prod(buffer_type(operands[1]).shape[1:])
        _lower(s, "output", terms, (*operands, *results), attributes)


@op("conv_input", _TRAITS, attributes=(*_ATTRIBUTES, "shape"))
class ConvInput:
    """The x that terms w[o, c, k] · y[n, o, p] make at p · step + k · dilation − low; also known
    as the transposed convolution. ``shape`` tells the sizes of its axes of space."""

    operands = ("y", "w")
    forward = IN_EACH
    stack = _with_one_kernel("conv_input")
    samples = [
        sample(draw.f32(2, 4, 3, 5), draw.f32(4, 3, 3, 2), groups=1, shape=(5, 6), **_PLAIN),
        sample(draw.f64(2, 6, 4, 2), draw.f64(6, 2, 2, 3), groups=2, shape=(7, 6), **_EVERY),
        sample(draw.f64(2, 3, 3), draw.f64(3, 1, 4), groups=3, shape=(7,), **_LINE),
        sample(draw.f32(1, 0, 2, 2), draw.f32(0, 1, 2, 2), groups=1, shape=(3, 3), **_PLAIN),
    ]

    def infer(
        y: TensorType, w: TensorType, *, shape: Ints, **attributes: Unpack[Along]
    ) -> TensorType:
        _one_dtype("conv_input", y, w)
        types = f"{y} and {w} to {shape}"
        if w.rank != y.rank:
            raise ShapeError(f"conv_input goes over one or two axes of space, not {types}")
        channels = attributes["groups"] * _known("conv_input", w.shape, types)[1]
        x = (y.shape[0], channels, *shape)
        _check("conv_input", x, w.shape, y.shape, types, attributes)
        return y.with_shape(x)

    def flops(y: TensorType, w: TensorType, **attributes: Unpack[Along]) -> int:
        return 2 * elements_about(y) * math.prod(w.static_shape[1:])

    def evaluate(y: Array, w: Array, *, shape: Ints, **attributes: Unpack[Along]) -> Array:
        return input_of(y, w, shape, _geometry(**attributes)).astype(y.dtype)

    def vjp(
        b: Emitter,
        operands: Sequence[Value],
        results: Sequence[Value],
        cts: Sequence[Value],
        *,
        shape: Ints,
        **attributes: Unpack[Along],
    ) -> tuple[Callable[[], Value], Callable[[], Value]]:
        (y, w), (ct,) = operands, cts
        kernel = tensor_type(w).shape[2:]
        return (
            lambda: b.emit("conv", ct, b.cast(w, ct.type.dtype), **attributes),
            lambda: b.emit("conv_weight", ct, b.cast(y, ct.type.dtype), shape=kernel, **attributes),
        )

    def footprint(
        f: Footprints, y: Footprint, w: Footprint, *, shape: Ints, **attributes: Unpack[Along]
    ) -> Footprint:
        groups = attributes["groups"]
        x = (y.shape[0], groups * w.shape[1], *shape)
        meetings = _meetings("conv_input", x, w.shape, attributes)
        of_w = of_weights(f, w, y.shape[0], meetings, groups, back=True)
        return f.union(of_places(f, y, w, meetings, groups), of_w)

    def lower(
        s: Lowering,
        operands: Sequence[Value],
        results: Sequence[Value],
        **attributes: Unpack[Sized],
    ) -> None:
        terms = buffer_type(operands[1]).shape[0]
        _lower(s, "input", terms, (*operands, *results), attributes)


@op("conv_weight", _TRAITS, attributes=(*_ATTRIBUTES, "shape"))
class ConvWeight:
    """w[o, c, k] = Σ y[n, o, p] · x[n, c, p · step + k · dilation − low] over images and places.

    ``shape`` tells the sizes of the kernel.
    """

    operands = ("x", "y")
    forward = IN_EACH
    batch = EACH
    samples = [
        sample(draw.f32(2, 3, 5, 6), draw.f32(2, 4, 3, 5), groups=1, shape=(3, 2), **_PLAIN),
        sample(draw.f64(2, 4, 7, 6), draw.f64(2, 6, 4, 2), groups=2, shape=(2, 3), **_EVERY),
        sample(draw.f64(2, 3, 7), draw.f64(2, 3, 3), groups=3, shape=(4,), **_LINE),
        sample(draw.f32(0, 1, 3, 3), draw.f32(0, 2, 1, 1), groups=1, shape=(3, 3), **_PLAIN),
    ]

    def infer(
        x: TensorType, y: TensorType, *, shape: Ints, **attributes: Unpack[Along]
    ) -> TensorType:
        _one_dtype("conv_weight", x, y)
        groups = attributes["groups"]
        if y.rank != x.rank or not isinstance(x.shape[1], int) or groups < 1 or x.shape[1] % groups:
            raise ShapeError(f"conv_weight of {x} and {y}: no {groups} groups")
        w = (y.shape[1], x.shape[1] // groups, *shape)
        _check("conv_weight", x.shape, w, y.shape, f"{x} and {y} to {shape}", attributes)
        return x.with_shape(w)

    def flops(x: TensorType, y: TensorType, *, shape: Ints, **attributes: Unpack[Along]) -> int:
        return (
            2 * elements_about(y) * (about(x.shape[1]) // attributes["groups"]) * math.prod(shape)
        )

    def evaluate(x: Array, y: Array, *, shape: Ints, **attributes: Unpack[Along]) -> Array:
        return weight_of(x, y, shape, _geometry(**attributes)).astype(x.dtype)

    def vjp(
        b: Emitter,
        operands: Sequence[Value],
        results: Sequence[Value],
        cts: Sequence[Value],
        *,
        shape: Ints,
        **attributes: Unpack[Along],
    ) -> tuple[Callable[[], Value], Callable[[], Value]]:
        (x, y), (ct,) = operands, cts
        sizes = tensor_type(x).shape[2:]
        return (
            lambda: b.emit("conv_input", b.cast(y, ct.type.dtype), ct, shape=sizes, **attributes),
            lambda: b.emit("conv", b.cast(x, ct.type.dtype), ct, **attributes),
        )

    def footprint(
        f: Footprints, x: Footprint, y: Footprint, *, shape: Ints, **attributes: Unpack[Along]
    ) -> Footprint:
        groups = attributes["groups"]
        w = (y.shape[1], x.shape[1] // groups, *shape)
        return of_terms(f, x, y, _meetings("conv_weight", x.shape, w, attributes), groups)

    def lower(
        s: Lowering,
        operands: Sequence[Value],
        results: Sequence[Value],
        **attributes: Unpack[Sized],
    ) -> None:
        y = buffer_type(operands[1]).shape
        _lower(s, "weight", y[0] * math.prod(y[2:]), (*operands, *results), attributes)
