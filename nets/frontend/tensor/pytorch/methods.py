"""PyTorch's methods of tensors, one line each."""

from __future__ import annotations

from typing import Any

from nets.frontend.tensor.pytorch import (
    conversion,
    elementwise,
    in_place,
    ordering,
    picking,
    pieces,
    reductions,
    shapes,
)
from nets.frontend.tensor.pytorch.delegates import Delegates


class Methods(Delegates):
    """Base of tensors: methods with PyTorch's names, arguments and values.

    Those of the same name as a method of NumPy's arrays, and with another meaning, stand in
    ``Operators``, where ``dim`` tells that PyTorch's is meant.
    """

    __slots__ = ()

    @property
    def at(self) -> Any:
        """Some elements, by x.at[key]; its methods set, add, multiply, … give a new tensor."""
        from nets.frontend.tensor.order.at import At

        return At(self)  # type: ignore[arg-type]

    add = elementwise.add
    sub = elementwise.sub
    subtract = elementwise.sub
    rsub = elementwise.rsub
    div = elementwise.div
    divide = elementwise.div
    addcmul = elementwise.addcmul
    addcdiv = elementwise.addcdiv
    lerp = elementwise.lerp
    clamp = elementwise.clamp
    clamp_min = elementwise.clamp_min
    clamp_max = elementwise.clamp_max
    frac = elementwise.frac
    where = elementwise.where
    equal = elementwise.equal
    mm = elementwise.mm
    bmm = elementwise.bmm
    mv = elementwise.mv
    addmm = elementwise.addmm
    addmv = elementwise.addmv
    addbmm = elementwise.addbmm
    baddbmm = elementwise.baddbmm
    addr = elementwise.addr

    H = property(shapes.adjoint)
    mH = property(shapes.adjoint_of_matrices)
    view = shapes.view
    view_as = shapes.view_as
    reshape_as = shapes.reshape_as
    permute = shapes.permute
    unsqueeze = shapes.unsqueeze
    expand = shapes.expand
    expand_as = shapes.expand_as
    clone = shapes.clone
    contiguous = shapes.same
    is_contiguous = shapes.is_contiguous
    t = shapes.t
    swapdims = shapes.swapdims
    numel = shapes.numel
    nelement = shapes.numel
    dim = shapes.ndim
    ndimension = shapes.ndim
    select = shapes.select
    narrow = shapes.narrow
    chunk = pieces.chunk
    split = pieces.split
    split_with_sizes = pieces.split_with_sizes
    tensor_split = pieces.tensor_split
    unbind = pieces.unbind
    unfold = shapes.unfold
    unflatten = shapes.unflatten
    repeat_interleave = shapes.repeat_interleave
    diag_embed = shapes.diag_embed
    flip = shapes.flip
    roll = shapes.roll
    movedim = shapes.movedim
    rot90 = shapes.rot90
    diagonal = shapes.diagonal
    diag = shapes.diag
    diagflat = shapes.diagflat
    trace = shapes.trace
    tril = shapes.tril
    triu = shapes.triu

    gather = picking.gather
    nonzero = picking.nonzero
    take_along_dim = picking.take_along_dim
    index_select = picking.index_select
    masked_fill = picking.masked_fill
    index_fill = picking.index_fill
    index_copy = picking.index_copy
    index_put = picking.index_put
    put = picking.put
    select_scatter = picking.select_scatter
    slice_scatter = picking.slice_scatter
    diagonal_scatter = picking.diagonal_scatter

    amax = reductions.amax
    amin = reductions.amin
    aminmax = reductions.aminmax
    var_mean = reductions.var_mean
    std_mean = reductions.std_mean
    norm = reductions.norm
    dist = reductions.dist
    logsumexp = reductions.logsumexp
    softmax = reductions.softmax
    log_softmax = reductions.log_softmax
    count_nonzero = reductions.count_nonzero

    sort = ordering.sort
    argsort = ordering.argsort
    msort = ordering.msort
    median = ordering.median
    nanmedian = ordering.nanmedian

    to = conversion.to
    type_as = conversion.type_as
    cpu = conversion.cpu
    double = conversion.double
    float = conversion.float
    long = conversion.long
    int = conversion.int
    short = conversion.short
    char = conversion.char
    byte = conversion.byte
    bool = conversion.bool_
    is_floating_point = conversion.is_floating_point
    is_complex = conversion.is_complex
    is_signed = conversion.is_signed
    element_size = conversion.element_size
    new_zeros = conversion.new_zeros
    new_ones = conversion.new_ones
    new_empty = conversion.new_zeros
    new_full = conversion.new_full
    new_tensor = conversion.new_tensor
    requires_grad_ = conversion.requires_grad_
    retain_grad = conversion.retain_grad

    fill_ = in_place.fill_
    zero_ = in_place.zero_
    copy_ = in_place.copy_
    detach_ = in_place.detach_
    fill_diagonal_ = in_place.fill_diagonal_


for _name in in_place.WORDS:
    setattr(Methods, f"{_name}_", in_place.InPlace(_name))
