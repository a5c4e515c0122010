"""NumPy's functions on tensors: what ``np.f(tensor)`` means.

NumPy asks its arguments first (NEP 18, "A dispatch mechanism for NumPy's high level array
functions"), and tensors answer here. Each call has one of four fates:

1. A function that nets has, too, is that of nets (``_OWN``), so gradients flow and traces take it.
2. One that asks for dtypes only (``_OF_TYPES``) is told them.
3. Any other is NumPy's own, on the elements, and gives what NumPy gives.
4. That is refused inside a trace, where nobody knows the elements, and where a tensor requires a
   gradient, which would be lost (but for ``_WITHOUT_GRADIENT``, whose results have none).
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import lru_cache
from importlib import import_module
from typing import Any, NamedTuple

import numpy as np

from nets.errors import ControlFlowError, GradientError, UnsupportedObjectError
from nets.frontend.tensor import functions as F
from nets.frontend.tensor.dispatch import TensorLike, as_tensor, require_dtype
from nets.frontend.tensor.operators import Operators
from nets.frontend.tensor.order import NAMES as _ORDER
from nets.frontend.tensor.pytorch.delegates import public
from nets.frontend.tensor.scope import current_scope, leaked
from nets.frontend.tensor.tensor import Tensor
from nets.frontend.tensor.variable import Variable, is_grad_enabled
from nets.frontend.tensor.words import NAMES as _WORDS
from nets.frontend.tensor.words.triangles import trace
from nets.ir.location import user_location


def call(
    function: Callable[..., Any],
    types: Sequence[type],
    arguments: tuple[Any, ...],
    options: Mapping[str, Any],
) -> Any:
    """What ``function(*arguments, **options)``, one of NumPy's, gives for tensors among these.

    GradientError, ControlFlowError and UnsupportedObjectError where it is refused.
    """
    if not all(issubclass(kind, (Operators, np.ndarray)) for kind in types):
        return NotImplemented  # it is another library's to say what this means
    name = _name(function)
    own = _OWN.get(name) or _word(name, function) or _algebra(name)
    result = NotImplemented if own is None else own.call(function, name, arguments, options)
    if result is not NotImplemented:
        is_answer = name in _ANSWERS and current_scope() is None
        return bool(result) if is_answer else result
    if name in _OF_TYPES:
        return function(*_replaced(arguments, _stand_in), **_replaced(options, _stand_in))
    return _on_arrays(function, name, arguments, options)


def _name(function: Callable[..., object]) -> str:
    """What stands behind ``np.``."""
    return f"{function.__module__}.{function.__name__}".removeprefix("numpy.")


# ------------------------------------------------------------------- NumPy's own, on arrays


def _on_arrays(
    function: Callable[..., Any], name: str, arguments: tuple[Any, ...], options: Mapping[str, Any]
) -> Any:
    for tensor in _tensors((arguments, options)):
        _require_elements(tensor, name)
    try:
        return function(*_replaced(arguments, _elements), **_replaced(options, _elements))
    except ValueError as error:
        if "read-only" not in str(error):
            raise
        raise UnsupportedObjectError(
            f"np.{name} writes to memory, and that of a tensor is not NumPy's to write to: assign "
            "to the tensor (x[key] = value), or let NumPy write to an array (tensor.numpy())",
            user_location(),
        ) from None


def _require_elements(x: Tensor, name: str) -> None:
    """Refuse what NumPy may not have: elements nobody knows yet, or that carry a gradient."""
    if current_scope() is not None:
        raise ControlFlowError(
            f"np.{name} needs the elements of a tensor of type {x.type}, which are known only "
            f"when the compiled function runs, and nets has no {name} of its own: write it in "
            "functions of nets, or call it outside of the traced function",
            user_location(),
        )
    if not isinstance(x._value, Variable):
        raise leaked(x)
    if x._value.requires_grad and is_grad_enabled() and name not in _WITHOUT_GRADIENT:
        raise GradientError(
            f"np.{name} would lose the gradient of a tensor that requires one, and nets has no "
            f"{name} of its own: write it in functions of nets, or take tensor.detach() where no "
            "gradient is wanted",
            user_location(),
        )


def _elements(x: Tensor) -> object:
    return x.data


def _stand_in(x: Tensor) -> object:
    """Something of the shape and dtype of x."""
    if x._weak and not x.ndim:
        return x.dtype.type(0).item()
    return np.broadcast_to(np.empty((), x.dtype), x.shape)


def _tensors(nest: object) -> Iterator[Tensor]:
    if isinstance(nest, Tensor):
        yield nest
    elif isinstance(nest, (list, tuple)):
        for part in nest:
            yield from _tensors(part)
    elif isinstance(nest, Mapping):
        yield from _tensors(list(nest.values()))


def _replaced(nest: Any, by: Callable[[Tensor], Any]) -> Any:
    """The nest with something else for each tensor."""
    if isinstance(nest, Tensor):
        return by(nest)
    if type(nest) in (list, tuple):
        return type(nest)([_replaced(part, by) for part in nest])
    if isinstance(nest, Mapping):
        return {key: _replaced(part, by) for key, part in nest.items()}
    return nest


# --------------------------------------------------------------------- functions of nets


class _Own(NamedTuple):
    """A function of nets in place of one of NumPy's."""

    function: Callable[..., Any]
    parameters: Sequence[tuple[str, str]]
    """NumPy's parameters in their order and what nets calls each: "" for one that it lacks, "~"
    for one that means nothing to tensors."""

    def call(
        self,
        function: Callable[..., object],
        name: str,
        arguments: tuple[object, ...],
        options: Mapping[str, object],
    ) -> Any:
        """The result, after refusing options that nets lacks; NotImplemented where NumPy's own
        function is meant."""
        if not self.parameters:  # any number of operands
            self._refuse(function, name, options)
            return self.function(*arguments)
        names = [parameter for parameter, _ in self.parameters]
        given = dict(zip(names, arguments, strict=False)) | dict(options)
        called = dict(self.parameters)
        self._refuse(function, name, {k: v for k, v in given.items() if not called.get(k)})
        taken = {called.get(key, ""): value for key, value in given.items() if value is not _ABSENT}
        return self.function(**{key: value for key, value in taken.items() if key not in ("", "~")})

    def _refuse(
        self, function: Callable[..., object], name: str, options: Mapping[str, object]
    ) -> None:
        for key, value in options.items():
            if _is_chosen(function, key, value):
                raise UnsupportedObjectError(
                    f"np.{name} of a tensor takes no {key}: nets has none; give NumPy an array "
                    "(tensor.numpy()) where no gradient is wanted",
                    user_location(),
                )


