"""Exported libraries: called from C and from Python, and everything that can be wrong with them."""

from __future__ import annotations

import json
import shutil
import struct
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest

import nets
from nets.backend.library.manifest import MARK
from nets.errors import (
    ArgumentError,
    CompileError,
    DTypeError,
    ExportError,
    IndexOutOfBoundsError,
    LoadError,
    ShapeError,
)

WARNINGS = ["-Wall", "-Wextra", "-Werror", "-pedantic"]
rng = np.random.default_rng(0)
X = rng.normal(size=(6, 5)).astype("float32")
PARAMS = {"w": rng.normal(size=(5, 3)).astype("float32"), "b": np.zeros(3, "float32")}


def network(params: Any, x: Any) -> Any:
    return nets.tanh(x @ params["w"] + params["b"])


def loss(params: Any, x: Any) -> Any:
    return (network(params, x) ** 2).mean()


def pick(x: Any, indices: Any) -> Any:
    return x[indices]


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A library with a network, its gradient, and an indexing function."""
    base = tmp_path_factory.mktemp("export") / "small"
    nets.export(
        base,
        cpu="x86-64-v3",
        predict=nets.trace(network).lower(PARAMS, X),
        loss_and_grad=nets.value_and_grad(loss).lower(PARAMS, X),
        pick=nets.trace(pick).lower(X, np.array([0, 1])),
    )
    return base


def compile_and_run(
    folder: Path, source: str, language: str = "c", *, valgrind: bool = False
) -> str:
    """What a program prints that includes small.h and links small.a."""
    compiler, standard = {"c": ("cc", "c11"), "c++": ("c++", "c++17")}[language]
    if shutil.which(compiler) is None:
        pytest.skip(f"no {compiler}")
    path = folder / f"main.{'c' if language == 'c' else 'cpp'}"
    path.write_text(source)
    program = folder / f"main_{language}"
    command = [compiler, f"-std={standard}", *WARNINGS, "-g", f"-I{folder}", str(path)]
    command += [str(folder / "small.a"), "-lpthread", "-o", str(program)]
    subprocess.run(command, check=True)
    runner = ["valgrind", "-q", "--error-exitcode=9", "--leak-check=full"] if valgrind else []
    done = subprocess.run([*runner, program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def c_array(values: np.ndarray[Any, Any]) -> str:
    return "{" + ",".join(f"{float(v).hex()}f" for v in values.ravel()) + "}"


CALLER = f"""
#include "small.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
static const float w[15] = {c_array(PARAMS["w"])};
static const float b[3] = {c_array(PARAMS["b"])};
static const float x[30] = {c_array(X)};
static void *workspace_of(size_t bytes) {{
    return bytes ? aligned_alloc(64, (bytes + 63) / 64 * 64) : NULL;
}}
"""

PREDICT = """
int main(void) {
    float *out = (float *)malloc(18 * sizeof *out);
    void *workspace = workspace_of(small_predict_workspace_bytes());
    if (out == NULL || small_predict(b, w, x, out, workspace) != 0) return 1;
    for (int i = 0; i < 18; i++) {
        uint32_t u;
        memcpy(&u, out + i, 4);
        printf("%08x ", (unsigned)u);
    }
    free(out);
    free(workspace);
    return small_abi_version() == SMALL_ABI_VERSION ? 0 : 1;
}
"""


def bits(array: Any) -> str:
    return "".join(f"{u:08x} " for u in np.asarray(array).ravel().view("uint32"))


@pytest.mark.parametrize("language", ["c", "c++"])
def test_c_and_cpp_callers_get_the_bits_of_the_jit(library: Path, language: str) -> None:
    expected = bits(nets.trace(network)(PARAMS, X).numpy())
    assert compile_and_run(library.parent, CALLER + PREDICT, language) == expected


def test_valgrind_is_silent(library: Path) -> None:
    if shutil.which("valgrind") is None:
        pytest.skip("no valgrind")
    compile_and_run(library.parent, CALLER + PREDICT, valgrind=True)


def test_two_c_threads_run_it_at_once(library: Path) -> None:
    source = (
        CALLER
        + """
