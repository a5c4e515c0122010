"""Grids and indices that are written in brackets: ``nets.mgrid[0:3, 0:1:5j]``, ``nets.s_[1:]``."""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from nets.errors import ArgumentError
from nets.frontend.tensor.dispatch import constant
from nets.ir.location import user_location


class Grid:
    """What gives the positions along each axis of a grid for slices of numbers, as NumPy's of that
    name: start, stop and step, or with an imaginary step the number of positions."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __repr__(self) -> str:
        return f"nets.{self._name}"

    def __getitem__(self, key: Any) -> Any:
        try:
            found = getattr(np, self._name)[key]
        except (TypeError, ValueError, AttributeError, IndexError) as error:
            raise ArgumentError(
                f"{self._name} takes slices of numbers that are known: {error}", user_location()
            ) from None
        if isinstance(found, tuple):
            return tuple(constant(np.ascontiguousarray(one)) for one in found)
        return constant(np.ascontiguousarray(found))


class Index:
    """What gives the index in its brackets, so that it can be kept: ``nets.s_[1:, ::2]``."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __repr__(self) -> str:
        return f"nets.{self._name}"

    def __getitem__(self, key: Any) -> Any:
        return key if self._name == "s_" or isinstance(key, tuple) else (key,)


mgrid: Final = Grid("mgrid")
ogrid: Final = Grid("ogrid")
s_: Final = Index("s_")
index_exp: Final = Index("index_exp")