_ABSENT: object = getattr(np, "_NoValue", None)
"""What NumPy's functions take for options nobody chose, beside None."""


def _is_chosen(function: Callable[..., object], parameter: str, value: object) -> bool:
    """Is the value another than NumPy's default?"""
    if value is None or value is _ABSENT:
        return False
    return not isinstance(value, (int, str)) or value != _default(function, parameter)


@lru_cache(maxsize=256)
def _default(function: Callable[..., object], parameter: str) -> object:
    try:
        return inspect.signature(function).parameters[parameter].default
    except (KeyError, TypeError, ValueError):
        return None


def _own(function: Callable[..., object], parameters: str = "") -> _Own:
    """``parameters``: NumPy's, as "axis", "a:x" for another name, "out:" or "order:~"."""
    pairs = [word.partition(":") for word in parameters.split()]
    return _Own(function, [(numpy, ours if colon else numpy) for numpy, colon, ours in pairs])


@lru_cache(maxsize=256)
def _word(name: str, function: Callable[..., object]) -> _Own | None:
    """One of the rooms ``words`` and ``order``, which take what NumPy does under its names; what
    comes first may have others."""
    room = _WORDS.get(name) or _ORDER.get(name)
    if room is None or name in _OF_TYPES:
        return None
    ours = getattr(import_module(room), name)
    taken = inspect.signature(ours).parameters
    if any(parameter.kind is parameter.VAR_POSITIONAL for parameter in taken.values()):
        return _AsItIs(ours, ())
    theirs = inspect.signature(function).parameters
    return _Own(ours, _paired(list(theirs), list(taken)))


