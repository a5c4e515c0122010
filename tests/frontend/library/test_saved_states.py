"""Initial and saved states of libraries, from C: what is held, what fits, what is touched."""

from __future__ import annotations

import ctypes
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import nets
from nets import nn, optim
from nets.backend.library.state.functions import OTHER_STATE
from nets.errors import LoadError
from tests.backend.guarded import Guarded
from tests.frontend.library.test_export import WARNINGS, bits

X = np.ones((2, 64), "float32")


def exported(base: Path, *tensors: Any, formats: Any = ("so",)) -> Any:
    """A library whose only function adds one to each of these tensors."""

    @nets.trace
    def step() -> Any:
        for tensor in tensors:
            tensor.data = tensor + 1
        return sum(tensor.sum() for tensor in tensors)

    return nets.export(base, step=step.lower(), cpu="x86-64-v3", formats=formats)


class States:
    """The functions of the state of a library, on memory between guard pages."""

    def __init__(self, path: Path) -> None:
        self.library = nets.load(path)
        self._code = ctypes.CDLL(str(path))
        self.size = self.library.description.state_bytes
        assert self("state_bytes") == self.size

    def __call__(self, word: str, *pointers: Guarded) -> int:
        function = getattr(self._code, f"{self.library.description.name}_{word}")
        function.restype = ctypes.c_int32
        return int(function(*(ctypes.c_void_p(pointer.address) for pointer in pointers)))

    def memory(self, data: bytes | None = None) -> Guarded:
        """So many bytes, behind which nothing can be touched."""
        content = np.full(self.size, 0xA5, np.uint8) if data is None else np.frombuffer(data, "u1")
        return Guarded(content, at_end=True)


def sparse(size: int, density: float, seed: int) -> Any:
    """Zeros with some numbers among them."""
    random = np.random.default_rng(seed)
    values = random.normal(size=size).astype("float32")
    return nets.Tensor(np.where(random.random(size) < density, values, 0).astype("float32"))


@pytest.mark.parametrize("density", [0, 0.001, 0.02, 1])
def test_states_begin_as_python_has_them(tmp_path: Path, density: float) -> None:
    tensors = [sparse(size, density, size) for size in (1, 63, 64, 65, 1000, 5000)]
    expected = [tensor.numpy() for tensor in tensors]
    states = States(exported(tmp_path / "begin", *tensors).files[0])
    state = states.memory()
    assert states("init_state", state) == 0
    state.read_only()
    saved = states.memory()
    assert states("save_state", state, saved) == 0
    assert bytes(saved.array) == bytes(state.array) == states.library.state.save()
    states.library.state.load(bytes(saved.array))
    for found, own in zip(states.library.state.values(), expected, strict=True):
        assert np.array_equal(found, own)


@pytest.mark.long
def test_zeros_take_no_bytes(tmp_path: Path) -> None:
    model = nn.Sequential(nn.Linear(64, 256), nn.Tanh(), nn.Linear(256, 64))
    optimizer = optim.Adam(model.parameters())

    @nets.trace
    def fit(x: Any) -> Any:
        optimizer.zero_grad()
        loss = ((model(x) - x) ** 2).mean()
        loss.backward()
        optimizer.step()
        return loss

    new = nets.export(tmp_path / "new", fit=fit.lower(X), formats=("o", "so")).files
    begun = nets.load(new[1]).fit(X)
    assert bits(fit(X).numpy()) == bits(begun)
    trained = nets.export(tmp_path / "trained", fit=fit.lower(X), formats=("o",)).files
    weights = sum(parameter.numpy().nbytes for parameter in model.parameters())
    assert trained[0].stat().st_size - new[0].stat().st_size > 1.9 * weights


def other_states(folder: Path) -> list[bytes]:
    """Saved states of as many bytes of libraries with other members."""
    made = []
    for number, tensors in enumerate(
        [
            [nets.Tensor(np.zeros((3, 2), "float32")), nets.Tensor(np.zeros(4))],
            [nets.Tensor(np.zeros((2, 3), "int32")), nets.Tensor(np.zeros(4))],
            [nets.Tensor(np.zeros((2, 3), "float32")), nets.Tensor(np.zeros(4, "int64"))],
        ]
    ):
        path = exported(folder / f"other{number}", *tensors).files[0]
        made.append(nets.load(path).state.save())
    return made


