"""Large constants of libraries: each stands where its stand-in stood, and once."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import nets
from nets.backend.llvm.constants import LEAST_BYTES, LargeData
from nets.backend.llvm.target import host, linked_object_code
from nets.errors import CompileError

RANDOM = np.random.default_rng(0)


def sum_of(symbol: str, constant: str) -> str:
    return f"""
define i8 @{symbol}(i64 %i) {{
  %first = load i8, ptr @{constant}
  %place = getelementptr i8, ptr @{constant}, i64 %i
  %other = load i8, ptr %place
  %sum = add i8 %first, %other
  ret i8 %sum
}}"""


def test_two_modules_share_what_is_equal() -> None:
    large, data, other = LargeData(), RANDOM.bytes(LEAST_BYTES), RANDOM.bytes(LEAST_BYTES + 7)
    modules = []
    for number, each in enumerate((data, data, other)):
        symbol, text = large.stand_in(each)
        modules.append(text + sum_of(f"f{number}", symbol))
    assert sum(len(text) for text in modules) < LEAST_BYTES
    assert len(large) == len(data) + len(other)
    code = linked_object_code(modules, ["f0", "f1", "f2"], large, host())
    assert (code.count(data), code.count(other)) == (1, 1)


@pytest.mark.parametrize("size", [LEAST_BYTES // 4 - 1, LEAST_BYTES // 4, 5000])
def test_weights_of_libraries_are_those_of_python(size: int, tmp_path: Path) -> None:
    frozen = nets.Tensor(RANDOM.standard_normal(size).astype(np.float32))
    moved = nets.Tensor(RANDOM.standard_normal(size).astype(np.float32))
    still = nets.Tensor(np.zeros(size, np.float32))

    @nets.trace
    def predict(x: nets.Tensor) -> nets.Tensor:
        return x * frozen[::-1] + frozen[0]

    @nets.trace
    def step(x: nets.Tensor) -> nets.Tensor:
        nonlocal moved
        moved += x * frozen
        return moved + still

    x = RANDOM.standard_normal(size).astype(np.float32)
    nets.export(tmp_path / "weights", predict=predict.lower(x), step=step.lower(x))
    library = nets.load(tmp_path / "weights.so")
    assert library.predict(x).tobytes() == predict(x).numpy().tobytes()
    for _ in range(2):
        assert library.step(x).tobytes() == step(x).numpy().tobytes()
    code = (tmp_path / "weights.o").read_bytes()
    assert code.count(frozen.numpy().tobytes()) == 1


def test_a_stand_in_that_is_gone() -> None:
    large = LargeData()
    large.stand_in(RANDOM.bytes(LEAST_BYTES))
    with pytest.raises(CompileError, match="dropped a constant of 4096 bytes"):
        large.filled(b"code")