def _paired(theirs: list[str], ours: list[str]) -> list[tuple[str, str]]:
    """NumPy's parameters, and ours: of the same name, or else in the same place, if that is before
    all that have the same name."""
    first = next((i for i, key in enumerate(theirs) if key in ours), len(theirs))
    leading = dict(zip(theirs[:first], ours[:first], strict=False))
    same = {key: key for key in ours}
    return [(key, {**_SAME_RESULT, **leading, **same}.get(key, "")) for key in theirs]


class _AsItIs(_Own):
    """A function that takes any number of tensors, and NumPy's options."""

    def call(
        self,
        function: Callable[..., object],
        name: str,
        arguments: tuple[object, ...],
        options: Mapping[str, object],
    ) -> Any:
        result = self.function(*arguments, **options)
        return tuple(result) if isinstance(result, list) else result


class _Algebra(_Own):
    """A function of ``nets.linalg``, whose parameters are NumPy's in their order."""

    def call(
        self,
        function: Callable[..., object],
        name: str,
        arguments: tuple[object, ...],
        options: Mapping[str, object],
    ) -> Any:
        bound = inspect.signature(function).bind(*arguments, **options)
        kept = {key: value for key, value in bound.kwargs.items() if value is not _ABSENT}
        self._refuse(function, name, {"out": kept.pop("out", None)})
        return self.function(*bound.args, **kept)


@lru_cache(maxsize=64)
def _algebra(name: str) -> _Own | None:
    """One of ``nets.linalg``, which stands above this room and is asked for by its path."""
    path = _LINALG.get(name)
    return None if path is None else _Algebra(public(path), ())


def _of_shape(function: Callable[..., object]) -> Callable[..., Any]:
    """NumPy's own, of something else of the shape and dtype of x."""
    return lambda x, **options: function(_stand_in(as_tensor(x)), **options)


def _rounded(x: TensorLike, decimals: int = 0) -> Tensor:
    tensor = as_tensor(x)
    require_dtype(tensor, "iuf", "np.round takes numbers")
    return F.round(tensor, decimals)


_REDUCTION = "a:x axis out: keepdims"
_LIKE = "dtype order:~ subok:~ shape"

_PADDING = "constant_values stat_length end_values reflect_type"