#include <pthread.h>
static float reference[18];
static void *run(void *failed) {
    void *workspace = workspace_of(small_predict_workspace_bytes());
    for (int i = 0; i < 20000; i++) {
        float out[18];
        if (small_predict(b, w, x, out, workspace) != 0 || memcmp(out, reference, sizeof out) != 0)
            *(int *)failed = 1;
    }
    free(workspace);
    return NULL;
}
int main(void) {
    void *workspace = workspace_of(small_predict_workspace_bytes());
    if (small_predict(b, w, x, reference, workspace) != 0) return 1;
    free(workspace);
    int failed[2] = {0, 0};
    pthread_t threads[2];
    for (int i = 0; i < 2; i++) pthread_create(&threads[i], NULL, run, &failed[i]);
    for (int i = 0; i < 2; i++) pthread_join(threads[i], NULL);
    return failed[0] || failed[1];
}
"""
    )
    compile_and_run(library.parent, source)


def test_bad_pointers_and_values_get_a_status(library: Path) -> None:
    source = (
        CALLER
        + """
int main(void) {
    float out[19];
    static const int64_t far[2] = {0, 6};
    void *workspace = workspace_of(small_predict_workspace_bytes());
    void *other = workspace_of(small_pick_workspace_bytes());
    int32_t null = small_predict(NULL, w, x, out, workspace);
    int32_t odd = small_predict(b, w, x, (float *)(void *)((char *)out + 1), workspace);
    int32_t range = small_pick(x, far, out, other);
    printf("%d %d %d|%s|%s|%s|%s", (int)null, (int)odd, range > 0, small_status_message(null),
           small_status_message(odd), small_status_message(range), small_status_message(99));
    free(workspace);
    free(other);
    return 0;
}
"""
    )
    numbers, null, odd, value, unknown = compile_and_run(library.parent, source).split("|")
    assert numbers == "-1 -2 1"
    assert null == "a pointer is null"
    assert "not aligned" in odd
    assert "out of bounds for axis 0 of size 6" in value
    assert unknown == "unknown status"


def test_needs_nothing_but_libc(library: Path) -> None:
    listed = subprocess.run(
        ["nm", "-D", "--undefined-only", f"{library}.so"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    symbols = {line.split()[-1].split("@")[0] for line in listed.splitlines()}
    assert symbols <= {"memcpy", "memset", "memmove"}
    dynamic = subprocess.run(
        ["readelf", "-d", f"{library}.so"], capture_output=True, text=True, check=True
    ).stdout
    assert [line for line in dynamic.splitlines() if "NEEDED" in line and "libc." not in line] == []


def test_defines_its_interface_and_nothing_else(library: Path) -> None:
    listed = subprocess.run(
        ["nm", "-D", "--defined-only", f"{library}.so"], capture_output=True, text=True, check=True
    ).stdout
    names = {line.split()[-1] for line in listed.splitlines()}
    functions = ("predict", "loss_and_grad", "pick")
    expected = {f"small_{f}{s}" for f in functions for s in ("", "_workspace_bytes")}
    assert names == expected | {"small_abi_version", "small_describe", "small_status_message"}


def test_writes_to_nothing_of_its_own_but_the_level_of_the_cpu(library: Path) -> None:
    listed = subprocess.run(
        ["nm", f"{library}.o"], capture_output=True, text=True, check=True
    ).stdout
    written = [line.split()[-1] for line in listed.splitlines() if line.split()[-2] in "dDbBC"]
    assert written == ["cpu.level.kept"]


def test_is_small(library: Path) -> None:
    assert Path(f"{library}.so").stat().st_size < 100_000


def test_size_or_speed(tmp_path: Path) -> None:
    """Less code, the same bits; much of what is left is the interface."""
    lowered = nets.value_and_grad(loss).lower(PARAMS, X)
    sizes = {}
    for optimize in ("speed", "size"):
        base = tmp_path / optimize
        nets.export(base, cpu="x86-64-v3", formats=("o", "so"), optimize=optimize, step=lowered)
        sizes[optimize] = base.with_suffix(".o").stat().st_size
        found = nets.load(base.with_suffix(".so")).step(PARAMS, X)
        for have, want in zip(*map(leaves, (found, lowered.compile()(PARAMS, X))), strict=True):
            np.testing.assert_array_equal(have, want)
    assert sizes["size"] < 0.85 * sizes["speed"]


def test_small_code_of_all_levels_needs_nothing(tmp_path: Path) -> None:
    """LLVM would call the compiler's library for shifts of 128 bits, of sines of large numbers."""
    x = np.array([1.0, 1e300, -3e19])
    nets.export(tmp_path / "sine", optimize="size", sine=nets.trace(lambda x: nets.sin(x)).lower(x))
    found = nets.load(tmp_path / "sine.so").sine(x)
    assert found.tobytes() == nets.trace(lambda x: nets.sin(x))(x).numpy().tobytes()


