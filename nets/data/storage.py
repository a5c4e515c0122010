"""Nested state on disk: dicts and lists of arrays, numbers and texts, never pickled.

Arrays are stored under their paths in an npz or a safetensors file, by the name's ending; what
holds them, and everything else, as JSON beside them. A file appears complete or not at all, and
a damaged one is refused: npz by its checksums, safetensors by one that is kept with it. Weights of
other libraries are read from both kinds of files.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import struct
import zipfile
from collections.abc import Callable, Iterable, Mapping
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
_WIDENED: Final = {"F16": "<f2", "BF16": "<u2"}
"""Those of 16 bits, which are read as float32, and the elements they are read by."""


def save(path: Path_, state: Mapping[str, Any]) -> None:
    """Write ``state``, nested dicts and lists of arrays, Tensors, numbers, texts and None, to a
    file.

    The ending of ``path`` is ``.npz`` or ``.safetensors``. The file is written aside and then takes
    the place of an old one. ArgumentError for other endings and contents, ExportError where it
    cannot be written.
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
    """What ``save`` wrote to ``path``, with NumPy arrays; of other files of these kinds, the arrays
    by name.

    float16 and bfloat16 become float32, which holds them exactly. LoadError where the file is
    missing, damaged, or of another kind: files of PyTorch (``.pt``, ``.pth``, ``.bin``) hold
    pickled Python, which is never run; the error says how to convert them.
    """
    source = Path(path)
    try:
        arrays, structure = _reader(source)(source)
        if structure is None:
            return dict(arrays)
        found = _put_together(json.loads(structure), arrays)
        if not isinstance(found, dict):
            raise ValueError("its structure is not that of a dict")
    except nets.errors.NetsError:
        raise
    except Exception as error:  # a damaged file can make any of its readers fail in any way
        raise nets.errors.LoadError(
            f"{source} holds no state that can be read: {error}", nets.user_location()
        ) from None
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
        # Reading checks their checksums.
        arrays = {name: _widened(archive[name]) for name in archive.files}
    text = arrays.pop(_STRUCTURE, None)
    return arrays, None if text is None else text.tobytes().decode()


def _widened(array: Array) -> Array:
    """float16 as float32, which nets has."""
    return array.astype(np.float32) if array.dtype == np.float16 else array


def _reader(path: Path) -> Callable[[Path], tuple[dict[str, Array], str | None]]:
    """What reads the file, by its first bytes; LoadError for those of PyTorch."""
    if not path.is_file():
        raise nets.errors.LoadError(f"there is no file {path}", nets.user_location())
    with open_regular(path) as file:
        start = file.read(8)
        if start.startswith(b"PK"):
            if _holds_pickles(file):
                raise _refused_pickles(path)
            return _read_npz
    size = int.from_bytes(start, "little")  # of the header, in a file of safetensors
    is_named_so = path.suffix in (".pt", ".pth", ".bin", ".ckpt", ".pkl")
    if size > _LARGEST_HEADER and (is_named_so or start[0] == _PICKLE):
        raise _refused_pickles(path)
    return _read_safetensors


_PICKLE: Final = 0x80
"""The byte that a pickle begins with."""
_LARGEST_HEADER: Final = 100_000_000
"""Bytes a header of safetensors may take, as its specification says."""


def _holds_pickles(file: IO[bytes]) -> bool:
    """Whether an archive is one of ``torch.save`` or TorchScript."""
    with zipfile.ZipFile(file) as archive:
        return any(name.endswith(".pkl") for name in archive.namelist())


def _refused_pickles(path: Path) -> nets.errors.LoadError:
    new = path.with_suffix(".safetensors").name
    return nets.errors.LoadError(
        f"{path} holds pickled Python, as torch.save writes it, which nets never runs. Convert it "
        "once, where PyTorch and safetensors are installed, and load what that makes:\n"
        "    import torch, safetensors.torch\n"
        f"    state = torch.load({path.name!r}, map_location='cpu', weights_only=True)\n"
        f"    safetensors.torch.save_file(state, {new!r})",
        nets.user_location(),
    )


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
    header, data = _content(path)
    metadata = header.pop("__metadata__", {})
    structure, expected = metadata.get(_STRUCTURE), metadata.get(_CHECKSUM)
    if (structure is None) != (expected is None):
        raise ValueError("the checksum is missing")
    if structure is not None and _checksum(header, structure, [data]) != expected:
        raise ValueError("the checksum is wrong")
    return _entries(header, data), structure


def _content(path: Path) -> tuple[dict[str, Any], memoryview]:
    """The header and the elements, if the file is as long as its header says."""
    with open_regular(path) as file:
        total = os.fstat(file.fileno()).st_size
        (size,) = struct.unpack("<Q", file.read(8))
        if size > min(total - 8, _LARGEST_HEADER):
            raise ValueError(f"its header would take {size} bytes")
        header = json.loads(file.read(size), object_pairs_hook=_without_duplicates)
        if not isinstance(header, dict):
            raise ValueError("its header is no dict")
        entries = [(name, entry) for name, entry in header.items() if name != "__metadata__"]
        ends = [_numbers(name, entry, "data_offsets", 2)[1] for name, entry in entries]
        if total != 8 + size + max([0, *ends]):
            raise ValueError("it is not as long as it says")
        return header, memoryview(file.read())


def _without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("its header has a name twice")
    return found


def _entries(header: Mapping[str, Any], data: memoryview) -> dict[str, Array]:
    """The tensors of a header, whose elements follow each other without overlap and gap."""
    found: dict[str, Array] = {}
    spans = []
    for name, entry in header.items():
        start, end = _numbers(name, entry, "data_offsets", 2)
        spans.append((start, end, name))
        if not start <= end <= len(data):
            raise ValueError(f"the elements of {name!r} lie outside the file")
        found[name] = _elements(name, entry, data[start:end])
    last = 0
    for start, end, name in sorted(spans):
        if start != last:
            raise ValueError(f"the elements of {name!r} do not follow those before")
        last = end
    if last != len(data):
        raise ValueError("there is something behind the last element")
    return found


def _numbers(name: str, entry: Any, key: str, count: int | None = None) -> list[int]:
    """The sizes or offsets of a tensor in a header."""
    found = entry.get(key) if isinstance(entry, dict) else None
    are_numbers = isinstance(found, list) and all(type(n) is int and n >= 0 for n in found)
    if not isinstance(found, list) or not are_numbers or count not in (None, len(found)):
        raise ValueError(f"{name!r} cannot have the {key} {found!r}")
    return found


def _elements(name: str, entry: Mapping[str, Any], data: memoryview) -> Array:
    dtype, shape = entry.get("dtype"), _numbers(name, entry, "shape")
    if not isinstance(dtype, str) or dtype not in (*_DTYPES, *_WIDENED):
        raise ValueError(
            f"the tensor {name!r} has the dtype {dtype!r}, which nets does not have; convert it to "
            f"one of {', '.join((*_DTYPES, *_WIDENED))}"
        )
    stored = np.dtype(_DTYPES.get(dtype) or _WIDENED[dtype])
    if math.prod(shape) * stored.itemsize != len(data):
        raise ValueError(f"{name!r} has {len(data)} bytes for the shape {shape} of {dtype}")
    elements = np.frombuffer(data, stored).reshape(shape)
    if dtype == "BF16":  # the upper half of a float32
        return (elements.astype("<u4") << 16).view("<f4")
    return elements.astype("<f4") if dtype in _WIDENED else elements.copy()


_WRITERS: Final = {".npz": _write_npz, ".safetensors": _write_safetensors}
