"""What an export gives: the files it wrote, and the way of a state between them and Python."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from nets.errors import ExportError, LoadError
from nets.files import read_regular, replacing


@dataclass(frozen=True, slots=True)
class Exported:
    """What ``export`` wrote: the name of the library and its files."""

    name: str
    files: tuple[Path, ...]
    _library: Any = field(default=None, repr=False, compare=False)
    _initial: bytes = field(default=b"", repr=False, compare=False)

    def state_from(
        self, /, *objects: Any, file: str | os.PathLike[str] | None = None, **named: Any
    ) -> bytes:
        """The state of Python's objects, as ``NAME_save_state`` saves it, for ``NAME_load_state``.

        ``state_from(model, optimizer)``: modules, optimisers and generators are told by the names,
        shapes and dtypes of what they hold. Where several would do, and for tensors that none of
        them holds, names as in the manifest are given: ``encoder=…``, ``w=…``. The default
        generator of random numbers is taken without being given. What belongs to nothing given is
        as it was at the time of the export. ``file`` is written as well, where it is given.

        ArgumentError where something does not fit, ExportError where the file cannot be written.
        """
        from nets.backend.library.state import exchange

        state = np.frombuffer(bytearray(self._initial), np.uint8)
        arrays = exchange.views(self._library, state)
        exchange.state_from(self._library, arrays, objects, named)
        saved = state.tobytes()
        if file is not None:
            _write_state(Path(file), saved)
        return saved

    def state_to(
        self, saved: bytes | str | os.PathLike[str], /, *objects: Any, **named: Any
    ) -> None:
        """Give a saved state, or that of a file, to Python's objects: told as in ``state_from``.

        ArgumentError where it is no state of this library, or something does not fit, LoadError
        where the file cannot be read; nothing has changed then.
        """
        from nets.backend.library.state import exchange

        data = _read_state(Path(saved)) if isinstance(saved, str | os.PathLike) else saved
        state = exchange.checked_bytes(self._library, data).copy()
        arrays = exchange.views(self._library, state)
        exchange.state_to(self._library, arrays, objects, named)


def _write_state(file: Path, saved: bytes) -> None:
    try:
        with replacing(file) as out:
            out.write(saved)
    except OSError as error:
        raise ExportError(f"{file} cannot be written: {error.strerror or error}") from None


def _read_state(file: Path) -> bytes:
    try:
        return read_regular(file)
    except OSError as error:
        raise LoadError(f"{file} cannot be read: {error.strerror or error}") from None
