"""The functions of nets, by theme. Each is thin: broadcasting and promotion become explicit
operations, and the rest is composed of a few primitives, so that every function has gradients,
compiles and exports without a rule of its own."""
# ruff: noqa: A004 (the names are NumPy's)

import inspect

from nets.frontend.tensor.dispatch import as_tensor, renewing
from nets.frontend.tensor.functions import indexing, joining
from nets.frontend.tensor.functions import shape as shapes
from nets.frontend.tensor.functions.activation import (
    gelu,
    leaky_relu,
    log_softmax,
    logsumexp,
    relu,
    silu,
    softmax,
    softplus,
)
from nets.frontend.tensor.functions.arithmetic import (
    abs,
    add,
    bitwise_and,
    bitwise_invert,
    bitwise_left_shift,
    bitwise_or,
    bitwise_right_shift,
    bitwise_xor,
    clip,
    divide,
    floor_divide,
    inverse,
    maximum,
    minimum,
    multiply,
    negative,
    positive,
    pow,
    remainder,
    sign,
    square,
    subtract,
    where,
)
from nets.frontend.tensor.functions.assignment import in_place as in_place
from nets.frontend.tensor.functions.assignment import setitem as setitem
from nets.frontend.tensor.functions.axis_words import takes_dim
from nets.frontend.tensor.functions.comparison import (
    equal,
    greater,
    greater_equal,
    isfinite,
    isinf,
    isnan,
    less,
    less_equal,
    logical_and,
    logical_not,
    logical_or,
    logical_xor,
    not_equal,
)
from nets.frontend.tensor.functions.convolution import conv, conv_transpose, max_pool
from nets.frontend.tensor.functions.creation import (
    arange,
    eye,
    full,
    full_like,
    linspace,
    one_hot,
    ones,
    ones_like,
    tril,
    triu,
    zeros,
    zeros_like,
)
from nets.frontend.tensor.functions.dynamic_slicing import dynamic_slice, dynamic_update_slice
from nets.frontend.tensor.functions.einsum import einsum
from nets.frontend.tensor.functions.gradient import astype, stop_gradient
from nets.frontend.tensor.functions.indexing import (
    check_positions,
    check_range,
    take,
    take_along_axis,
)
from nets.frontend.tensor.functions.indexing import length as length
from nets.frontend.tensor.functions.joining import append, concatenate, pad, split, stack
from nets.frontend.tensor.functions.linear_algebra import dot, matmul, outer, tensordot, vecdot
from nets.frontend.tensor.functions.mathematics import (
    ceil,
    cos,
    erf,
    exp,
    expm1,
    floor,
    log,
    log1p,
    round,
    rsqrt,
    sigmoid,
    sin,
    sqrt,
    tanh,
    trunc,
)
from nets.frontend.tensor.functions.reduction import (
    all,
    any,
    argmax,
    argmin,
    cumsum,
    max,
    mean,
    min,
    norm,
    prod,
    std,
    sum,
    var,
)
from nets.frontend.tensor.functions.shape import broadcast_arrays
from nets.frontend.tensor.pytorch.elementwise import (
    addbmm,
    addcdiv,
    addcmul,
    addmm,
    addmv,
    addr,
    baddbmm,
    bmm,
    clamp,
    clamp_max,
    clamp_min,
    frac,
    lerp,
    mm,
    mv,
    rsub,
)
from nets.frontend.tensor.pytorch.picking import (
    diagonal_scatter,
    gather,
    index_copy,
    index_fill,
    index_put,
    index_select,
    masked_fill,
    select_scatter,
    slice_scatter,
    take_along_dim,
)
from nets.frontend.tensor.pytorch.pieces import (
    chunk,
    split_with_sizes,
    tensor_split,
    unbind,
)
from nets.frontend.tensor.pytorch.reductions import (
    amax,
    amin,
    aminmax,
    dist,
    std_mean,
    var_mean,
)
from nets.frontend.tensor.pytorch.shapes import (
    cat,
    diag_embed,
    movedim,
    narrow,
    numel,
    permute,
    repeat_interleave,
    swapdims,
    t,
    unflatten,
    unsqueeze,
)

# Among themselves these hand on a tensor that has the shape already; users get another one.
getitem = renewing(indexing.getitem)
slice = renewing(indexing.slice_)
flip = renewing(joining.flip)
repeat = renewing(joining.repeat)
roll = renewing(joining.roll)
tile = renewing(joining.tile)
broadcast_to = renewing(shapes.broadcast_to)
expand_dims = renewing(shapes.expand_dims)
flatten = renewing(shapes.flatten)
matrix_transpose = renewing(shapes.matrix_transpose)
moveaxis = renewing(shapes.moveaxis)
permute_dims = renewing(shapes.permute_dims)
reshape = renewing(shapes.reshape)
squeeze = renewing(shapes.squeeze)
swapaxes = renewing(shapes.swapaxes)
transpose = renewing(shapes.transpose)

