"""debug_print: values printed by eager code, by compiled code, and inside loops and branches."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from string import Formatter
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from nets.errors import ArgumentError, NetsError
from nets.frontend.tensor.dispatch import as_tensor
from nets.frontend.tensor.inner import elements_of
from nets.frontend.tensor.scope import current_scope
from nets.frontend.tensor.tensor import Tensor
from nets.ir.location import user_location
from nets.ops.tensor.effects import shown

_KNOWN: Final = (str, bool, int, float, complex, np.generic, np.dtype, type(None))
"""What is known when the function is traced, and becomes part of the text."""


def debug_print(format: str, /, *values: Any, **named: Any) -> None:
    """Print ``format.format(*values, **named)`` whenever this line of the program runs.

    Eagerly that is at once. In a traced function it happens at each call, in loops at each step, in
    branches where they run, always in the order of the program; in the forward half of a gradient
    only. Values are tensors, arrays and numbers; an array takes a format spec for its elements.
    An exported library hands text and values to a callback.

    ArgumentError for a format that is no text or does not fit the values, or with a field whose
    form depends on a value that is known only when the function runs.
    """
    if not isinstance(format, str):
        raise ArgumentError(
            f'the format of debug_print is a text such as "loss {{}}", not a '
            f"{type(format).__name__}",
            user_location(),
        )
    try:
        text, tensors = _Text(values, named).of(format)
    except NetsError:
        raise
    except (ValueError, TypeError, LookupError, AttributeError) as error:
        raise ArgumentError(
            f"the format of debug_print does not fit: {_said(error)}", user_location()
        ) from None
    scope = current_scope()
    if scope is None:
        print(shown(text, [elements_of(x, "debug_print") for x in tensors]))
        return
    lifted = [scope.lift(x) for x in tensors]
    scope.emitter.builder.location = user_location()
    scope.emitter.emit_all("print", *lifted, text=text)


def _said(error: Exception) -> str:
    """The message of an error; that of a KeyError is the name that is missing."""
    return f"there is no value named {error}" if isinstance(error, KeyError) else str(error)


class _Text:
    """A format in plain form: fields ``{0}``, ``{1}``, … in order, one for each value not known.

    What is known is written out. Errors are those of ``str.format``.
    """

    def __init__(self, values: Sequence[Any], named: Mapping[str, Any]) -> None:
        self._values: dict[int | str, Any] = dict(enumerate(values))
        self._values.update(named)
        self._unused = dict.fromkeys(self._values)
        self._tensors: dict[int | str, tuple[int, Tensor]] = {}
        self._automatic: int | None = None
        """The number of the next field without one; None until there is a field."""

    def of(self, format: str) -> tuple[str, list[Tensor]]:
        """The plain form, and the values of its fields."""
        text = self._plain(format, nested=False)
        if self._unused:
            names = ", ".join(map(str, self._unused))
            raise ValueError(f"it has no field for the values {names}")
        tensors = [tensor for _, tensor in self._tensors.values()]
        shown(text, [_example(tensor) for tensor in tensors])  # what fails, fails now
        if b"\0" in text.encode():
            raise ValueError("a text cannot hold a zero byte")
        return text, tensors

    def _plain(self, format: str, *, nested: bool) -> str:
        parts = []
        for literal, field, spec, conversion in Formatter().parse(format):
            parts.append(literal if nested else _escaped(literal))
            if field is not None:
                name = re.split(r"[.\[]", field, maxsplit=1)[0]
                key, form = self._key(name), field[len(name) :]
                form += f"!{conversion}" if conversion else ""
                form += f":{self._plain(spec, nested=True)}" if spec else ""
                parts.append(self._field(key, form, nested))
        return "".join(parts)

    def _field(self, key: int | str, form: str, nested: bool) -> str:
        """A field; ``form`` is what stands behind the name of the value."""
        value = self._values[key] if key in self._values else self._missing(key)
        self._unused.pop(key, None)
        if isinstance(value, _KNOWN) or _is_plain(value):
            found = f"{{0{form}}}".format(value)
            return found if nested else _escaped(found)
        if nested:
            raise ValueError("a format spec cannot depend on an array")
        if key not in self._tensors:
            self._tensors[key] = len(self._tensors), as_tensor(value)
        return f"{{{self._tensors[key][0]}{form}}}"

    def _key(self, name: str) -> int | str:
        if name and not name.isdecimal():
            return name
        if self._automatic is None:
            self._automatic = -1 if name else 0
        if (self._automatic < 0) != bool(name):
            raise ValueError("fields are numbered by the format, or in their order, not both")
        if name:
            return int(name)
        self._automatic += 1
        return self._automatic - 1

    def _missing(self, key: int | str) -> Any:
        if isinstance(key, str):
            raise KeyError(key)
        raise IndexError(f"there is no value for field {key}")


def _is_plain(value: Any) -> bool:
    """Whether the value is a container of known values, such as a shape."""
    return isinstance(value, (tuple, list)) and all(isinstance(x, _KNOWN) for x in value)


def _escaped(text: str) -> str:
    return text.replace("{", "{{").replace("}", "}}")


def _example(x: Tensor) -> npt.NDArray[Any]:
    """An array of the type of a tensor that takes no memory; of size 1 where a call tells it."""
    sizes = tuple(n if isinstance(n, int) else 1 for n in x.type.shape)
    return np.broadcast_to(np.zeros((), x.dtype), sizes)
