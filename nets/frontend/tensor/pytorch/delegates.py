"""Methods that are functions of ``nets`` as they stand: ``x.sin()`` is ``nets.sin(x)``.

A method is there as soon as the function is, wherever it comes from: the names are looked up when
they are first used (``nets/__init__.py`` says how).
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, Final, NoReturn

from nets.errors import MissingNameError
from nets.frontend.tensor.other_names import OtherNames
from nets.ir.location import user_location

_SAME: Final = (
    *("acos", "acosh", "arccos", "arccosh", "arcsin", "arcsinh", "arctan", "arctan2", "arctanh"),
    *("asin", "asinh", "atan", "atan2", "atanh", "absolute", "allclose", "argwhere", "bincount"),
    *("bitwise_and", "bitwise_left_shift", "bitwise_or", "bitwise_right_shift", "bitwise_xor"),
    *("ceil", "copysign", "corrcoef", "cos", "cosh", "cov", "deg2rad", "divide", "dsplit", "erf"),
    *("exp2", "expm1", "fliplr", "flipud", "floor", "floor_divide", "fmax", "fmin", "fmod", "gcd"),
    *("greater", "greater_equal", "heaviside", "hsplit", "hypot", "inner", "isclose", "isfinite"),
    *("isinf", "isnan", "isneginf", "isposinf", "kron", "lcm", "ldexp", "less", "less_equal"),
    *("log10", "log1p", "log2", "logaddexp", "logaddexp2", "logical_and", "logical_not"),
    *("logical_or", "logical_xor", "maximum", "minimum", "multiply", "nan_to_num", "negative"),
    *("nextafter", "not_equal", "outer", "positive", "rad2deg", "reciprocal", "remainder"),
    *("rsqrt", "sign", "signbit", "silu", "sin", "sinc", "sinh", "square", "subtract", "tan"),
    *("true_divide", "trunc", "vdot", "vsplit", "neg", "mul", "matmul", "cummax", "cummin"),
    *(
        "cumprod",
        "logcumsumexp",
        "topk",
        "kthvalue",
        "mode",
        "histc",
        "scatter",
        "scatter_add",
        "scatter_reduce",
        "index_add",
    ),
    *(
        "index_reduce",
        "masked_scatter",
        "masked_select",
        "searchsorted",
        "unique",
        "unique_consecutive",
    ),
    *("nansum", "nanmean", "quantile", "nanquantile", "logdet", "moveaxis", "isreal"),
    *("float_power", "frexp", "bucketize", "renorm", "diff", "ravel", "conj", "vecdot", "tile"),
)
"""Methods of the name and meaning of a function."""

_ELSEWHERE: Final = {
    "acos": "arccos",
    "acosh": "arccosh",
    "asin": "arcsin",
    "asinh": "arcsinh",
    "atan": "arctan",
    "atan2": "arctan2",
    "atanh": "arctanh",
    "arccos": "acos",
    "arccosh": "acosh",
    "arcsin": "asin",
    "arcsinh": "asinh",
    "arctan": "atan",
    "arctan2": "atan2",
    "arctanh": "atanh",
    "bitwise_not": "bitwise_invert",
    "cholesky": "linalg.cholesky",
    "conj_physical": "conj",
    "det": "linalg.det",
    "digamma": "special.digamma",
    "erfc": "special.erfc",
    "erfinv": "special.erfinv",
    "eq": "equal",
    "fix": "trunc",
    "ge": "greater_equal",
    "gt": "greater",
    "i0": "special.i0",
    "igamma": "special.gammainc",
    "igammac": "special.gammaincc",
    "inverse": "linalg.inv",
    "le": "less_equal",
    "lgamma": "special.gammaln",
    "logdet": "linalg.logdet",
    "logit": "special.logit",
    "lt": "less",
    "matrix_exp": "linalg.expm",
    "matrix_power": "linalg.matrix_power",
    "multinomial": "random.multinomial",
    "mvlgamma": "special.multigammaln",
    "ne": "not_equal",
    "normal_": "nn.init.normal_",
    "pinverse": "linalg.pinv",
    "qr": "linalg.qr",
    "sgn": "sign",
    "slogdet": "linalg.slogdet",
    "sinc": "special.sinc",
    "uniform_": "nn.init.uniform_",
    "xlogy": "special.xlogy",
}
"""Methods, and what they are where there is no function of their name."""

NAMES: Final = {**{name: name for name in _SAME}, **_ELSEWHERE}

_lookup: Callable[[str], Any] | None = None


def set_lookup(lookup: Callable[[str], Any]) -> None:
    """Let ``lookup`` find functions by their path on ``nets``; None for what is not there."""
    global _lookup
    _lookup = lookup


def public(path: str) -> Any:
    """The function of ``nets`` at this path; None where there is none."""
    return None if _lookup is None else _lookup(path)


def _find(name: str) -> Any:
    for path in dict.fromkeys((name, NAMES[name])) if name in _SAME else (name, NAMES[name]):
        found = public(path)
        if found is not None:
            return found
    return None


class Delegate:
    """A method that is a function of ``nets``, which is asked for when somebody asks for it."""

    __slots__ = ("function", "name")

    def __init__(self, name: str) -> None:
        self.name = name
        self.function: Any = None

    def __get__(self, tensor: Any, kind: type) -> Any:
        if self.function is None:
            self.function = _find(self.name)
        if self.function is None:
            self._refuse()
        return self.function if tensor is None else functools.partial(self.function, tensor)

    def _refuse(self) -> NoReturn:
        raise MissingNameError(f"nets has no {self.name!r}", user_location())


class Delegates(OtherNames):
    """Base of tensors: the methods that are functions of ``nets``."""

    __slots__ = ()


for _name in NAMES:
    setattr(Delegates, _name, Delegate(_name))
