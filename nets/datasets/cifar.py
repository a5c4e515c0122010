"""CIFAR-10, from its binary or its Python archive, as a .tar.gz or unpacked.

The Python archive holds pickles. They are never unpickled, which would run what they say: their
opcodes are only read, for the strings and numbers in them.
"""

from __future__ import annotations

import os
import pickletools
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

import nets

Bytes = npt.NDArray[np.uint8]

_PIXELS: Final = 3 * 32 * 32
_SOURCE: Final = "https://www.cs.toronto.edu/~kriz/cifar.html"


def cifar10(path: str | os.PathLike[str], train: bool = True) -> nets.data.TensorDataset:
    """50,000 or (``train=False``) 10,000 small photographs in ten classes (Krizhevsky, 2009).

    Images float32 in [0, 1] of shape (3, 32, 32), labels int64. ``path``: an archive, the folder
    it is in, or the folder with its files.
    """
    parts = [f"data_batch_{i}" for i in range(1, 6)] if train else ["test_batch"]
    files = _files(Path(path))
    images, labels = [], []
    for part in parts:
        binary, pickled = files.get(f"{part}.bin"), files.get(part)
        if binary is None and pickled is None:
            raise nets.errors.LoadError(
                f"{path} has no {part} of CIFAR-10, which is to be had from {_SOURCE}",
                nets.user_location(),
            )
        read = _of_binary(binary) if binary is not None else _of_pickle(pickled or b"")
        if read is None:
            raise nets.errors.LoadError(f"{part} in {path} is not complete", nets.user_location())
        images.append(read[0])
        labels.append(read[1])
    pixels = np.concatenate(images).reshape(-1, 3, 32, 32).astype(np.float32) / 255
    return nets.data.TensorDataset(pixels, np.concatenate(labels).astype(np.int64))


def _files(path: Path) -> dict[str, bytes]:
    """The contents of the files with samples, by name."""
    if path.is_dir():
        archives = sorted(path.glob("cifar-10-*.tar.gz"))
        folders = [path, *sorted(path.glob("cifar-10-batches-*"))]
        found = {p.name: p for folder in folders for p in folder.iterdir() if "_batch" in p.name}
        if found:
            return {name: file.read_bytes() for name, file in found.items()}
        path = archives[0] if archives else path
    try:
        with tarfile.open(path) as archive:
            return dict(_members(archive))
    except (OSError, tarfile.TarError, EOFError) as error:
        raise nets.errors.LoadError(
            f"{path}: {error}; CIFAR-10 is to be had from {_SOURCE}", nets.user_location()
        ) from None


def _members(archive: tarfile.TarFile) -> Iterator[tuple[str, bytes]]:
    for member in archive:
        name = member.name.rsplit("/", 1)[-1]
        file = archive.extractfile(member) if "_batch" in name else None
        if file is not None:
            yield name, file.read()


def _of_binary(content: bytes) -> tuple[Bytes, Bytes] | None:
    """Rows of a label and the pixels."""
    if len(content) % (1 + _PIXELS):
        return None
    rows = np.frombuffer(content, np.uint8).reshape(-1, 1 + _PIXELS)
    return rows[:, 1:], rows[:, 0]


def _of_pickle(content: bytes) -> tuple[Bytes, Bytes] | None:
    """The longest string holds the pixels; the numbers after the word "labels", the classes."""
    pixels = b""
    labels: list[int] = []
    in_labels = False
    try:
        for opcode, argument, _ in pickletools.genops(content):
            text = _as_bytes(argument)
            if text is not None:
                in_labels = text == b"labels" or (in_labels and not labels)
                pixels = max(pixels, text, key=len)
            elif in_labels and isinstance(argument, int) and "INT" in opcode.name:
                labels.append(argument)
    except (ValueError, IndexError):
        return None
    if not labels or len(pixels) != len(labels) * _PIXELS or max(labels) > 255:
        return None
    return np.frombuffer(pixels, np.uint8).reshape(-1, _PIXELS), np.array(labels, np.uint8)


def _as_bytes(argument: Any) -> bytes | None:
    if isinstance(argument, bytes):
        return argument
    return argument.encode("latin-1", "replace") if isinstance(argument, str) else None
