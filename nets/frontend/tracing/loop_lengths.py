"""How often loops run: the bounds of fori_loop, the length of a scan; how much they store."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast as typed

import numpy as np

from nets.errors import ArgumentError, DTypeError, ShapeError
from nets.frontend.pytree import TreeDef, expression
from nets.frontend.tensor.dimension import Dimension, same_size
from nets.frontend.tensor.scope import current_scope
from nets.frontend.tensor.tensor import Tensor
from nets.frontend.tracing.spec import short
from nets.ir.location import user_location


def known_integer(bound: object, what: str = "a bound of fori_loop") -> int | None:
    """The number a bound is; None for a tensor in a trace. DTypeError for what is no integer."""
    if isinstance(bound, Dimension):
        return typed(int, bound)
    if isinstance(bound, Tensor) and current_scope() is not None:
        number = None
        fits = bound.type.dtype.is_integer and bound.shape == ()
    else:
        array = np.asarray(bound.numpy() if isinstance(bound, Tensor) else bound)
        fits = array.dtype.kind in "iu" and array.shape == ()
        number = int(array) if fits else None
    if not fits:
        raise DTypeError(f"{what} is an integer, not {bound!r}", user_location())
    return number


def scan_length(slices: Sequence[Tensor], tree: TreeDef, length: int | None) -> int:
    """The number of steps of a scan."""
    found = None if length is None else known_integer(length, "the length of a scan")
    where = "length"
    if length is not None and (found is None or found < 0):
        raise ArgumentError(f"length is a number of steps, not {length!r}", user_location())
    for x, path in zip(slices, tree.paths(), strict=True):
        name = expression("xs", path)
        if not x.shape:
            raise ShapeError(
                f"scan runs along the first axis of xs; {name} is {short(x.type)}", user_location()
            )
        if found is not None and not same_size(x.shape[0], found, f"a scan over {name}"):
            raise ShapeError(
                f"scan needs one length; {where} is {found}, the first axis of {name}, "
                f"{short(x.type)}, is {x.shape[0]}",
                user_location(),
            )
        found = x.shape[0] if found is None else found
        where = where if found is None else f"that of {name}"
    if found is None:
        raise ArgumentError("scan without xs needs a length", user_location())
    return found


def slot_count(checkpoints: object) -> int | None:
    """How many carries of a loop reverse mode keeps; None for all. ArgumentError for no count."""
    if checkpoints is None:
        return None
    if not isinstance(checkpoints, int) or isinstance(checkpoints, bool) or checkpoints < 1:
        raise ArgumentError(
            f"checkpoints is how many carries to keep, 1 or more, not {checkpoints!r}",
            user_location(),
        )
    return checkpoints
