"""Operations that do something besides giving results: print.

They run as often as the program says and in its order, whatever passes do.
"""
# Op classes are namespaces: their functions take no self.
# mypy: disable-error-code="misc"

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from nets.errors import VerifyError
from nets.ir.core import Trait, Value
from nets.ir.types import TensorType, Type
from nets.ops.definition.registry import Array, structural
from nets.ops.loop.lowering import Lowering


class _Shown(np.ndarray[Any, np.dtype[Any]]):
    """An array of which a format spec tells how each element looks."""

    def __format__(self, spec: str) -> str:
        if not spec:
            return str(self)
        return np.array2string(self, formatter={"all": lambda element: format(element, spec)})


def shown(text: str, arrays: Sequence[Array]) -> str:
    """``text.format(*arrays)``, with numbers for arrays without axes."""
    return text.format(*(x.view(_Shown) if x.ndim else x[()] for x in arrays))


@structural("print", Trait.KERNEL | Trait.EFFECT, attributes=("text",))
class Print:
    """Prints a text whose fields ``{0}``, ``{1}``, … stand for the values, and a new line."""

    operands = ("*values",)

    def infer(*values: Type, text: str) -> tuple[Type, ...]:
        if not isinstance(text, str) or not all(isinstance(v, TensorType) for v in values):
            raise VerifyError(f"print takes a text and tensors, not {text!r} and {values}")
        return ()

    def perform(arrays: Sequence[Array], *, text: str) -> None:
        print(shown(text, arrays))

    def lower(
        s: Lowering, operands: Sequence[Value], results: Sequence[Value], *, text: str
    ) -> None:
        s.emit("print", *operands, text=text)