_OWN = {
    "all": _own(F.all, _REDUCTION),
    "amax": _own(F.max, _REDUCTION),
    "amin": _own(F.min, _REDUCTION),
    "any": _own(F.any, _REDUCTION),
    "append": _own(F.append, "arr:x values axis"),
    "argmax": _own(F.argmax, _REDUCTION),
    "argmin": _own(F.argmin, _REDUCTION),
    "around": _own(_rounded, "a:x decimals out:"),
    "astype": _own(F.astype, "x dtype copy:~"),
    "broadcast_arrays": _own(lambda *tensors: tuple(F.broadcast_arrays(*tensors))),
    "broadcast_to": _own(F.broadcast_to, "array:x shape subok:~"),
    "clip": _own(F.clip, "a:x a_min:min a_max:max out: min max"),
    "concatenate": _own(F.concatenate, "arrays:tensors axis out:"),
    "cumsum": _own(F.cumsum, "a:x axis dtype out:"),
    "dot": _own(F.dot, "a:x b:y out:"),
    "einsum": _own(F.einsum),
    "expand_dims": _own(F.expand_dims, "a:x axis"),
    "fix": _own(F.trunc, "x out:"),
    "flip": _own(F.flip, "m:x axis"),
    "full_like": _own(F.full_like, f"a:x fill_value {_LIKE}"),
    "imag": _own(F.imag, "val:x"),
    "iscomplexobj": _own(_of_shape(np.iscomplexobj), "x"),
    "isneginf": _own(F.isneginf, "x out:"),
    "isposinf": _own(F.isposinf, "x out:"),
    "isrealobj": _own(_of_shape(np.isrealobj), "x"),
    "linalg.matmul": _own(F.matmul, "x1:x x2:y"),
    "linalg.matrix_transpose": _own(F.matrix_transpose, "x"),
    "linalg.tensordot": _own(F.tensordot, "x1:x x2:y axes"),
    "linalg.vecdot": _own(F.vecdot, "x1:x x2:y axis"),
    "matrix_transpose": _own(F.matrix_transpose, "x"),
    "linspace": _own(F.linspace, "start stop num endpoint retstep dtype axis device"),
    "max": _own(F.max, _REDUCTION),
    "mean": _own(F.mean, "a:x axis dtype: out: keepdims"),
    "min": _own(F.min, _REDUCTION),
    "moveaxis": _own(F.moveaxis, "a:x source destination"),
    "nan_to_num": _own(F.nan_to_num, "x copy:~ nan posinf neginf"),
    "ones_like": _own(F.ones_like, f"a:x {_LIKE}"),
    "outer": _own(F.outer, "a:x b:y out:"),
    "pad": _own(F.pad, f"array:x pad_width mode {_PADDING}"),
    "prod": _own(F.prod, "a:x axis dtype out: keepdims"),
    "real": _own(F.real, "val:x"),
    "repeat": _own(F.repeat, "a:x repeats axis"),
    "reshape": _own(F.reshape, "a:x shape order: copy:~"),
    "roll": _own(F.roll, "a:x shift axis"),
    "round": _own(_rounded, "a:x decimals out:"),
    "sinc": _own(F.sinc, "x"),
    "split": _own(F.split, "ary:x indices_or_sections axis"),
    "squeeze": _own(F.squeeze, "a:x axis"),
    "stack": _own(F.stack, "arrays:tensors axis out:"),
    "std": _own(F.std, "a:x axis dtype: out: ddof keepdims correction"),
    "sum": _own(F.sum, "a:x axis dtype out: keepdims"),
    "swapaxes": _own(F.swapaxes, "a:x axis1 axis2"),
    "take": _own(F.take, "a:x indices axis out: mode"),
    "take_along_axis": _own(F.take_along_axis, "arr:x indices axis"),
    "tensordot": _own(F.tensordot, "a:x b:y axes"),
    "tile": _own(F.tile, "A:x reps:repetitions"),
    "trace": _own(trace, "a offset axis1 axis2 dtype out:"),
    "transpose": _own(F.transpose, "a:x axes"),
    "tril": _own(F.tril, "m:x k"),
    "triu": _own(F.triu, "m:x k"),
    "var": _own(F.var, "a:x axis dtype: out: ddof keepdims correction"),
    "where": _own(F.where, "condition x y"),
    "zeros_like": _own(F.zeros_like, f"a:x {_LIKE}"),
}
"""What stands behind ``np.``, and the function of nets that takes its place."""

_LINALG = {
    **{
        f"linalg.{name}": f"linalg.{name}"
        for name in (
            *("cond", "cross", "det", "diagonal", "inv", "matrix_norm", "matrix_power"),
            *("multi_dot", "norm", "outer", "slogdet", "solve", "svd", "svdvals"),
            *("trace", "vector_norm"),
        )
    },
    **{
        f"linalg.{name}": f"linalg.numpy_forms.{name}"
        for name in (
            *(
                "cholesky",
                "eigh",
                "eigvalsh",
                "lstsq",
                "matrix_rank",
                "pinv",
                "qr",
                "tensorinv",
                "tensorsolve",
            ),
        )
    },
}
"""What stands behind ``np.``, and where the function is that takes its place, below ``nets``."""

_SAME_RESULT = {"kind": "~", "stable": "~"}
"""Options of NumPy's that choose between algorithms; orders are stable here."""

_ANSWERS = frozenset({"allclose", "array_equal", "array_equiv"})
"""Functions that give Python's True or False, where elements are known."""

_OF_TYPES = frozenset({"can_cast", "common_type", "result_type"})
"""Functions of dtypes."""

_WITHOUT_GRADIENT = frozenset(
    {
        "argpartition",
        "argsort",
        "array2string",
        "array_repr",
        "array_str",
        "digitize",
        "iscomplex",
        "isreal",
        "lexsort",
        "may_share_memory",
        "min_scalar_type",
        "save",
        "savetxt",
        "savez",
        "savez_compressed",
        "searchsorted",
        "shares_memory",
    }
)
"""Functions whose results have no gradient: answers, positions, counts, texts and files."""