def test_states_of_other_layouts_are_refused_and_nothing_is_touched(tmp_path: Path) -> None:
    tensors = [nets.Tensor(np.zeros((2, 3), "float32")), nets.Tensor(np.zeros(4))]
    states = States(exported(tmp_path / "own", *tensors).files[0])
    good = states.library.state.save()
    flipped = [
        good[:place] + bytes([good[place] ^ 1]) + good[place + 1 :]
        for place in range(len(good) - 32, len(good))
    ]
    wrong = [*other_states(tmp_path), *flipped, bytes(len(good)), b"\xff" * len(good)]
    assert all(len(each) == len(good) for each in wrong)
    for each in wrong:
        state, given = states.memory(), states.memory(each).read_only()
        assert states("load_state", state, given) == OTHER_STATE < 0
        assert bytes(state.array) == b"\xa5" * len(good)
    state, given = states.memory(), states.memory(good).read_only()
    assert states("load_state", state, given) == 0
    assert bytes(state.array) == good


def test_libraries_with_the_same_members_read_each_others_states(tmp_path: Path) -> None:
    w = nets.Tensor(np.arange(3.0))
    small = nets.trace(lambda x: _moved(w, x))
    for name, rows in (("small", 2), ("large", 5)):
        nets.export(tmp_path / name, step=small.lower(np.ones((rows, 3))), formats=("so",))
    first, second = nets.load(tmp_path / "small.so"), nets.load(tmp_path / "large.so")
    first.step(np.ones((2, 3)))
    second.state.load(first.state.save())
    assert second.state["w"].tolist() == first.state["w"].tolist() == [2, 3, 4]


def _moved(w: Any, x: Any) -> Any:
    w.data = w + x.sum() / x.size * 2
    return w


PROGRAM = r"""
#include "own.h"
#include <stdio.h>
#include <string.h>
int main(void) {
    own_state filled, read;
    unsigned char bytes[sizeof(own_state) + 1], *saved = bytes + 1;
    memset(&filled, 0, sizeof filled); /* by hand, without own_init_state */
    filled.tensors_0[5] = 7;
    if (own_save_state(&filled, saved) != 0 || own_load_state(&read, saved) != 0) return 1;
    if (read.tensors_0[5] != 7) return 2;
    saved[sizeof(own_state) - 1] ^= 1;
    read.tensors_0[5] = 8;
    int32_t status = own_load_state(&read, saved);
    if (status >= 0 || read.tensors_0[5] != 8) return 3;
    puts(own_status_message(status));
    return 0;
}
"""


@pytest.mark.parametrize("compiler", ["cc", "c++"])
def test_what_c_says_of_another_state(tmp_path: Path, compiler: str) -> None:
    if shutil.which(compiler) is None:
        pytest.skip(f"no {compiler}")
    exported(tmp_path / "own", nets.Tensor(np.zeros((2, 3), "float32")), formats=("a", "h"))
    source = tmp_path / ("main.cpp" if compiler == "c++" else "main.c")
    source.write_text(PROGRAM)
    standard = "-std=c++17" if compiler == "c++" else "-std=c11"
    command = [compiler, standard, *WARNINGS, str(source), str(tmp_path / "own.a")]
    subprocess.run([*command, "-o", str(tmp_path / "main")], check=True)
    found = subprocess.run([str(tmp_path / "main")], capture_output=True, text=True, check=True)
    assert found.stdout == "the bytes are no saved state of this library, or of another layout\n"


def test_a_description_of_another_layout_is_not_believed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = exported(tmp_path / "own", nets.Tensor(np.zeros(3))).files[0]
    told: Callable[[Any], bytes] = lambda library: bytes(32)  # noqa: E731
    monkeypatch.setattr("nets.backend.library.state.exchange.layout_mark", told)
    with pytest.raises(LoadError, match="code and description differ"):
        nets.load(path)
