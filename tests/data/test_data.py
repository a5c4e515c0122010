"""Datasets, loaders, splits, files of state, and readers of other people's files."""

from __future__ import annotations

import gzip
import io
import itertools
import json
import os
import pickle
import struct
import sys
import tarfile
import threading
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import nets
from nets import data, datasets


class Squares(data.Dataset):
    """Samples one by one, as dicts."""

    def __len__(self) -> int:
        return 5

    def __getitem__(self, index: int) -> Any:
        return {"x": np.float32(index), "square": np.array([index * index])}


def rows(loader: data.DataLoader) -> list[list[int]]:
    return [x.tolist() for (x,) in loader]


def test_batches() -> None:
    numbers = data.TensorDataset(np.arange(7))
    assert rows(data.DataLoader(numbers, 3)) == [[0, 1, 2], [3, 4, 5], [6]]
    assert rows(data.DataLoader(numbers, 3, drop_last=True)) == [[0, 1, 2], [3, 4, 5]]
    assert [len(data.DataLoader(numbers, 3, drop_last=d)) for d in (False, True)] == [3, 2]
    batch = next(iter(data.Iterator(Squares(), 5, prefetch=0)))
    assert batch["square"].tolist() == [[0], [1], [4], [9], [16]]
    assert batch["x"].dtype == np.float32
    assert len(list(Squares())) == 5
    doubled = data.DataLoader(numbers, 7, transform=lambda batch: (batch[0] * 2,))
    assert rows(doubled) == [[0, 2, 4, 6, 8, 10, 12]]
    with pytest.raises(nets.errors.ShapeError):
        data.TensorDataset(np.zeros(3), np.zeros(2))
    with pytest.raises(nets.errors.ArgumentError):
        data.DataLoader(numbers, 0)


def test_anything_with_samples_by_number_is_a_dataset() -> None:
    samples = [(np.full(2, i), {"name": f"n{i}", "i": i}) for i in range(5)]
    x, more = next(iter(data.DataLoader(data.Subset(samples, [4, 0, 2]), 2)))  # type: ignore[arg-type]
    assert x.tolist() == [[4, 4], [0, 0]]
    assert (more["name"], more["i"].tolist()) == (["n4", "n0"], [4, 0])
    ragged = [np.zeros(1), np.zeros(2)]
    with pytest.raises(nets.errors.ShapeError, match=r"\(1,\) and \(2,\)"):
        next(iter(data.DataLoader(ragged, 2)))  # type: ignore[arg-type]


def test_the_order_is_a_function_of_seed_and_epoch() -> None:
    numbers = data.TensorDataset(np.arange(10))
    loader = data.DataLoader(numbers, 4, shuffle=True, seed=3)
    first, second = rows(loader), rows(loader)
    assert sorted(x for batch in first for x in batch) == list(range(10))
    assert first != second
    again = data.DataLoader(numbers, 4, shuffle=True, seed=3, prefetch=0)
    assert [rows(again), rows(again)] == [first, second]
    assert rows(data.DataLoader(numbers, 4, shuffle=True, seed=4)) != first


OPTIONS: list[dict[str, Any]] = [
    {"shuffle": shuffle, "drop_last": drop_last, "prefetch": prefetch, "batch_size": size}
    for shuffle, drop_last, prefetch in itertools.product([False, True], [False, True], [0, 2])
    for size in (3, 5, 20)
]


def given(loader: data.DataLoader, count: int) -> tuple[list[Any], dict[str, int]]:
    """So many batches, over as many epochs as it takes, and the state after the last one."""
    found: list[Any] = []
    while len(found) < count and len(loader):
        batches = iter(loader)
        for (batch,) in batches:
            found.append(batch.tolist())
            if len(found) == count:
                state = loader.state_dict()
                batches.close()  # type: ignore[attr-defined]
                return found, state
    return found, loader.state_dict()


@pytest.mark.parametrize("options", OPTIONS, ids=str)
@pytest.mark.sampled(5)
def test_a_loader_goes_on_after_any_batch(options: dict[str, Any]) -> None:
    def loader() -> data.DataLoader:
        return data.DataLoader(data.TensorDataset(np.arange(10)), seed=1, **options)

    total = 3 * len(loader())
    expected, _ = given(loader(), total)
    assert len(expected) == total
    for count in range(total + 1):
        found, state = given(loader(), count)
        other = loader()
        other.load_state_dict(json.loads(json.dumps(state)))
        assert other.state_dict() == state
        rest, _ = given(other, total - count)
        assert found + rest == expected


