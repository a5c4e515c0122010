"""What nets calls the entries of PyTorch's operator list, for ``tests.acceptance.opinfo``.

An entry goes, in this order, to what ``OWN`` says; to ``nets.nn.functional``, ``nets.linalg`` and
``nets.special`` for the names below these; to a method of tensors; to a function of ``nets``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import numpy as np

import nets
from tests.acceptance.opinfo_matrices import MATRICES, Beyond


class Random(Exception):
    """A result that is drawn: its shape and dtype are compared."""

    def __init__(self, result: Any) -> None:
        super().__init__("drawn at random")
        self.result = result


def full_name(op: Any) -> str:
    """The name of an entry, with that of its variant after a dot."""
    return f"{op.name}.{op.variant_test_name}" if op.variant_test_name else str(op.name)


def function_of(name: str) -> Callable[..., Any]:
    """What computes the entry; Beyond where nets has it not."""
    if name in OWN:
        return OWN[name]
    name = name.rstrip()
    base = VARIANTS.get(name, name)
    for prefix in ("nn.functional", "linalg", "special"):
        if base.startswith(prefix + "."):
            return _found(prefix, base.removeprefix(prefix + "."))
    for variant in (base, base.rpartition(".")[0]):
        if variant and "." not in variant:
            return _named(variant)
    raise Beyond(f"no {name}")


def _found(path: str, name: str) -> Callable[..., Any]:
    room: Any = nets
    try:
        for word in path.split("."):
            room = getattr(room, word)
        for word in (name, name.partition(".")[0]):
            if word in getattr(room, "__all__", dir(room)):
                return getattr(room, word)  # type: ignore[no-any-return]
    except (AttributeError, nets.errors.NetsError):
        pass
    raise Beyond(f"no {path}.{name}")


def _named(name: str) -> Callable[..., Any]:
    positions = POSITIONS.get(name)

    def call(x: Any, *arguments: Any, **options: Any) -> Any:
        if positions is not None:
            options |= dict(zip(positions, arguments, strict=False))
            arguments = arguments[len(positions) :]
        if isinstance(x, nets.Tensor) and hasattr(nets.Tensor, name):
            return getattr(x, name)(*arguments, **options)
        if not hasattr(nets, name):
            raise Beyond(f"no {name}")
        return getattr(nets, name)(x, *arguments, **options)

    if not hasattr(nets, name) and not hasattr(nets.Tensor, name):
        raise Beyond(f"no {name}")
    return call


POSITIONS: Final[dict[str, tuple[str, ...]]] = {
    **dict.fromkeys(("max", "min", "median", "nanmedian"), ("dim", "keepdim")),
    **dict.fromkeys(("std", "var"), ("dim",)),
    **dict.fromkeys(("argmax", "argmin"), ("dim", "keepdim")),
    **dict.fromkeys(("sum", "mean", "all", "any", "prod", "nansum", "nanmean"), ("dim", "keepdim")),
    **dict.fromkeys(("cumsum", "cumprod", "squeeze"), ("dim",)),
    "count_nonzero": ("dim",),
}
"""Arguments that PyTorch takes by position where nets takes NumPy's, or none of a number."""

_COPIES: Final = (
    *("diagonal", "expand", "narrow", "permute", "split_with_sizes", "squeeze", "t", "transpose"),
    *("unbind", "unfold", "unsqueeze", "view"),
)

VARIANTS: Final[dict[str, str]] = {
    **{f"{name}_copy": name for name in _COPIES},
    "addmm.decomposed": "addmm",
    "alias_copy": "clone",
    "unsafe_chunk": "chunk",
    "unsafe_split": "split",
    "resolve_conj": "clone",
    "resolve_neg": "clone",
    "real": "clone",
    "max.binary": "maximum",
    "min.binary": "minimum",
    "true_divide": "divide",
    "bmm.triton_optimized": "bmm",
    "trapz": "trapezoid",
    "grid_sampler_2d": "nn.functional.grid_sample",
    "grid_sampler_3d": "nn.functional.grid_sample",
    "igamma": "special.gammainc",
    "igammac": "special.gammaincc",
    "lgamma": "special.gammaln",
}
"""Entries that go by the name of another one."""


