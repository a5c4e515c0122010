"""Arguments that are no tensors: taken as what they have to be, or refused."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from nets.errors import ArgumentError
from nets.frontend.tensor.conversion import integer_of
from nets.frontend.tensor.functions.shape import new_shape
from nets.ir.location import user_location


def one_of(word: object, words: Sequence[str], what: str) -> str:
    """A word that is among these; ArgumentError else."""
    if not isinstance(word, str) or word not in words:
        listed = ", ".join(f'"{one}"' for one in words)
        raise ArgumentError(f"{what} is one of {listed}, not {word!r}", user_location())
    return word


def is_chosen(flag: object, what: str) -> bool:
    """Whether a flag is set; ArgumentError for what is neither true nor false."""
    if not isinstance(flag, (bool, int, np.bool_)):
        raise ArgumentError(f"{what} is True or False, not {flag!r}", user_location())
    return bool(flag)


def count_of(n: object, what: str) -> int:
    """A number of things, which is not negative: DTypeError or ShapeError else."""
    (count,) = new_shape(integer_of(n, what))
    return count


def function_of(f: object, what: str) -> Callable[..., Any]:
    """Something that may be called; ArgumentError else."""
    if not callable(f):
        raise ArgumentError(f"{what} takes a function, not {f!r}", user_location())
    return f