@pytest.mark.parametrize("options", OPTIONS[::3], ids=str)
def test_a_loader_goes_on_between_epochs(options: dict[str, Any]) -> None:
    def loader() -> data.DataLoader:
        return data.DataLoader(data.TensorDataset(np.arange(10)), seed=1, **options)

    whole = loader()
    epochs = [rows(whole) for _ in range(3)]
    part = loader()
    for i in range(3):
        other = loader()
        other.load_state_dict(part.state_dict())
        assert [rows(other) for _ in epochs[i:]] == epochs[i:]
        assert rows(part) == epochs[i]


CHANGES: list[dict[str, Any]] = [
    {"batch_size": 2},
    {"drop_last": True},
    {"shuffle": False},
    {"seed": 5},
    {"dataset": data.TensorDataset(np.arange(11))},
]


@pytest.mark.parametrize("change", CHANGES, ids=[next(iter(c)) for c in CHANGES])
def test_the_rest_of_an_epoch_is_that_of_the_same_loader(change: dict[str, Any]) -> None:
    own: dict[str, Any] = {
        "dataset": data.TensorDataset(np.arange(10)),
        "batch_size": 3,
        "shuffle": True,
    }
    _, state = given(data.DataLoader(**own), 2)
    other = data.DataLoader(**own | change)
    with pytest.raises(nets.errors.ArgumentError, match="in the middle of an epoch"):
        other.load_state_dict(state)
    assert other.epoch == other.position == 0
    _, state = given(data.DataLoader(**own), 4)  # at the end of an epoch all of it may change
    other.load_state_dict(state)
    assert len(rows(other)) == len(other)


def test_states_that_are_none() -> None:
    loader = data.DataLoader(data.TensorDataset(np.arange(10)), 3)
    good = loader.state_dict()
    for key in good:
        with pytest.raises(nets.errors.MissingKeyError, match=key):
            loader.load_state_dict({k: v for k, v in good.items() if k != key})
        for bad in ("1", None, 1.5, np.ones(1)):
            with pytest.raises(nets.errors.ArgumentError, match=key):
                loader.load_state_dict(good | {key: bad})  # type: ignore[dict-item]
    for key in ("epoch", "position", "samples", "batch_size"):
        with pytest.raises(nets.errors.ArgumentError, match=key):
            loader.load_state_dict(good | {key: -1})
    for options in ({"batch_size": 2.5}, {"batch_size": True}, {"prefetch": -1}):
        with pytest.raises(nets.errors.ArgumentError):
            data.DataLoader(loader.dataset, **options)  # type: ignore[arg-type]


def test_the_thread_ends_and_hands_errors_over() -> None:
    class Broken(data.TensorDataset):
        def batch(self, indices: Any) -> Any:
            if 4 in indices:
                raise OSError("the disk is gone")
            return super().batch(indices)

    loader = data.DataLoader(Broken(np.arange(6)), 2)
    with pytest.raises(OSError, match="the disk is gone"):
        list(loader)
    batches = iter(data.DataLoader(data.TensorDataset(np.arange(1000)), 1))
    next(batches)
    batches.close()  # type: ignore[attr-defined]
    assert not [t for t in threading.enumerate() if t.name == "nets-batches"]


def test_samples_that_are_not_there() -> None:
    numbers = data.TensorDataset(np.arange(5))
    for samples in (numbers, data.Subset(numbers, [4, 0])):
        count = len(samples)
        assert samples[-1] == samples[count - 1]
        for bad in (count, -count - 1, 2**40):
            for call in (samples.__getitem__, lambda i, s=samples: s.batch(np.array([0, i]))):
                with pytest.raises(nets.errors.IndexOutOfBoundsError, match="no sample"):
                    call(bad)
    assert [int(x) for (x,) in data.Subset(numbers, [4, 0])] == [4, 0]


def test_splits() -> None:
    numbers = data.TensorDataset(np.arange(10))
    parts = data.random_split(numbers, [0.7, 0.3], seed=1)
    assert [len(part) for part in parts] == [7, 3]
    every = [int(x) for part in parts for (x,) in part]
    assert sorted(every) == list(range(10))
    assert [len(part) for part in data.random_split(numbers, [4, 6])] == [4, 6]
    with pytest.raises(nets.errors.ArgumentError):
        data.random_split(numbers, [4, 4])


