"""The state of a library that is loaded into Python."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from nets.backend.library.manifest import Library
from nets.backend.library.state import exchange
from nets.errors import ArgumentError, LoadError, MissingKeyError
from nets.machine.machine import ALIGNMENT

Array = npt.NDArray[Any]


class Code(Protocol):
    """The library that is open."""

    path: Path
    ffi: Any
    library: Library

    def function(self, word: str) -> Any: ...


class LoadedState(Mapping[str, Array]):
    """The state of a loaded library: an array per member, which may be written to.

    It begins as it was at the time of the export. One call at a time may use it.
    """

    def __init__(self, code: Code, saved: bytes | None = None) -> None:
        self._code, ffi, library = code, code.ffi, code.library
        memory = np.zeros(library.state_bytes + ALIGNMENT, np.uint8)
        start = -int(ffi.cast("uintptr_t", ffi.from_buffer(memory))) % ALIGNMENT
        self._bytes = memory[start : start + library.state_bytes]
        self.pointer = ffi.cast("void *", ffi.from_buffer(self._bytes))
        self._members = exchange.views(library, self._bytes)
        self.reset()
        self._check()
        if saved is not None:
            self.load(saved)

    def _check(self) -> None:
        """LoadError unless the code has the layout that the description has."""
        try:
            exchange.checked_bytes(self._code.library, self._bytes)
        except ArgumentError:
            raise LoadError(f"{self._code.path} is damaged: code and description differ") from None

    def __reduce__(self) -> tuple[Any, ...]:
        return LoadedState, (self._code, self.save())

    def __getitem__(self, name: str) -> Array:
        try:
            return self._members[name]
        except (KeyError, TypeError):
            known = ", ".join(self._members) or "nothing"
            raise MissingKeyError(f"the state has no {name!r}; it has {known}") from None

    def __iter__(self) -> Iterator[str]:
        return iter(self._members)

    def __len__(self) -> int:
        return len(self._members)

    def reset(self) -> None:
        """Go back to the state at the time of the export."""
        if self._members:
            self._code.function("init_state")(self.pointer)

    def save(self) -> bytes:
        """The whole state, in the form that C programs save it."""
        return self._bytes.tobytes()

    def load(self, data: bytes) -> None:
        """Take a saved state. ArgumentError where it is none of this library; then nothing has
        changed."""
        self._bytes[:] = exchange.checked_bytes(self._code.library, data)

    def state_dict(self) -> dict[str, Array]:
        """Copies of the members under the keys that Python's state dicts have: ``0.weight`` of the
        only module, ``optimizer.state.0.exp_avg``, ``default_generator.key``."""
        return exchange.state_dict(self._code.library, self._members)

    def load_state_dict(self, state: Mapping[str, npt.ArrayLike], strict: bool = True) -> None:
        """Take members from arrays under those keys, as of a safetensors file.

        ``strict``: every key must be there, and no other. ArgumentError where this does not hold,
        ShapeError and DTypeError where an array has another form; nothing has changed then.
        """
        exchange.load_state_dict(self._code.library, self._members, state, strict)

    def take(self, objects: Sequence[Any], named: Mapping[str, Any]) -> None:
        """Become the state of these objects: see ``LoadedLibrary.state_from``."""
        exchange.state_from(self._code.library, self._members, objects, named)

    def give(self, objects: Sequence[Any], named: Mapping[str, Any]) -> None:
        """Let these objects have this state: see ``LoadedLibrary.state_to``."""
        exchange.state_to(self._code.library, self._members, objects, named)

    def __repr__(self) -> str:
        return f"<state of {self._code.library.name}: {', '.join(self._members) or 'none'}>"
