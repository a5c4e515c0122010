"""Names that nets does not have, and what it calls what they mean elsewhere.

One table for the names of NumPy, PyTorch and JAX. Methods stand on the class of tensors as
descriptors that raise: a ``__getattr__`` would slow every attribute of every tensor down.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import Any, Final, NoReturn

from nets.errors import MissingNameError
from nets.ir.location import user_location

_DTYPE_WORDS: Final = {
    "float": "float32",
    "double": "float64",
    "short": "int16",
    "int": "int32",
    "long": "int64",
    "byte": "uint8",
}
"""PyTorch's words for dtypes; ``float`` is a function of Python, and 64 bits long in NumPy."""

_ARRAY: Final = "nets.Tensor(data) makes a tensor of an array, a list or a number"
_CPU: Final = "nets runs on the CPU, where every tensor is"
_MAP: Final = (
    "functions work on all leading axes at once; nets.vmap makes one of those for an entry"
)
_NO_GRAD: Final = "nets.no_grad()"
_HALF: Final = "nets has the floating-point dtypes nets.float32 and nets.float64"
_COMPILE: Final = "nets.trace compiles a function"
_NO_COMPLEX: Final = "nets has no complex numbers"
_LOOPS: Final = "nets.scan, nets.fori_loop, nets.while_loop, nets.cond and nets.map"

FUNCTIONS: Final = {
    **{name: f"the dtype is nets.{word}" for name, word in _DTYPE_WORDS.items()},
    "bool_": "the dtype is nets.bool",
    **dict.fromkeys(("float16", "half", "bfloat16", "complex64", "complex128"), _HALF),
    "dtype": "dtypes are nets.float32 and so on, or go by their name",
    **dict.fromkeys(("tensor", "array", "ndarray", "Array", "Variable", "from_numpy"), _ARRAY),
    **dict.fromkeys(("ascontiguousarray", "asanyarray", "FloatTensor"), _ARRAY),
    "view": "nets.reshape",
    "swish": "nets.silu",
    **dict.fromkeys(("expand", "expand_as"), "nets.broadcast_to"),
    **dict.fromkeys(("jit", "compile", "function"), _COMPILE),
    **dict.fromkeys(("pmap", "vectorize"), _MAP),
    **dict.fromkeys(("lax", "fori", "switch", "foreach"), f"loops and branches: {_LOOPS}"),
    "autograd": "nets.grad, nets.vjp, nets.jvp and so on, or t.backward()",
    "remat": "nets.checkpoint",
    **dict.fromkeys(("inference_mode", "set_grad_enabled"), _NO_GRAD),
    **dict.fromkeys(("rand", "random_sample"), "nets.random.uniform(shape)"),
    **dict.fromkeys(("randn", "rand_like", "randn_like"), "nets.random.normal(shape)"),
    "randperm": "nets.random.permutation",
    "multinomial": "nets.random.categorical",
    **dict.fromkeys(("PRNGKey", "seed"), "nets.random.key(seed), or nets.manual_seed(seed)"),
    **dict.fromkeys(("device", "cuda", "to", "device_put", "devices"), _CPU),
    **dict.fromkeys(("numpy", "np"), "the functions of NumPy stand on nets itself: nets.exp"),
    "save": "nets.data.save, for nested dicts of arrays; nets.export, for compiled functions",
    "utils": "nets.data has DataLoader, nets.nn.utils what clips gradients",
    **dict.fromkeys(("tree", "tree_map", "tree_util"), "arguments may be nested as they are"),
    **dict.fromkeys(("place", "putmask"), "x[mask] = values, or nets.where(mask, values, x)"),
    **dict.fromkeys(("put", "copyto", "fill_diagonal"), "x[indices] = values"),
    **dict.fromkeys(("shares_memory", "may_share_memory"), "nothing: tensors never share elements"),
    **dict.fromkeys(("trim_zeros", "array2string", "nditer"), "that of NumPy, on tensor.numpy()"),
    **dict.fromkeys(("ndenumerate", "ndindex", "savetxt", "savez"), "that of NumPy, on arrays"),
    **dict.fromkeys(("poly1d", "roots", "polydiv", "poly"), "that of NumPy, on tensor.numpy()"),
    "in1d": "nets.isin",
    **dict.fromkeys(("r_", "c_"), "nets.concatenate, nets.column_stack"),
    **dict.fromkeys(("angle", "real_if_close", "sort_complex", "fft", "emath"), _NO_COMPLEX),
    **dict.fromkeys(("cdouble", "csingle", "complexfloating", "complex256"), _NO_COMPLEX),
    **dict.fromkeys(("float128", "longdouble", "clongdouble", "single"), _HALF),
    **dict.fromkeys(("intp", "int_", "longlong"), "the dtype is nets.int64"),
    **dict.fromkeys(("uint", "uintp", "ulonglong"), "the dtype is nets.uint64"),
    **dict.fromkeys(("intc", "ubyte", "ushort", "uintc"), "nets.int32, nets.uint8 and so on"),
    **dict.fromkeys(("issubdtype", "generic", "number", "integer", "floating"), "nets.isdtype"),
    **dict.fromkeys(("common_type", "min_scalar_type", "mintypecode"), "nets.result_type"),
    **dict.fromkeys(("loadtxt", "genfromtxt", "fromfile", "frombuffer", "fromiter"), _ARRAY),
    **dict.fromkeys(("fromstring", "memmap", "matrix", "asmatrix", "recarray"), _ARRAY),
    **dict.fromkeys(("asfortranarray", "require", "isfortran"), "tensors are row-major"),
    **dict.fromkeys(("errstate", "seterr", "geterr"), "nothing: NaN and infinity never warn"),
    **dict.fromkeys(("set_printoptions", "printoptions"), "those of NumPy, for tensor.numpy()"),
    **dict.fromkeys(("setdiff1d", "intersect1d"), "x[~nets.isin(x, y)], x[nets.isin(x, y)]"),
    "bmat": "nets.block",
    "isscalar": "nets.ndim(x) == 0",
    "einsum_path": "nets.einsum, which takes the operands in the order given",
    "frompyfunc": _MAP,
    "trapz": "nets.trapezoid",
    "product": "nets.prod",
    "set_default_dtype": "each function and layer takes dtype=",
}
"""What to write instead of a name that somebody looks for on ``nets``."""