# ---------------------------------------------------------------------------- storage

STATE = {
    "model": {"weight": np.arange(6, dtype="float32").reshape(2, 3), "flag": np.array([True])},
    "steps": {0: np.array(7), 1: nets.Tensor([1.5])},
    "rates": [0.1, (1, "two", None)],
    "a/b": np.zeros((0, 2), "int8"),
}


@pytest.mark.parametrize("ending", ["npz", "safetensors"])
def test_state_comes_back(tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"state.{ending}"
    data.save(path, STATE)
    found = data.load(path)
    assert list(found) == list(STATE)
    np.testing.assert_array_equal(found["model"]["weight"], STATE["model"]["weight"])
    assert found["model"]["weight"].dtype == np.float32
    assert found["model"]["flag"].tolist() == [True]
    assert found["steps"][0] == 7
    assert found["steps"][1].tolist() == [1.5]
    assert found["rates"] == [0.1, (1, "two", None)]
    assert found["a/b"].shape == (0, 2)
    assert [p.name for p in tmp_path.iterdir()] == [path.name]


@pytest.mark.parametrize("ending", ["npz", "safetensors"])
def test_damage_is_noticed(tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"state.{ending}"
    data.save(path, {"x": np.arange(100.0)})
    whole = path.read_bytes()
    middle = whole.index(np.arange(100.0).tobytes()) + 400
    for damaged in (b"", whole[:50], whole[:-300], whole[:middle] + b"?" + whole[middle + 1 :]):
        path.write_bytes(damaged)
        with pytest.raises(nets.errors.LoadError):
            data.load(path)
    with pytest.raises(nets.errors.LoadError):
        data.load(tmp_path / "missing.npz")


def test_a_failed_save_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "state.npz"
    data.save(path, {"x": 1})
    for bad in ({"x": object()}, {"x": np.zeros(2, complex)}, {(1, 2): 1}):
        with pytest.raises(nets.errors.ArgumentError):
            data.save(path, bad)
    assert data.load(path) == {"x": 1}
    with pytest.raises(nets.errors.ArgumentError):
        data.save(tmp_path / "state.pickle", {})
    with pytest.raises(nets.errors.ExportError):
        data.save(tmp_path / "no such folder" / "state.npz", {})


@pytest.mark.parametrize("ending", ["npz", "safetensors"])
def test_no_changed_byte_changes_what_is_read(tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"state.{ending}"
    state = {"w": np.arange(6.0), "lr": 0.01, "names": ["a", None]}
    data.save(path, state)
    whole = path.read_bytes()
    for position in range(0, len(whole), 7):
        path.write_bytes(whole[:position] + bytes([whole[position] ^ 1]) + whole[position + 1 :])
        try:
            found = data.load(path)
        except nets.errors.LoadError:
            continue
        np.testing.assert_equal(found, state, err_msg=str(position))  # a byte that says nothing


def test_the_library_safetensors_reads_what_is_written(tmp_path: Path) -> None:
    numpy = pytest.importorskip("safetensors.numpy")
    path = tmp_path / "state.safetensors"
    arrays = {"w": np.arange(6, dtype=np.float32).reshape(2, 3), "n": np.array(3)}
    data.save(path, {"model": arrays})
    found = numpy.load_file(path)
    np.testing.assert_equal(found, {f"model.{name}": x for name, x in arrays.items()})
    numpy.save_file(arrays, path)
    np.testing.assert_equal(data.load(path), arrays)


def test_safetensors_are_those_of_others(tmp_path: Path) -> None:
    header = b'{"w":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}'
    elements = np.array([1.5, -2], "<f4").tobytes()
    path = tmp_path / "other.safetensors"
    path.write_bytes(struct.pack("<Q", len(header)) + header + elements)
    assert data.load(path)["w"].tolist() == [1.5, -2.0]


def tensors(header: Any, elements: bytes = b"", size: int | None = None) -> bytes:
    """A file of safetensors with that header, be it right or not."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text) if size is None else size) + text + elements


def entry(dtype: Any = "F32", shape: Any = (2,), offsets: Any = (0, 8)) -> dict[str, Any]:
    return {"dtype": dtype, "shape": shape, "data_offsets": offsets}


HOSTILE: dict[str, bytes] = {
    "no header": b"",
    "half a size": b"\x08\0\0",
    "a header longer than the file": tensors({}, size=3),
    "a huge header": tensors({"w": entry()}, bytes(8), size=1 << 60),
    "a header of all the file": tensors({"w": entry()}, bytes(8), size=(1 << 64) - 1),
    "no JSON": tensors(b"{'w': 1}"),
    "no text": tensors(b"\xff\xfe"),
    "deep JSON": tensors(b"[" * 200_000),
    "deep closed JSON": tensors(b'{"w":' + b"[" * 99_000 + b"]" * 99_000 + b"}"),
    "a list": tensors([]),
    "a number": tensors(3),
    "an entry that is none": tensors({"w": 3}),
    "no dtype": tensors({"w": {"shape": [2], "data_offsets": [0, 8]}}, bytes(8)),
    "no shape": tensors({"w": {"dtype": "F32", "data_offsets": [0, 8]}}, bytes(8)),
    "no offsets": tensors({"w": {"dtype": "F32", "shape": [2]}}, bytes(8)),
    "a name twice": tensors(
        b'{"w":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},'
        b'"w":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}}',
        b"x",
    ),
    "beyond the file": tensors({"w": entry(offsets=(0, 8))}, bytes(7)),
    "negative offsets": tensors({"w": entry(offsets=(-8, 0))}, bytes(8)),
    "swapped offsets": tensors({"w": entry(offsets=(8, 0))}, bytes(8)),
    "offsets of floats": tensors({"w": entry(offsets=(0.0, 8.0))}, bytes(8)),
    "offsets of truths": tensors({"w": entry("U8", (1,), (False, True))}, b"x"),
    "three offsets": tensors({"w": entry(offsets=(0, 8, 8))}, bytes(8)),
    "huge offsets": tensors({"w": entry(offsets=(0, 10**30))}, bytes(8)),
    "a negative size": tensors({"w": entry(shape=(-1,))}, bytes(8)),
    "two negative sizes": tensors({"w": entry(shape=(-1, -2))}, bytes(8)),
    "a huge shape": tensors({"w": entry(shape=(10**30,))}, bytes(8)),
    "a huge empty shape": tensors({"w": entry(shape=(0, 10**30), offsets=(0, 0))}),
    "many axes": tensors({"w": entry(shape=(2, *(1,) * 100))}, bytes(8)),
    "another shape": tensors({"w": entry(shape=(3,))}, bytes(8)),
    "an overlap": tensors({"v": entry(), "w": entry(offsets=(4, 12))}, bytes(12)),
    "the same place": tensors({"v": entry(), "w": entry()}, bytes(8)),
    "a gap": tensors({"v": entry(), "w": entry(offsets=(12, 20))}, bytes(20)),
    "something before": tensors({"w": entry(offsets=(4, 12))}, bytes(12)),
    "something behind": tensors({"w": entry()}, bytes(12)),
    "metadata that are none": tensors({"__metadata__": 3}),
    "another structure": tensors({"__metadata__": {"__structure__": "[]"}}),
    "text": b"This is no file of weights, whatever its name says.",
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_files_of_safetensors(name: str, tmp_path: Path) -> None:
    path = tmp_path / "other.safetensors"
    path.write_bytes(HOSTILE[name])
    with pytest.raises(nets.errors.LoadError, match=r"other\.safetensors"):
        data.load(path)


def test_forged_structures(tmp_path: Path) -> None:
    path = tmp_path / "state.npz"
    deep = '{"list": [' * 50_000 + "]}" * 50_000
    for text in ("[]", "3", '{"list": []}', '{"dict": 3}', '{"__array__": "x"}', "{}", deep):
        np.savez(path, __structure__=np.frombuffer(text.encode(), np.uint8))
        with pytest.raises(nets.errors.LoadError):
            data.load(path)


def test_elements_of_16_bits_become_float32(tmp_path: Path) -> None:
    path = tmp_path / "half.safetensors"
    bits = np.arange(1 << 16, dtype="<u2")
    header = {
        "half": entry("F16", (256, 256), (0, 2 * bits.size)),
        "brain": entry("BF16", (65536,), (2 * bits.size, 4 * bits.size)),
        "none": entry("BF16", (0, 3), (4 * bits.size, 4 * bits.size)),
        "one": entry("F16", (), (4 * bits.size, 4 * bits.size + 2)),
    }
    path.write_bytes(tensors(header, bits.tobytes() * 2 + np.float16(1.5).tobytes()))
    found = data.load(path)
    assert all(array.dtype == np.float32 for array in found.values())
    assert (found["one"], found["none"].shape) == (1.5, (0, 3))
    # What a bfloat16 means, from its parts; subnormals, infinities and NaN included.
    sign, exponent, fraction = bits >> 15, (bits >> 7 & 255).astype(int), bits & 127
    scale = np.ldexp(1.0, np.maximum(exponent, 1) - 134)
    value = np.where(exponent > 0, 128 + fraction, fraction) * scale * np.where(sign, -1, 1)
    special = np.where(fraction > 0, np.nan, np.where(sign, -np.inf, np.inf))
    np.testing.assert_array_equal(found["brain"], np.where(exponent == 255, special, value))
    np.testing.assert_array_equal(found["half"].ravel(), bits.view(np.float16).astype(float))
    layer = nets.nn.Linear(256, 256, bias=False)
    layer.load_state_dict({"weight": found["half"]})
    assert layer.weight.dtype == np.float32
    np.savez(tmp_path / "half.npz", w=np.float16([1.5, 2]))
    assert data.load(tmp_path / "half.npz")["w"].dtype == np.float32


@pytest.mark.parametrize("dtype", ["F8_E4M3", "F8_E5M2", "C64", "F4", "f32", "", None, 3, ["F32"]])
def test_other_dtypes_are_named(dtype: Any, tmp_path: Path) -> None:
    path = tmp_path / "other.safetensors"
    path.write_bytes(tensors({"deep.weight": entry(dtype)}, bytes(8)))
    with pytest.raises(nets.errors.LoadError, match=r"'deep\.weight' has the dtype .*F64, F32"):
        data.load(path)


class Exploding:
    """What must never be unpickled."""

    def __reduce__(self) -> Any:
        return pytest.fail, ("a pickle was run",)


@pytest.mark.parametrize("ending", ["pt", "pth", "bin", "safetensors", "npz"])
def test_files_of_pytorch_are_refused_with_the_way_to_convert_them(
    ending: str, tmp_path: Path
) -> None:
    path = tmp_path / f"model.{ending}"
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("model/data.pkl", pickle.dumps(Exploding()))
        file.writestr("model/data/0", bytes(8))
    pickles = [pickle.dumps(Exploding(), protocol) for protocol in (2, 3, 4, 5)]
    legacy = pickle.dumps(0x1950A86A20F9469CFC6C, 2) + pickles[0]
    for content in (archive.getvalue(), legacy, *pickles):
        path.write_bytes(content)
        with pytest.raises(nets.errors.LoadError, match=r"(?s)torch\.load\('model.*save_file"):
            data.load(path)


def test_what_is_no_file(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.npz")
    for path in (tmp_path, tmp_path / "pipe.npz", tmp_path / "missing.pt"):
        with pytest.raises(nets.errors.LoadError, match="there is no file"):
            data.load(path)


# ---------------------------------------------------------------------------- datasets


def idx(array: np.ndarray[Any, Any], code: int) -> bytes:
    big = array.astype(array.dtype.newbyteorder(">"))
    return (
        bytes([0, 0, code, array.ndim])
        + struct.pack(f">{array.ndim}I", *array.shape)
        + big.tobytes()
    )


def test_mnist(tmp_path: Path) -> None:
    images = np.arange(3 * 28 * 28, dtype=np.uint8).reshape(3, 28, 28)
    (tmp_path / "t10k-images-idx3-ubyte.gz").write_bytes(gzip.compress(idx(images, 8)))
    (tmp_path / "t10k-labels.idx1-ubyte").write_bytes(idx(np.array([3, 1, 2], np.uint8), 8))
    found = datasets.mnist(tmp_path, train=False)
    x, y = found.batch(np.arange(3))
    assert (x.shape, x.dtype, y.tolist(), y.dtype) == (
        (3, 1, 28, 28),
        np.float32,
        [3, 1, 2],
        np.int64,
    )
    assert x.max() == 1.0
    with pytest.raises(nets.errors.LoadError, match="https://"):
        datasets.mnist(tmp_path)
    numbers = np.array([[1, -2]], np.int32)
    (tmp_path / "numbers").write_bytes(idx(numbers, 12))
    assert datasets.read_idx(tmp_path / "numbers").tolist() == [[1, -2]]
    for damaged in (b"", b"text", idx(numbers, 12)[:-1], b"\0\0\x08\xff\0", b"\x1f\x8bnothing"):
        (tmp_path / "damaged").write_bytes(damaged)
        with pytest.raises(nets.errors.LoadError):
            datasets.read_idx(tmp_path / "damaged")


def test_cifar10(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (4, 3072)).astype(np.uint8)
    labels = [3, 9, 0, 1]
    binary = np.column_stack([np.array(labels, np.uint8), images]).tobytes()
    (tmp_path / "binary").mkdir()
    (tmp_path / "binary" / "test_batch.bin").write_bytes(binary)
    batch = {b"batch_label": b"testing", b"labels": labels, b"data": images, b"filenames": [b"a"]}
    pickled = tmp_path / "cifar-10-python.tar.gz"
    with tarfile.open(pickled, "w:gz") as archive:
        content = pickle.dumps(batch, protocol=2)
        member = tarfile.TarInfo("cifar-10-batches-py/test_batch")
        member.size = len(content)
        archive.addfile(member, io.BytesIO(content))
    expected = images.reshape(4, 3, 32, 32).astype(np.float32) / 255
    x, y = datasets.cifar10(tmp_path / "binary", train=False).arrays
    np.testing.assert_array_equal(x, expected)
    assert y.tolist() == labels
    with pytest.raises(nets.errors.LoadError, match="https://"):
        datasets.cifar10(pickled)
    (tmp_path / "binary" / "test_batch.bin").write_bytes(binary[:-1])
    with pytest.raises(nets.errors.LoadError, match="not complete"):
        datasets.cifar10(tmp_path / "binary", train=False)


def test_pickles_are_read_but_not_run(tmp_path: Path) -> None:
    pixels = bytes(range(256)) * 24
    strings = b"U\x04dataT" + struct.pack("<I", len(pixels)) + pixels + b"U\x06labels"
    # The strings of Python 2, which wrote the archive, in its second protocol.
    (tmp_path / "test_batch").write_bytes(b"\x80\x02}(" + strings + b"](K\x03K\x09eu.")
    x, y = datasets.cifar10(tmp_path, train=False).arrays
    assert (x.shape, y.tolist()) == ((2, 3, 32, 32), [3, 9])
    (tmp_path / "test_batch").write_bytes(b"cos\nsystem\n(S'exit 1'\ntR.")
    with pytest.raises(nets.errors.LoadError):
        datasets.cifar10(tmp_path, train=False)


def test_csv(tmp_path: Path) -> None:
    path = tmp_path / "table.csv"
    path.write_text("a,b,c\n1,2.5,0\n-3,NA,1\n", encoding="utf-8-sig")
    table, names = datasets.read_csv(path)
    assert names == ["a", "b", "c"]
    np.testing.assert_array_equal(table, [[1, 2.5, 0], [-3, np.nan, 1]])
    x, y = datasets.csv(path, "c", classes=True).arrays
    assert (x.dtype, x.shape, y.tolist()) == (np.float32, (2, 2), [0, 1])
    assert datasets.csv(path, 0).arrays[1].tolist() == [[1.0], [-3.0]]
    for text in ("", "1,2\n3\n", "1,2\n3,x\n"):
        path.write_text(text, encoding="utf-8")
        with pytest.raises(nets.errors.LoadError):
            datasets.read_csv(path)
    for label in ("", "1.5", "inf"):
        path.write_text(f"1,2\n1,{label}\n", encoding="utf-8")
        with pytest.raises(nets.errors.LoadError, match="label of sample 1"):
            datasets.csv(path, classes=True)
    with pytest.raises(nets.errors.ArgumentError, match="no column 'z'"):
        datasets.csv(path, "z")


@pytest.mark.long
def test_sets_of_scikit_learn(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("sklearn")
    x, y = datasets.digits().arrays
    assert (x.shape, x.dtype, x.max(), y.dtype) == ((1797, 64), np.float32, 1.0, np.int64)
    assert datasets.digits(flat=False).arrays[0].shape == (1797, 1, 8, 8)
    assert datasets.iris().arrays[0].shape == (150, 4)
    monkeypatch.setitem(sys.modules, "sklearn.datasets", None)
    with pytest.raises(nets.errors.LoadError, match=r"nets-compiler\[demo\]"):
        datasets.wine()
