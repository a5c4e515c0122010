"""MNIST and its relatives, from idx files, compressed or not."""

from __future__ import annotations

import gzip
import math
import os
import struct
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

import nets

_DTYPES: Final = {8: ">u1", 9: ">i1", 11: ">i2", 12: ">i4", 13: ">f4", 14: ">f8"}
"""Element types of idx files by their number."""


def mnist(folder: str | os.PathLike[str], train: bool = True) -> nets.data.TensorDataset:
    """60,000 or (``train=False``) 10,000 handwritten digits of LeCun, Cortes and Burges.

    Images float32 in [0, 1] of shape (1, 28, 28), labels int64. The ``folder`` holds the idx files
    under their usual names, with or without ``.gz``.
    """
    return _images(
        Path(folder), train, "https://storage.googleapis.com/cvdf-datasets/mnist/ (four .gz files)"
    )


def fashion_mnist(folder: str | os.PathLike[str], train: bool = True) -> nets.data.TensorDataset:
    """60,000 or (``train=False``) 10,000 articles of clothing in ten classes.

    Their form, and what the ``folder`` holds, is that of ``mnist``.
    """
    return _images(
        Path(folder), train, "https://github.com/zalandoresearch/fashion-mnist (four .gz files)"
    )


def _images(folder: Path, train: bool, source: str) -> nets.data.TensorDataset:
    part = "train" if train else "t10k"
    images = read_idx(_file(folder, f"{part}-images-idx3-ubyte", source))
    labels = read_idx(_file(folder, f"{part}-labels-idx1-ubyte", source))
    return nets.data.TensorDataset(
        images[:, None].astype(np.float32) / 255, labels.astype(np.int64)
    )


def _file(folder: Path, name: str, source: str) -> Path:
    spellings = (name, name.replace("-idx", ".idx"))
    for path in (folder / f"{spelling}{end}" for spelling in spellings for end in ("", ".gz")):
        if path.is_file():
            return path
    raise nets.errors.LoadError(
        f"{folder} has neither {name} nor {name}.gz; they are to be had from {source}",
        nets.user_location(),
    )


def read_idx(path: str | os.PathLike[str]) -> npt.NDArray[Any]:
    """The array in an idx file at ``path``, which may be compressed by gzip; in native byte order.

    LoadError where the file cannot be read, is no idx file, or is not complete.
    """
    try:
        content = Path(path).read_bytes()
        if content[:2] == b"\x1f\x8b":
            content = gzip.decompress(content)
    except (OSError, EOFError, ValueError) as error:
        raise nets.errors.LoadError(f"{path}: {error}", nets.user_location()) from None
    if len(content) < 4 or content[:2] != b"\0\0" or content[2] not in _DTYPES:
        raise nets.errors.LoadError(f"{path} is no idx file", nets.user_location())
    dtype, rank = np.dtype(_DTYPES[content[2]]), content[3]
    start = 4 + 4 * rank
    shape = struct.unpack(f">{rank}I", content[4:start]) if len(content) >= start else ()
    if len(shape) != rank or len(content) - start != math.prod(shape) * dtype.itemsize:
        raise nets.errors.LoadError(
            f"{path} has not the size its header gives", nets.user_location()
        )
    elements = np.frombuffer(content, dtype, offset=start).reshape(shape)
    return elements.astype(dtype.newbyteorder("="))
