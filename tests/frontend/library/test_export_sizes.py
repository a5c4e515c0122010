"""Libraries whose functions are told sizes by each call."""

from __future__ import annotations

import ctypes
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import nets
from nets import nn, optim
from nets.backend.library.manifest_reading import from_json
from nets.errors import LoadError, ShapeError

BATCH = nets.dim(1, 4096)
REFUSED = (0, -1, 4097, 2**63 - 1, -(2**63), 2**40)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A library ``open`` of two functions, and its files."""
    rng = np.random.default_rng(0)
    w, v = (rng.normal(size=size).astype("f4") for size in ((20, 30), (30, 10)))
    predict = nets.trace(lambda x: nets.softmax(nets.relu(x @ w) @ v, axis=1))
    sums = nets.trace(lambda x, y: (x.sum() + y.sum(), x * 2))
    even = nets.dim(0, 2**50, multiple_of=2)
    path = tmp_path_factory.mktemp("open")
    nets.export(
        path / "open",
        predict=predict.lower(nets.spec("f32[batch, 20]", batch=BATCH)),
        sums=sums.lower(nets.spec("f32[n, 3]", n=even), nets.spec("f32[n]", n=even)),
    )
    return path


@pytest.fixture(scope="module")
def library(folder: Path) -> Any:
    return nets.load(folder / "open.so")


def test_results_are_those_of_fixed_sizes(library: Any, tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    for n in (2, 64):
        x, y = rng.normal(size=(n, 3)).astype("f4"), rng.normal(size=n).astype("f4")
        sums = nets.trace(lambda x, y: (x.sum() + y.sum(), x * 2))
        expected = sums(x, y)
        found = library.sums(x, y)
        assert all(a.tobytes() == b.numpy().tobytes() for a, b in zip(found, expected, strict=True))
    assert library.predict(np.ones((7, 20), "f4")).shape == (7, 10)
    total, doubled = library.sums(np.ones((0, 3), "f4"), np.ones(0, "f4"))
    assert total == 0
    assert doubled.shape == (0, 3)


def test_arrays_of_other_sizes(library: Any) -> None:
    with pytest.raises(ShapeError, match="batch is 4097 in this call of predict"):
        library.predict(np.ones((4097, 20), "f4"))
    with pytest.raises(ShapeError, match="multiples of 2"):
        library.sums(np.ones((3, 3), "f4"), np.ones(3, "f4"))
    with pytest.raises(ShapeError, match="n is 2 in x and 4 in y"):
        library.sums(np.ones((2, 3), "f4"), np.ones(4, "f4"))
    with pytest.raises(ShapeError):
        library.predict(np.ones((3, 21), "f4"))


def test_the_header(folder: Path) -> None:
    text = (folder / "open.h").read_text()
    assert "/* batch is 1 to 4096; x: f32[batch, 20] -> out: f32[batch, 10] */" in text
    assert "int32_t open_predict(\n    int64_t batch,\n    const float *x," in text
    assert "size_t open_predict_workspace_bytes(int64_t batch);" in text


def test_hostile_sizes_touch_nothing(folder: Path) -> None:
    code = ctypes.CDLL(str(folder / "open.so"))
    code.open_status_message.restype = ctypes.c_char_p
    code.open_predict_workspace_bytes.restype = ctypes.c_size_t
    size, null = ctypes.c_int64, ctypes.c_void_p()
    for n in REFUSED:
        status = code.open_predict(size(n), null, null, null)
        assert code.open_status_message(status) == b"batch is 1 to 4096"
        assert code.open_predict_workspace_bytes(size(n)) == 0
    status = code.open_sums(size(3), *[null] * 5)
    assert b"a multiple of 2" in code.open_status_message(status)
    assert code.open_predict(size(3), null, null, null) == -1


def test_too_large_for_memory(tmp_path: Path) -> None:
    spec = nets.spec("f32[n, n]", n=nets.dim(0, 2**40))
    nets.export(tmp_path / "huge", f=nets.trace(lambda x: x.sum()).lower(spec))
    code = ctypes.CDLL(str(tmp_path / "huge.so"))
    code.huge_status_message.restype = ctypes.c_char_p
    status = code.huge_f(ctypes.c_int64(2**33), *[ctypes.c_void_p()] * 3)
    assert code.huge_status_message(status) == b"no memory holds arrays of these sizes"


def test_empty_arrays_may_be_null(folder: Path) -> None:
    code = ctypes.CDLL(str(folder / "open.so"))
    code.open_sums_workspace_bytes.restype = ctypes.c_size_t
    room = code.open_sums_workspace_bytes(ctypes.c_int64(0)) + 64
    memory = ctypes.create_string_buffer(room + 64)
    workspace = ctypes.c_void_p((ctypes.addressof(memory) + 63) // 64 * 64)
    total, null = ctypes.c_float(5), ctypes.c_void_p()
    status = code.open_sums(ctypes.c_int64(0), null, null, ctypes.byref(total), null, workspace)
    assert (status, total.value) == (0, 0)


@pytest.mark.long
def test_a_training_step_takes_any_batch(tmp_path: Path) -> None:
    nets.manual_seed(0)
    model = nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 3))
    optimizer = optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    criterion = nn.CrossEntropyLoss()

    @nets.trace
    def fit(x: Any, kind: Any) -> Any:
        optimizer.zero_grad()
        loss = criterion(model(x), kind)
        loss.backward()
        optimizer.step()
        return loss

    lowered = fit.lower(nets.spec("f32[n, 6]", n=BATCH), nets.spec("i64[n]", n=BATCH))
    nets.export(tmp_path / "learner", fit=lowered)
    library = nets.load(tmp_path / "learner.so")
    rng = np.random.default_rng(2)
    for n in (1, 5, 64):
        x, kind = rng.normal(size=(n, 6)).astype("f4"), rng.integers(0, 3, n)
        assert library.fit(x, kind).tobytes() == fit(x, kind).numpy().tobytes()


def test_manifests_are_checked(library: Any) -> None:
    given = json.loads(library.description.to_json())
    assert from_json(json.dumps(given)) == library.description
    for function in given["functions"]:
        function["dims"] = []
    with pytest.raises(LoadError, match="a size of"):
        from_json(json.dumps(given))