def _arange(*bounds: Any, end: Any = None, dtype: Any = None, **more: Any) -> Any:
    """Integers give integers, fractions the default dtype, whose place float64 takes here."""
    bounds = bounds if end is None else (*bounds, end)
    made = nets.arange(*bounds, **more)
    return made if dtype is None else nets.astype(made, dtype)


def _linspace(start: Any, end: Any, steps: Any, *, dtype: Any = None, **more: Any) -> Any:
    if dtype is not None and np.dtype(dtype).kind != "f":
        raise Beyond("linspace of integers, which PyTorch rounds in its own way")
    return nets.linspace(start, end, steps, dtype=dtype or "float32", **more)


def _logspace(
    start: Any, end: Any, steps: Any, base: Any = 10.0, *, dtype: Any = None, **more: Any
) -> Any:
    if dtype is not None and np.dtype(dtype).kind != "f":
        raise Beyond("logspace of integers, which PyTorch rounds in its own way")
    return nets.logspace(start, end, steps, base=base, dtype=dtype or "float32", **more)


def _meshgrid(*tensors: Any, indexing: str = "ij") -> Any:
    listed = tensors[0] if isinstance(tensors[0], (tuple, list)) else tensors
    return nets.meshgrid(*listed, indexing=indexing)


def _pooled(x: Any, *arguments: Any, **options: Any) -> Any:
    """The gradient of the sum of a max pooling, which this entry gives."""
    pool = nets.nn.functional.max_pool2d

    def loss(x: Any) -> Any:
        found = pool(x, *arguments, **options)
        return (found[0] if isinstance(found, tuple) else found).sum()

    return nets.grad(loss)(x)


def _gradient(x: Any, *, spacing: Any = None, dim: Any = None, edge_order: int = 1) -> Any:
    listed = (
        spacing if isinstance(spacing, (tuple, list)) else () if spacing is None else (spacing,)
    )
    are_listed = all(isinstance(x, (tuple, list)) for x in (spacing, dim))
    if are_listed and len(spacing) != len(dim):
        raise Beyond("one distance in a list for several axes, which NumPy takes")
    found = nets.gradient(x, *listed, axis=dim, edge_order=edge_order)
    return found if isinstance(found, (tuple, list)) else [found]


def _atleast(name: str) -> Callable[..., Any]:
    def call(*tensors: Any) -> Any:
        listed = tensors[0] if isinstance(tensors[0], (tuple, list)) else tensors
        return getattr(nets, name)(*listed)

    return call


def _spread(name: str) -> Callable[..., Any]:
    """PyTorch's divisor, n − 1, also where no axis is given."""

    def call(
        x: Any,
        dim: Any = None,
        unbiased: bool = True,
        keepdim: bool = False,
        *,
        correction: float | None = None,
    ) -> Any:
        if isinstance(dim, bool):
            dim, unbiased = None, dim
        less = int(unbiased) if correction is None else correction
        axis = tuple(dim) if isinstance(dim, list) else dim
        if not x.ndim:
            axis, keepdim = None, False
        return getattr(x, name)(axis, ddof=less, keepdims=keepdim)

    return call


def _empty(*arguments: Any, requires_grad: bool = False, **options: Any) -> Any:
    raise Random(nets.empty(*arguments, **options))


def _histogram(x: Any, bins: Any, *, weight: Any = None, **options: Any) -> Any:
    """PyTorch counts in the dtype of the tensor."""
    counts, edges = nets.histogram(x, bins, weights=weight, **options)
    return nets.astype(counts, x.dtype), nets.astype(edges, x.dtype)


def _linear_cross_entropy(*arguments: Any, options: Any = None, **named: Any) -> Any:
    """The options say how PyTorch saves memory."""
    return nets.nn.functional.linear_cross_entropy(*arguments, **named)


def _unique_consecutive(x: Any, **options: Any) -> Any:
    return nets.unique_consecutive(x, **options)


def _polygamma(x: Any, n: int) -> Any:
    return nets.special.polygamma(n, x)