_NEW_SHAPE: Final = "t = t.reshape(shape): no tensor changes its shape"

METHODS: Final = {
    "resize": "t.reshape(shape)",
    **dict.fromkeys(("resize_", "set_", "t_", "transpose_", "squeeze_", "unsqueeze_"), _NEW_SHAPE),
    "copy": "t.clone()",
    **dict.fromkeys(("cuda", "is_cuda", "xpu", "mps"), _CPU),
    **dict.fromkeys(("half", "bfloat16"), _HALF),
    **dict.fromkeys(("strides", "flags"), "those of t.data, an array"),
    **dict.fromkeys(("stride", "data_ptr", "storage"), "those of t.data, an array"),
    "fill": "t.fill_(value)",
    **dict.fromkeys(("grad_fn", "register_hook"), "t.is_leaf and t.grad"),
    "broadcast_to": "t.expand(shape), or nets.broadcast_to(t, shape)",
    "block_until_ready": "nothing: what a call returns is there",
    "to_numpy": "t.numpy()",
    "asnumpy": "t.numpy()",
}
"""What to write instead of an attribute that somebody looks for on a tensor."""


def missing(name: str, known: Iterable[str], rooms: Iterable[tuple[str, object]]) -> NoReturn:
    """MissingNameError for a name that ``nets`` does not have.

    ``known``: the names that it has; ``rooms``: modules below it where the name may stand.
    """
    raise MissingNameError(f"nets has no {name!r}{_advice(name, known, rooms)}", _location(name))


def _location(name: str) -> Any:
    return None if name.startswith("_") else user_location()


def _advice(name: str, known: Iterable[str], rooms: Iterable[tuple[str, object]]) -> str:
    if name.startswith("_"):
        return ""
    if name in FUNCTIONS:
        return f": {FUNCTIONS[name]}"
    for path, room in rooms:
        if name in getattr(room, "__all__", vars(room)):
            return f": it is {path}.{name}"
    near = difflib.get_close_matches(name, sorted({*known, *FUNCTIONS}), 3, 0.75)
    return f"; near are {', '.join(map(_near, near))}" if near else ""


def _near(name: str) -> str:
    return f"{name} ({FUNCTIONS[name]})" if name in FUNCTIONS else f"nets.{name}"


class _Elsewhere:
    """An attribute that is not there, and says what is."""

    __slots__ = ("advice", "name")

    def __init__(self, name: str, advice: str) -> None:
        self.name, self.advice = name, advice

    def __get__(self, tensor: Any, kind: type | None = None) -> NoReturn:
        raise MissingNameError(
            f"tensors have no {self.name!r}: {self.advice}", _location(self.name)
        )


class OtherNames:
    """Base of tensors: the attributes that tensors of other libraries have."""

    __slots__ = ()


for _name, _text in METHODS.items():
    setattr(OtherNames, _name, _Elsewhere(_name, _text))


def add_functions(names: Iterable[str], kind: type) -> None:
    """Let tensors say of the functions of ``nets`` that are no methods how they are called."""
    own = {name for base in kind.__mro__ for name in vars(base)}
    for name in names:
        if name not in own:
            setattr(OtherNames, name, _Elsewhere(name, f"nets.{name}(t)"))
