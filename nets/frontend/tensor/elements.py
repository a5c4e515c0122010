"""What ``tensor.data`` gives: an array to read, which says at the user's line how to write instead.

NumPy itself would say of ``p.data -= 1`` that an output array is read-only, and not whose.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from nets.errors import ReadOnlyError
from nets.ir.location import user_location


class Elements(np.ndarray[Any, np.dtype[Any]]):
    """A view of a tensor's elements; what is computed of it is an array like any other."""

    def __array_wrap__(self, array: Any, context: Any = None, return_scalar: bool = False) -> Any:
        return array[()] if return_scalar else np.asarray(array)

    def __reduce__(self) -> Any:
        return np.asarray(self).__reduce__()

    def __deepcopy__(self, memo: object) -> Any:
        return np.array(self)

    def copy(self, order: Any = "C") -> Any:
        return np.array(self, order=order)

    def __setitem__(self, key: Any, value: Any) -> None:
        self._refuse("p.data[i] = x", "p[i] = x under nets.no_grad()")
        super().__setitem__(key, value)

    def fill(self, value: object) -> None:
        self._refuse("p.data.fill(x)", "p.data = np.full(p.shape, x)")
        super().fill(value)

    def sort(self, *arguments: Any, **options: Any) -> None:
        self._refuse("p.data.sort()", "p.data = np.sort(p.data)")
        super().sort(*arguments, **options)

    def _refuse(self, what: str, instead: str) -> None:
        """Refuse to write, unless the memory is no tensor's."""
        if not self.flags.writeable:
            raise ReadOnlyError(
                "the array of a tensor's elements is read-only, for results that were computed "
                f"before may need them: instead of {what} write {instead}",
                user_location(),
            )


# As which repr shows it.
Elements.__name__ = "array"


def _in_place(name: str, sign: str) -> Callable[[Elements, Any], Any]:
    plain = getattr(np.ndarray, name)

    def writes(self: Elements, other: object) -> Any:
        self._refuse(
            f"p.data {sign}= x", f"p.data = p.data {sign} x, or p {sign}= x under nets.no_grad()"
        )
        return plain(self, other)

    return writes


for _name, _sign in {
    "add": "+", "sub": "-", "mul": "*", "truediv": "/", "floordiv": "//", "mod": "%", "pow": "**",
    "lshift": "<<", "rshift": ">>", "and": "&", "or": "|", "xor": "^", "matmul": "@",
}.items():  # fmt: skip
    setattr(Elements, f"__i{_name}__", _in_place(f"__i{_name}__", _sign))
