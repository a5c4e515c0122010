"""Nested state on disk: dicts and lists of arrays, numbers and texts, never pickled.

Arrays are stored under their paths in an npz or a safetensors file, by the name's ending; what
holds them, and everything else, as JSON beside them. A file appears complete or not at all, and
a damaged one is refused: npz by its checksums, safetensors by one that is kept with it.
"""

from __future__ import annotations

import hashlib
import json
import os
import struct
import zipfile
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import IO, Any, Final

import numpy as np
import numpy.typing as npt

import nets
from nets.files import open_regular, replacing

Array = npt.NDArray[Any]
Path_ = str | os.PathLike[str]

_STRUCTURE: Final = "__structure__"
_CHECKSUM: Final = "sha256"
_ARRAY: Final = "__array__"
_DTYPES: Final = {
    "F64": "<f8",
    "F32": "<f4",
    "I64": "<i8",
    "I32": "<i4",
    "I16": "<i2",
    "I8": "|i1",
    "U64": "<u8",
    "U32": "<u4",
    "U16": "<u2",
    "U8": "|u1",
    "BOOL": "|b1",
}
"""Names of dtypes in safetensors files."""


def save(path: Path_, state: Mapping[str, Any]) -> None:
    """Write nested dicts and lists of arrays, Tensors, numbers, texts and None to a file.

    The ending is ``.npz`` or ``.safetensors``. The file is written aside and then takes the place
    of an old one. ArgumentError for other endings and contents, ExportError where it cannot be
    written.
    """
    target = Path(path)
    write = _WRITERS.get(target.suffix)
    if write is None:
        raise nets.errors.ArgumentError(
            f"state is saved as .npz or .safetensors, not {target.name!r}", nets.user_location()
        )
    arrays: dict[str, Array] = {}
    structure = json.dumps(_taken_apart(state, "", arrays))
    try:
        with replacing(target) as file:
            write(file, arrays, structure)
    except OSError as error:
        raise nets.errors.ExportError(
            f"{target} cannot be written: {error}", nets.user_location()
        ) from None


def load(path: Path_) -> dict[str, Any]:
    """What ``save`` wrote, with NumPy arrays; of other files of these kinds, the arrays by name.

    LoadError where the file is missing, damaged, or of another kind.
    """
    source = Path(path)
    try:
        arrays, structure = (_read_npz if _is_zip(source) else _read_safetensors)(source)
        if structure is None:
            return dict(arrays)
        found = _put_together(json.loads(structure), arrays)
    except nets.errors.NetsError:
        raise
    except Exception as error:  # a damaged file can make any of its readers fail in any way
        raise nets.errors.LoadError(
            f"{source} holds no state that can be read: {error}", nets.user_location()
        ) from None
    assert isinstance(found, dict)
    return found


# -------------------------------------------------------------------------- structure


def _taken_apart(value: Any, path: str, arrays: dict[str, Array]) -> Any:
    """The value in terms of JSON, its arrays put under their paths."""
    if isinstance(value, Mapping):
        return {"dict": [[k, _taken_apart(v, _below(path, k), arrays)] for k, v in value.items()]}
    if isinstance(value, (list, tuple)):
        parts = [_taken_apart(v, _below(path, i), arrays) for i, v in enumerate(value)]
        return {"tuple" if isinstance(value, tuple) else "list": parts}
    if isinstance(value, (nets.Tensor, np.ndarray, np.generic)):
        with nets.no_grad():
            array = np.asarray(value)
        if array.dtype.newbyteorder("<").str not in _DTYPES.values():
            raise nets.errors.ArgumentError(
                f"state of dtype {array.dtype} cannot be saved", nets.user_location()
            )
        arrays[path] = np.ascontiguousarray(array).reshape(array.shape)
        return {_ARRAY: path}
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    raise nets.errors.ArgumentError(
        f"{path or 'state'}: a {type(value).__name__} cannot be saved", nets.user_location()
    )


def _below(path: str, key: Any) -> str:
    if not isinstance(key, (str, int)):
        raise nets.errors.ArgumentError(
            f"names in saved state are texts or numbers, not {key!r}", nets.user_location()
        )
    return f"{path}.{key}" if path else str(key)