def _nonzero(x: Any, as_tuple: bool = False) -> Any:
    if not as_tuple:
        return nets.argwhere(x)
    return tuple(nets.nonzero(nets.reshape(x, (1,)) if not x.ndim else x))


def _nonzero_static(x: Any, *, size: int, fill_value: int = -1) -> Any:
    return nets.argwhere(x, size=size, fill_value=fill_value)


def _ctc(logs: Any, *arguments: Any, **options: Any) -> Any:
    """PyTorch's gradient is that of the scores of a log_softmax, whose result it takes for one."""
    return nets.nn.functional.ctc_loss(nets.log_softmax(logs, -1), *arguments, **options)


def _triplet(*tensors: Any, distance_function: Any = None, **options: Any) -> Any:
    """A distance of PyTorch's as that of nets; another one is Python's, and takes both."""
    if type(distance_function).__module__.startswith("torch"):
        own = nets.nn.PairwiseDistance()
        own.norm, own.eps = distance_function.norm, distance_function.eps
        distance_function = own
    loss = nets.nn.functional.triplet_margin_with_distance_loss
    return loss(*tensors, distance_function=distance_function, **options)


def _attention(*tensors: Any, **options: Any) -> Any:
    if options.get("dropout_p"):
        raise Random(nets.nn.functional.scaled_dot_product_attention(*tensors, **options))
    return nets.nn.functional.scaled_dot_product_attention(*tensors, **options)


def _random(path: str) -> Callable[..., Any]:
    """What draws numbers: shapes and dtypes are compared."""

    def draw(*arguments: Any, **options: Any) -> Any:
        function = function_of(path)
        raise Random(function(*arguments, **options))

    return draw


def _antialiased(x: Any, output_size: Any, align_corners: Any, *factors: Any, **named: Any) -> Any:
    if any(factor is not None for factor in (*factors, *named.values())):
        raise Beyond("a factor beside a size")
    upsample = nets.nn.functional.interpolate
    return upsample(x, output_size, None, "bilinear", align_corners, antialias=True)


_SAMPLING: Final = {0: "bilinear", 1: "nearest", 2: "bicubic"}
_BORDERS: Final = {0: "zeros", 1: "border", 2: "reflection"}


def _grid(x: Any, grid: Any, mode: int = 0, padding: int = 0, align_corners: bool = False) -> Any:
    sample = nets.nn.functional.grid_sample
    return sample(x, grid, _SAMPLING[mode], _BORDERS[padding], align_corners)


def _property(name: str) -> Callable[..., Any]:
    return lambda x: getattr(x, name)


def _swapped(name: str) -> Callable[..., Any]:
    """A function of a table and positions, the table first."""

    def call(weight: Any, input: Any, *arguments: Any, **options: Any) -> Any:
        function = getattr(nets.nn.functional, name)
        return function(input, weight, *arguments, **options)

    return call


def _bag(weight: Any, input: Any, *offsets: Any, **options: Any) -> Any:
    options |= {"offsets": offsets[0]} if offsets else {}
    return nets.nn.functional.embedding_bag(input, weight, **options)


