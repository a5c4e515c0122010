"""Native code of sizes that a call tells, as a Python callable: the arrays have the sizes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from nets.backend.arrays import Array
from nets.backend.process.callable import (
    Counts,
    Forms,
    Loaded,
    NativeFunction,
    Signature,
    failure,
    look_at_signals,
    native_code,
)
from nets.backend.process.counted_sizes import Count, count_of, shape_of, told_dims
from nets.errors import ArgumentError
from nets.ir.core import Function
from nets.ir.dims import ranges_of
from nets.ir.fixed_sizes import Sizes, bind, type_at
from nets.ir.sizes import Dim, evaluate
from nets.ir.types import TensorType

if TYPE_CHECKING:
    from nets.backend.process.callable import NativeCode

_MOST_FORMS: Final = 16
"""Sets of sizes whose buffers and workspaces are kept."""

_Key = tuple[tuple[tuple[int, ...], ...], tuple[tuple[str, int], ...]]


class OpenFunction:
    """Compiled code for all sizes in its ranges, that takes and gives NumPy arrays; any number of
    threads may call it."""

    def __init__(
        self, loaded: Loaded, function: Function, workspace_bytes: Dim, signature: Signature
    ) -> None:
        """``function``: what the code was made from. ``signature``: that of its types."""
        self._loaded = loaded
        arguments = function.arguments
        self._head = Function(
            function.name, [x.type for x in arguments], [x.hint for x in arguments]
        )
        self._head.attributes = function.attributes
        self._names = [*ranges_of(function)]
        self._workspace_bytes = workspace_bytes
        self._signature = signature
        self._forms: dict[_Key, NativeFunction] = {}
        self._past = Counts()
        self.code = self._native_code(function)
        """The same code for the extension ``nets._dispatch``, where it takes it."""
        look_at_signals()

    def __call__(self, arrays: Sequence[Array], sizes: Sizes | None = None) -> list[Array]:
        """The outputs for these inputs, in fresh arrays.

        ``sizes``: those of the dimensions by their names, where they are known. ShapeError where no
        sizes fit the arrays, or a call may not have them.
        """
        if self.code is not None and sizes is None:
            found = self.code.run(arrays)
            if isinstance(found, list):
                return found
            if found is not None:
                raise self.failure(found)
        told = () if sizes is None else tuple(sizes.items())
        key = (tuple([array.shape for array in arrays]), told)
        form = self._forms.get(key)
        if form is None:
            form = self._add_form(key, sizes)
        return form(arrays)

    def _add_form(self, key: _Key, sizes: Sizes | None) -> NativeFunction:
        form = self._form(self._bound(key[0]) if sizes is None else sizes)
        while len(self._forms) >= _MOST_FORMS:
            old = self._forms.pop(next(iter(self._forms)))
            self._past = self._past.plus(old.counts)
        return self._forms.setdefault(key, form)

    def _bound(self, shapes: Sequence[tuple[int, ...]]) -> Sizes:
        if len(shapes) != len(self._head.arguments):
            raise ArgumentError(f"{len(self._head.arguments)} arrays are needed, not {len(shapes)}")
        return bind(self._head, shapes)

    def _form(self, sizes: Sizes) -> NativeFunction:
        """The function of these sizes."""
        given = self._signature
        signature = replace(
            given,
            inputs=tuple(type_at(type, sizes) for type in given.inputs),
            outputs=tuple(type_at(type, sizes) for type in given.outputs),
            workspace_bytes=evaluate(self._workspace_bytes, sizes),
        )
        return NativeFunction(self._loaded, "", signature, [sizes[name] for name in self._names])

    def _native_code(self, function: Function) -> NativeCode | None:
        """The code for all sizes; None where the extension cannot tell these from the arrays."""
        try:
            told = told_dims(function)
            if told is None:
                return None
            inputs, outputs = (
                tuple(map(self._open_form, types))
                for types in (self._signature.inputs, self._signature.outputs)
            )
            workspace_bytes = count_of(self._workspace_bytes, self._names)
        except OverflowError:
            return None
        forms = Forms(inputs, outputs, workspace_bytes, told)
        return native_code(self._loaded, self._signature, forms)

    def _open_form(self, type: TensorType) -> tuple[tuple[int | Count, ...], Any]:
        return shape_of(type.shape, self._names), type.dtype.numpy

    def failure(self, status: int) -> BaseException:
        """What to raise for a call that returned ``status``."""
        return failure(self._signature.checks, status)

    @property
    def counts(self) -> Counts:
        """What its calls have taken so far, by either road."""
        total = self._past
        if self.code is not None:
            code = self.code
            total = total.plus(Counts(code.calls, code.arrays, code.fresh_bytes))
        for form in list(self._forms.values()):
            total = total.plus(form.counts)
        return total

    @property
    def workspace_bytes(self) -> int:
        """Size of the largest workspace of a call so far."""
        largest = 0 if self.code is None else self.code.largest
        return max([largest, *(form.workspace_bytes for form in list(self._forms.values()))])