def _put_together(value: Any, arrays: Mapping[str, Array]) -> Any:
    if not isinstance(value, dict):
        return value
    ((kind, parts),) = value.items()
    if kind == _ARRAY:
        return arrays[parts]
    if kind == "dict":
        return {key: _put_together(part, arrays) for key, part in parts}
    found = [_put_together(part, arrays) for part in parts]
    return tuple(found) if kind == "tuple" else found


# ------------------------------------------------------------------------------ files


def _write_npz(file: IO[bytes], arrays: Mapping[str, Array], structure: str) -> None:
    text = np.frombuffer(structure.encode(), np.uint8)
    with zipfile.ZipFile(file, "w") as archive:  # np.savez forbids some names
        for name, array in ((_STRUCTURE, text), *arrays.items()):
            with archive.open(f"{name}.npy", "w", force_zip64=True) as entry:
                np.lib.format.write_array(entry, array, allow_pickle=False)


def _read_npz(path: Path) -> tuple[dict[str, Array], str | None]:
    with open_regular(path) as file, np.load(file, allow_pickle=False) as archive:
        arrays = {name: archive[name] for name in archive.files}  # which checks their checksums
    text = arrays.pop(_STRUCTURE, None)
    return arrays, None if text is None else text.tobytes().decode()


def _is_zip(path: Path) -> bool:
    with open_regular(path) as file:
        return file.read(2) == b"PK"


def _write_safetensors(file: IO[bytes], arrays: Mapping[str, Array], structure: str) -> None:
    """Eight bytes with the size of a JSON header, the header, the elements in its order."""
    names = {dtype: name for name, dtype in _DTYPES.items()}
    header: dict[str, Any] = {}
    start = 0
    for name, array in arrays.items():
        little = array.dtype.newbyteorder("<")
        header[name] = {
            "dtype": names[little.str],
            "shape": list(array.shape),
            "data_offsets": [start, start + array.nbytes],
        }
        start += array.nbytes
    little_endian = [array.astype(array.dtype.newbyteorder("<")) for array in arrays.values()]
    checksum = _checksum(header, structure, little_endian)
    header["__metadata__"] = {_STRUCTURE: structure, _CHECKSUM: checksum}
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    file.write(struct.pack("<Q", len(text)) + text)
    for array in little_endian:
        file.write(array.tobytes())


def _checksum(entries: Mapping[str, Any], structure: str, data: Iterable[Any]) -> str:
    """Of all that a file says: names and types, structure, elements."""
    digest = hashlib.sha256(json.dumps([entries, structure]).encode())
    for part in data:
        digest.update(part)
    return digest.hexdigest()


def _read_safetensors(path: Path) -> tuple[dict[str, Array], str | None]:
    content = _content(path)
    (size,) = struct.unpack_from("<Q", content)
    header = json.loads(content[8 : 8 + size])
    metadata = header.pop("__metadata__", {})
    data = memoryview(content)[8 + size :]
    structure, expected = metadata.get(_STRUCTURE), metadata.get(_CHECKSUM)
    if (structure is None) != (expected is None):
        raise ValueError("the checksum is missing")
    if structure is not None and _checksum(header, structure, [data]) != expected:
        raise ValueError("the checksum is wrong")
    return dict(_entries(header, data)), structure


def _content(path: Path) -> bytes:
    """The whole file, if it is as long as its first bytes say."""
    with open_regular(path) as file:
        total = os.fstat(file.fileno()).st_size
        start = file.read(8)
        (size,) = struct.unpack("<Q", start)
        if size > total:
            raise ValueError("it is shorter than it says")
        text = file.read(size)
        entries = json.loads(text).items()
        ends = [entry["data_offsets"][1] for name, entry in entries if name != "__metadata__"]
        if total != 8 + size + max([0, *ends]):
            raise ValueError("it is not as long as it says")
        return start + text + file.read()


def _entries(header: Mapping[str, Any], data: memoryview) -> Iterator[tuple[str, Array]]:
    for name, entry in header.items():
        start, end = entry["data_offsets"]
        if not 0 <= start <= end <= len(data):
            raise ValueError(f"{name} lies outside the file")
        elements = np.frombuffer(data[start:end], np.dtype(_DTYPES[entry["dtype"]]))
        yield name, elements.reshape(entry["shape"]).copy()


_WRITERS: Final = {".npz": _write_npz, ".safetensors": _write_safetensors}