OWN: Final[dict[str, Callable[..., Any]]] = {
    **MATRICES,
    "arange": _arange,
    "linspace": _linspace,
    "linspace.tensor_overload": _linspace,
    "logspace": _logspace,
    "logspace.tensor_overload": _logspace,
    "meshgrid.variadic_tensors": _meshgrid,
    "meshgrid.list_of_tensors": _meshgrid,
    "broadcast_tensors": lambda *tensors: nets.broadcast_arrays(*tensors),
    "max_pool2d_with_indices_backward": _pooled,
    "histogram": _histogram,
    "histc": lambda x, *arguments, **options: nets.histc(x, *arguments, **options),
    "unique_consecutive": _unique_consecutive,
    **dict.fromkeys(
        (
            "nn.functional.linear_cross_entropy",
            "nn.functional.linear_cross_entropy.chunked",
            "nn.functional.linear_cross_entropy.chunked_none",
        ),
        _linear_cross_entropy,
    ),
    **{f"polygamma.polygamma_n_{n}": _polygamma for n in range(5)},
    "special.polygamma.special_polygamma_n_0": _polygamma,
    "nonzero": _nonzero,
    "nonzero_static": _nonzero_static,
    "nn.functional.ctc_loss": _ctc,
    "nn.functional.triplet_margin_with_distance_loss": _triplet,
    "nn.functional.scaled_dot_product_attention": _attention,
    "nn.functional.embedding": _swapped("embedding"),
    "nn.functional.embedding_bag": _bag,
    "nn.functional.pdist": lambda x, p=2.0: nets.pdist(x, p),
    "_upsample_bilinear2d_aa": _antialiased,
    "grid_sampler_2d": _grid,
    "grid_sampler_3d": _grid,
    "einsum": lambda tensors, equation: nets.einsum(equation, *tensors),
    "slice": lambda x, dim=0, start=None, end=None, step=1: nets.moveaxis(
        nets.moveaxis(x, dim, 0)[start:end:step], 0, dim
    ),
    "fill": lambda x, value: x.clone().fill_(value),
    "zero_": lambda x: x.clone().zero_(),
    "T": _property("T"),
    "empty": _empty,
    "gradient": _gradient,
    "atleast_1d": _atleast("atleast_1d"),
    "atleast_2d": _atleast("atleast_2d"),
    "atleast_3d": _atleast("atleast_3d"),
    "var": _spread("var"),
    "std": _spread("std"),
    "constant_pad_nd": lambda x, pad, value=0: nets.nn.functional.pad(x, pad, value=value),
    "diff": lambda x, n=1, dim=-1, prepend=None, append=None: nets.diff(x, n, dim, prepend, append),
    "tensordot": lambda x, y, dims=2: nets.tensordot(x, y, dims),
    "H": _property("H"),
    "mT": _property("mT"),
    "mH": _property("mH"),
    "__rdiv__": lambda x, y: y / x,
    "reciprocal": lambda x: nets.reciprocal(x),
    "cov": lambda x, *, correction=1, fweights=None, aweights=None: nets.cov(
        x, ddof=correction, fweights=fweights, aweights=aweights
    ),
    "isclose": lambda x, y, **options: nets.isclose(x, y, **options),
    "cdist": lambda x, y, p=2.0, compute_mode=None: nets.cdist(x, y, p),
    "softmax": lambda x, dim, dtype=None: nets.nn.functional.softmax(x, dim, dtype),
    "nn.functional.softmin": lambda x, dim, dtype=None: nets.nn.functional.softmin(x, dim, dtype),
    "nn.functional.rrelu": _random("nn.functional.rrelu "),
    "tensor_split": lambda x, n, dim=0: nets.tensor_split(
        x, n.tolist() if isinstance(n, nets.Tensor) else n, dim
    ),
    **{
        name: _random(name + " ")
        for name in (
            *("nn.functional.dropout", "nn.functional.dropout2d", "nn.functional.dropout3d"),
            *("nn.functional.alpha_dropout", "empty_like", "new_empty"),
            "nn.functional.feature_alpha_dropout.with_train",
        )
    },
}
"""Entries whose samples say something else than nets does, or by other arguments."""

LOOSE: Final[dict[str, tuple[float, float]]] = {
    "nn.functional.interpolate.bicubic": (1e-6, 1e-8),
    "cov": (1e-5, 1e-6),
    **dict.fromkeys(("float", "linspace", "linspace.tensor_overload", "logspace"), (1e-5, 1e-6)),
    "logspace.tensor_overload": (1e-5, 1e-6),
}
"""Entries that are compared within other bounds than 1e-7 relative and 1e-9 absolute."""

WIDER: Final = {
    **dict.fromkeys(("linspace", "linspace.tensor_overload"), "bounds may be tensors of any shape"),
    **dict.fromkeys(("logspace", "logspace.tensor_overload"), "bounds may be tensors of any shape"),
    **{f"nn.functional.conv{n}d": "dtypes promote" for n in (1, 2, 3)},
    **dict.fromkeys(("cross", "linalg.cross"), "the other axes broadcast"),
    "arange": "a range that ends before it begins is empty",
    "isclose": "a negative tolerance lets nothing be close",
    "mean": "the mean of integers is float64",
}
"""Entries whose bad input is good to nets, as it is to NumPy, and why."""