def leaves(value_and_grads: Any) -> list[Any]:
    value, grads = value_and_grads
    return [np.asarray(value), *(np.asarray(grads[name]) for name in ("b", "w"))]


def test_two_exports_are_the_same_bytes(library: Path, tmp_path: Path) -> None:
    nets.export(
        tmp_path / "small",
        cpu="x86-64-v3",
        predict=nets.trace(network).lower(PARAMS, X),
        loss_and_grad=nets.value_and_grad(loss).lower(PARAMS, X),
        pick=nets.trace(pick).lower(X, np.array([0, 1])),
    )
    for suffix in ("so", "a", "o", "h"):
        assert (tmp_path / f"small.{suffix}").read_bytes() == Path(
            f"{library}.{suffix}"
        ).read_bytes()


def test_describes_itself(library: Path) -> None:
    data = Path(f"{library}.so").read_bytes()
    text = data[data.index(MARK) + len(MARK) :].split(b"\0")[0]
    described = json.loads(text)
    assert described["abi"] == 1
    assert described["cpu"] == "x86-64-v3"
    (predict,) = [f for f in described["functions"] if f["name"] == "predict"]
    assert [a["name"] for a in predict["arguments"]] == ["params_b", "params_w", "x"]
    assert predict["results"] == [{"name": "out", "dtype": "f32", "shape": [6, 3]}]


# -------------------------------------------------------------------------- nets.load


def test_load_gives_the_bits_of_the_jit(library: Path) -> None:
    loaded = nets.load(f"{library}.so")
    value, grads = loaded.loss_and_grad(PARAMS, x=X)
    expected_value, expected_grads = nets.value_and_grad(loss)(PARAMS, X)
    assert bits(value) == bits(expected_value.numpy())
    assert {k: bits(v) for k, v in grads.items()} == {
        k: bits(v.numpy()) for k, v in expected_grads.items()
    }
    assert loaded.functions == ("predict", "loss_and_grad", "pick")


def test_load_takes_any_layout(library: Path) -> None:
    loaded = nets.load(f"{library}.so")
    unaligned = np.frombuffer(b"\0" + X.tobytes(), "float32", offset=1).reshape(X.shape)
    for x in (np.asfortranarray(X), X[::-1][::-1], unaligned, nets.Tensor(X)):
        assert bits(loaded.predict(PARAMS, x)) == bits(loaded.predict(PARAMS, X))


def test_load_from_several_threads(library: Path) -> None:
    loaded = nets.load(f"{library}.so")
    expected = bits(loaded.predict(PARAMS, X))
    found: list[str] = []

    def work() -> None:
        found.extend(bits(loaded.predict(PARAMS, X)) for _ in range(50))

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert set(found) == {expected}
    assert len(found) == 400