for _function in list(globals().values()):
    if inspect.isfunction(_function) and "axis" in inspect.signature(_function).parameters:
        _function = takes_dim(_function)
        _function.__module__ = __name__  # where pickle finds it
        globals()[_function.__name__] = _function

from nets.frontend.tensor import elementary  # noqa: E402 (of the functions above)
from nets.frontend.tensor.elementary import *  # noqa: E402,F403 (named by __all__ there)

# The same functions under the names of the seed, of NumPy, and of the array API standard.
sub = subtract
mul = multiply
div = true_divide = divide
mod = remainder
neg = negative
power = pow
reciprocal = inverse
absolute = abs
rint = round
fix = trunc
invert = bitwise_not = bitwise_invert
left_shift = bitwise_left_shift
right_shift = bitwise_right_shift
concat = concatenate
eq = equal
ne = not_equal
lt = less
le = less_equal
gt = greater
ge = greater_equal

__all__ = [
    "as_tensor",
    "gelu",
    "leaky_relu",
    "log_softmax",
    "logsumexp",
    "relu",
    "silu",
    "softmax",
    "softplus",
    "abs",
    "add",
    "bitwise_and",
    "bitwise_invert",
    "bitwise_left_shift",
    "bitwise_or",
    "bitwise_right_shift",
    "bitwise_xor",
    "clip",
    "divide",
    "floor_divide",
    "inverse",
    "maximum",
    "minimum",
    "multiply",
    "negative",
    "positive",
    "pow",
    "remainder",
    "sign",
    "square",
    "subtract",
    "where",
    "equal",
    "greater",
    "greater_equal",
    "isfinite",
    "isinf",
    "isnan",
    "less",
    "less_equal",
    "logical_and",
    "logical_not",
    "logical_or",
    "logical_xor",
    "not_equal",
    "arange",
    "eye",
    "full",
    "full_like",
    "linspace",
    "one_hot",
    "ones",
    "ones_like",
    "tril",
    "triu",
    "zeros",
    "zeros_like",
    "dynamic_slice",
    "dynamic_update_slice",
    "einsum",
    "astype",
    "stop_gradient",
    "check_positions",
    "check_range",
    "take",
    "take_along_axis",
    "append",
    "concatenate",
    "flip",
    "pad",
    "repeat",
    "roll",
    "split",
    "stack",
    "tile",
    "conv",
    "conv_transpose",
    "max_pool",
    "dot",
    "matmul",
    "outer",
    "tensordot",
    "vecdot",
    "ceil",
    "cos",
    "erf",
    "exp",
    "expm1",
    "floor",
    "log",
    "log1p",
    "round",
    "rsqrt",
    "sigmoid",
    "sin",
    "sqrt",
    "tanh",
    "trunc",
    "all",
    "any",
    "argmax",
    "argmin",
    "cumsum",
    "max",
    "mean",
    "min",
    "norm",
    "prod",
    "std",
    "sum",
    "var",
    "broadcast_arrays",
    "broadcast_to",
    "expand_dims",
    "flatten",
    "matrix_transpose",
    "moveaxis",
    "permute_dims",
    "reshape",
    "squeeze",
    "swapaxes",
    "transpose",
    "sub",
    "mul",
    "div",
    "true_divide",
    "mod",
    "neg",
    "power",
    "reciprocal",
    "absolute",
    "concat",
    "slice",
    "addbmm",
    "addcdiv",
    "addcmul",
    "addmm",
    "addmv",
    "addr",
    "baddbmm",
    "bmm",
    "clamp",
    "clamp_max",
    "clamp_min",
    "frac",
    "lerp",
    "mm",
    "mv",
    "rsub",
    "diagonal_scatter",
    "gather",
    "index_copy",
    "index_fill",
    "index_put",
    "index_select",
    "masked_fill",
    "select_scatter",
    "slice_scatter",
    "take_along_dim",
    "amax",
    "amin",
    "aminmax",
    "dist",
    "std_mean",
    "var_mean",
    "cat",
    "chunk",
    "diag_embed",
    "movedim",
    "narrow",
    "numel",
    "permute",
    "repeat_interleave",
    "split_with_sizes",
    "swapdims",
    "t",
    "tensor_split",
    "unbind",
    "unflatten",
    "unsqueeze",
    "eq",
    "ne",
    "lt",
    "le",
    "gt",
    "ge",
    "rint",
    "fix",
    "invert",
    "bitwise_not",
    "left_shift",
    "right_shift",
    *elementary.__all__,
]