def test_load_refuses_wrong_arguments(library: Path) -> None:
    loaded = nets.load(f"{library}.so")
    with pytest.raises(DTypeError, match="x is float32, not float64"):
        loaded.predict(PARAMS, X.astype("float64"))
    with pytest.raises(ShapeError, match=r"x has shape \(6, 5\), not \(5, 5\)"):
        loaded.predict(PARAMS, X[:5])
    with pytest.raises(ArgumentError, match="needs 'x'"):
        loaded.predict(PARAMS)
    with pytest.raises(ArgumentError, match="no parameter 'y'"):
        loaded.predict(PARAMS, X, y=X)
    with pytest.raises(ArgumentError, match="takes 2 arguments, not 3"):
        loaded.predict(PARAMS, X, X)
    with pytest.raises(ArgumentError, match=r"params is a dict of \(w, b\)"):
        loaded.predict([X, X], X)
    with pytest.raises(IndexOutOfBoundsError, match="size 6"):
        loaded.pick(X, np.array([0, -7]))
    with pytest.raises(AttributeError, match="no function 'train'"):
        _ = loaded.train


def test_nested_containers_come_back(tmp_path: Path) -> None:
    class Pair(NamedTuple):
        first: Any
        second: Any

    @nets.trace
    def f(pair: Pair, items: list[Any], *, scale: float) -> Any:
        return {
            "sum": pair.first + pair.second * scale,
            "items": [x * 2 for x in items],
            "no": None,
        }

    pair = Pair(X, X + 1)
    exported = nets.export(tmp_path / "nested", f=f.lower(pair, [X, X[0]], scale=2.0))
    result = nets.load(exported.files[0]).f(pair, [X, X[0]], scale=2.0)
    assert bits(result["sum"]) == bits(X + (X + 1) * np.float32(2))
    assert [x.shape for x in result["items"]] == [(6, 5), (5,)]
    assert result["no"] is None


def test_closed_over_tensors_are_embedded(tmp_path: Path) -> None:
    weights = nets.Tensor(PARAMS["w"])
    predict = nets.trace(lambda x: x @ weights)
    exported = nets.export(tmp_path / "closed", predict=predict.lower(X))
    expected = bits(predict(X).numpy())
    weights[:] = 0
    loaded = nets.load(exported.files[0])
    assert bits(loaded.predict(X)) == expected
    assert [a.name for a in loaded.description.functions[0].arguments] == ["x"]


def test_weights_of_several_functions_stand_once(tmp_path: Path) -> None:
    weights = nets.Tensor(rng.normal(size=(5, 20_000)).astype("float32"))
    times, total = nets.trace(lambda x: x @ weights), nets.trace(lambda x: (x @ weights).sum())
    files = nets.export(tmp_path / "two", times=times.lower(X), total=total.lower(X)).files
    assert all(path.stat().st_size < 1.5 * 400_000 for path in files)
    loaded = nets.load(files[0])
    assert bits(loaded.times(X)) == bits(times(X).numpy())
    assert bits(loaded.total(X)) == bits(total(X).numpy())


def test_every_dtype_and_odd_shapes(tmp_path: Path) -> None:
    for name in ("bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"):
        arrays = {"scalar": np.array(1, name), "none": np.zeros((0, 3), name)}
        arrays["some"] = rng.integers(0, 2, 7).astype(name)
        f = nets.trace(lambda given: {key: x == x for key, x in given.items()} | given)
        exported = nets.export(tmp_path / name, f=f.lower(arrays))
        result = nets.load(exported.files[0]).f(arrays)
        for key, array in arrays.items():
            assert result[key].dtype == bool or np.array_equal(result[key], array)


def test_c_keywords_and_odd_names(tmp_path: Path) -> None:
    @nets.trace
    def f(int, workspace, class_, out):  # type: ignore[no-untyped-def]
        return {"double": int + out, "x y": workspace + class_, "out": out * 2}

    exported = nets.export(tmp_path / "9 odd-name", f=f.lower(X, X, X, X))
    assert exported.name == "_9_odd_name"
    source = tmp_path / "check.c"
    source.write_text('#include "9 odd-name.h"\n')
    subprocess.run(["cc", "-std=c11", *WARNINGS, "-fsyntax-only", str(source)], check=True)
    result = nets.load(exported.files[0]).f(X, X, X, X)
    assert list(result) == ["double", "x y", "out"]


# ------------------------------------------------------------------------- refusals


def lowered() -> Any:
    return nets.trace(network).lower(PARAMS, X)


def test_refuses_what_cannot_be_exported(tmp_path: Path) -> None:
    with pytest.raises(ArgumentError, match="functions by name"):
        nets.export(tmp_path / "x")
    with pytest.raises(ArgumentError, match=r"what f.lower\(...\) gives"):
        nets.export(tmp_path / "x", f=network)  # type: ignore[arg-type]
    with pytest.raises(ArgumentError, match="cannot name a C function"):
        nets.export(tmp_path / "x", **{"a b": lowered()})
    with pytest.raises(ArgumentError, match="formats are some of"):
        nets.export(tmp_path / "x", formats=("dll",), f=lowered())
    with pytest.raises(ArgumentError, match="optimize is speed or size, not 'small'"):
        nets.export(tmp_path / "x", optimize="small", f=lowered())
    with pytest.raises(CompileError, match="does not compile for the CPU 'pdp11'"):
        nets.export(tmp_path / "x", cpu="pdp11", f=lowered())
    assert list(tmp_path.iterdir()) == []


def test_unwritable_places_are_named_and_left_clean(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ExportError, match="file/digits cannot be written"):
        nets.export(tmp_path / "file" / "digits", f=lowered())
    (tmp_path / "digits.so").mkdir()
    with pytest.raises(ExportError, match="digits cannot be written"):
        nets.export(tmp_path / "digits", f=lowered())
    assert sorted(p.name for p in tmp_path.iterdir()) == ["digits.so", "file"]


def test_without_a_compiler_the_rest_can_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CC", raising=False)
    with pytest.raises(ExportError, match="formats="):
        nets.export(tmp_path / "x", f=lowered())
    assert list(tmp_path.iterdir()) == []
    nets.export(tmp_path / "x", formats=("a", "o", "h"), f=lowered())
    assert sorted(p.suffix for p in tmp_path.iterdir()) == [".a", ".h", ".o"]


def test_a_loaded_library_may_be_replaced(tmp_path: Path) -> None:
    path = nets.export(tmp_path / "x", f=nets.trace(lambda x: x + 1).lower(X)).files[0]
    first = nets.load(path)
    nets.export(tmp_path / "x", f=nets.trace(lambda x: x + 2).lower(X))
    assert bits(first.f(X)) == bits(X + 1)


def test_load_refuses_what_is_not_a_library_of_ours(library: Path, tmp_path: Path) -> None:
    data = Path(f"{library}.so").read_bytes()

    def refused(name: str, content: bytes, match: str) -> None:
        path = tmp_path / f"{name}.so"
        path.write_bytes(content)
        with pytest.raises(LoadError, match=match):
            nets.load(path)

    refused("text", b"hello", "not a shared library of this system")
    refused("empty", b"", "not a shared library of this system")
    refused("object", Path(f"{library}.o").read_bytes(), "not a shared library")
    refused("machine", data[:18] + struct.pack("<H", 183) + data[20:], "another machine")
    refused("other", data.replace(MARK, b"x" * len(MARK)), "not a library made by nets")
    refused("version", data.replace(b'"abi":1', b'"abi":9'), "ABI version 9")
    refused("json", data.replace(b'"abi":1', b'"abi":}'), "damaged")
    refused("cpu", data.replace(b'"level":3', b'"level":9'), "which this CPU is not")
    for size in (70, 1000, len(data) // 2, len(data) - 1):
        refused("cut", data[:size], "truncated")
    with pytest.raises(LoadError, match="cannot be read"):
        nets.load(tmp_path / "missing.so")


def test_load_needs_no_llvm(library: Path) -> None:
    program = (
        "import sys, nets, numpy as np\n"
        f"lib = nets.load({f'{library}.so'!r})\n"
        "assert lib.pick(np.ones((6, 5), 'f'), np.array([0, 1])).shape == (2, 5)\n"
        "assert 'llvmlite' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
