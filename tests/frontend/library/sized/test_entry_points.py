"""Entry points whose sizes each call tells, called from C between forbidden pages: the bits of the
program of that size, and sizes that are refused touch nothing."""

from __future__ import annotations

import functools
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest

import nets
from nets import nn, optim
from nets.backend.library.manifest import Library
from tests.frontend.library.callers.tools import program
from tests.frontend.library.sized.plan import Call, compiled, printed
from tests.targets.callers import manifest

ANY = nets.dim()
LARGE = nets.dim(0, 2**63 - 1)
THREADS = (1, 2, 3, 7)
LEVELS = ("x86-64-v2", "x86-64-v3")
LEAST, MOST = -(2**63), 2**63 - 1

_rng = np.random.default_rng(4)
W, V = (_rng.normal(size=size).astype("f4") for size in ((20, 40), (40, 10)))


def predict(x: Any) -> Any:
    return nets.softmax(nets.relu(x @ W) @ V, axis=1)


def outer(x: Any, y: Any, w: Any) -> Any:
    return (w * x[:, None] + y).sum(0), w @ y, nets.tanh(w)


def loss(w: Any, x: Any) -> Any:
    return (nets.tanh(x @ w) ** 2).mean()


def eights(x: Any) -> Any:
    return x.reshape(-1, 8).sum(1), x[3:] - 1


def cube(x: Any, a: Any, b: Any, c: Any) -> Any:
    """Its largest elements, of which only the shape of other arrays tells how many there are."""
    return x.reshape(a.shape[0], b.shape[0], c.shape[0]).max((1, 2))


def total(x: Any) -> Any:
    return x.sum()


class Training:
    """A training step."""

    def __init__(self) -> None:
        nets.manual_seed(1)
        model = nn.Sequential(nn.Linear(30, 64), nn.Dropout(0.3), nn.ReLU(), nn.Linear(64, 3))
        optimizer = optim.AdamW(model.parameters(), lr=0.01)
        criterion = nn.CrossEntropyLoss()

        @nets.trace
        def fit(x: Any, kind: Any) -> Any:
            optimizer.zero_grad()
            error = criterion(model(x), kind)
            error.backward()
            optimizer.step()
            return error

        self.fit = fit


class Built(NamedTuple):
    """The library and the program that calls it."""

    library: Library
    program: Path


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Built:
    vector = {name: nets.spec(f"f32[{name}]", **{name: ANY}) for name in "nmkl"}
    batch, some = nets.dim(1, 4096), nets.dim(3, 2**20, multiple_of=2)
    lowered = {
        "predict": nets.trace(predict).lower(nets.spec("f32[batch, 20]", batch=batch)),
        "outer": nets.trace(outer).lower(
            vector["n"], vector["m"], nets.spec("f32[n, m]", n=ANY, m=ANY)
        ),
        "slope": nets.grad(loss, argnums=(0, 1)).lower(
            nets.spec("f32[6, 3]"), nets.spec("f32[2*n + 1, 6]", n=ANY)
        ),
        "eights": nets.trace(eights).lower(nets.spec("f64[n]", n=some)),
        "cube": nets.trace(cube).lower(*vector.values()),
        "total": nets.trace(total).lower(nets.spec("f32[n, 3]", n=LARGE)),
        "fit": Training().fit.lower(nets.spec("f32[n, 30]", n=batch), nets.spec("i64[n]", n=batch)),
    }
    folder = tmp_path_factory.mktemp("sized")
    nets.export(folder / "lib", cpu=LEVELS, threads=7, formats=("a", "h"), **lowered)
    library = manifest((folder / "lib.a").read_bytes())
    return Built(library, compiled(folder, library))


# ------------------------------------------------------------------------------ sizes that fit


def arrays_of(word: str, sizes: tuple[int, ...]) -> list[Any]:
    rng = np.random.default_rng(sizes)
    (n, *more) = sizes
    shapes: dict[str, list[tuple[int, ...]]] = {
        "predict": [(n, 20)],
        "outer": [(n,), (*more,), (n, *more)],
        "slope": [(6, 3), (2 * n + 1, 6)],
        "eights": [(n,)],
        "cube": [(n,), *((size,) for size in more)],
        "total": [(n, 3)],
    }
    kind = "f8" if word == "eights" else "f4"
    return [rng.normal(size=shape).astype(kind) for shape in shapes[word]]


FITTING = {
    "predict": [(1,), (2,), (7,), (64,), (301,)],
    "outer": [(0, 0), (0, 5), (5, 0), (1, 1), (3, 17), (64, 33), (257, 130)],
    "slope": [(0,), (1,), (5,), (40,), (700,)],
    "eights": [(8,), (16,), (4096,)],
    "cube": [(1, 1, 1, 1), (24, 2, 3, 4), (0, 0, 3, 1), (6000, 5, 30, 40)],
    "total": [(0,), (1,), (1000,), (40000,)],
}
PYTHON = {"predict": predict, "outer": outer, "eights": eights, "cube": cube, "total": total}


def results_of(word: str, arrays: list[Any]) -> list[Any]:
    """Those of the program of that size."""
    function = nets.grad(loss, argnums=(0, 1)) if word == "slope" else nets.trace(PYTHON[word])
    found = function(*arrays)
    return [x.numpy() for x in (found if isinstance(found, tuple) else (found,))]


def fitting(threads: int) -> list[Call]:
    return [replace(call, threads=threads) for call in known()]


@functools.cache
def known() -> list[Call]:
    """Calls, and what the programs of their sizes give."""
    found = []
    for word, rows in FITTING.items():
        for sizes in rows:
            arrays = arrays_of(word, sizes)
            found.append(Call(word, sizes, arrays, results_of(word, arrays)))
    return [*found, *steps()]


def steps() -> Iterator[Call]:
    """A training: each loss tells of all steps before."""
    training, rng = Training(), np.random.default_rng(0)
    for n in (5, 1, 64, 3, 300, 17):
        x, kind = rng.normal(size=(n, 30)).astype("f4"), rng.integers(0, 3, n)
        found = training.fit(x, kind).numpy()
        yield Call("fit", (n,), [x, kind], [found], starts=n == 5)


@pytest.mark.parametrize("threads", [0, *THREADS])
@pytest.mark.parametrize("where", ["start", "end"])
@pytest.mark.sampled(4)
def test_bits_are_those_of_the_fixed_size(built: Built, threads: int, where: str) -> None:
    calls = fitting(threads)
    found = printed(built.program, built.library, calls, where)
    assert found == [call.printed for call in calls]


# ------------------------------------------------------------------------- sizes that do not

BATCH = "batch is 1 to 4096"
TOO_LARGE = "no memory holds arrays of these sizes"


def refusals() -> Iterator[tuple[str, tuple[int, ...], str]]:
    """Function, sizes, and what is said of them."""
    for n in (0, -1, 4097, 2**31, 2**32 + 1, MOST, LEAST):
        yield "predict", (n,), BATCH
        yield "fit", (n,), "n is 1 to 4096"
    below = "{} is 0 to 2147483647"
    for n, m in product((-1, LEAST, 2**31, MOST), (0, 1, 5)):
        yield "outer", (n, m), below.format("n")
        yield "outer", (m, n), below.format("m")
    yield "outer", (LEAST, LEAST), below.format("n")
    yield "outer", (2**31 - 1, 2**31 - 1), TOO_LARGE
    yield "outer", (2**31 - 1, 2**30), TOO_LARGE
    for n in (-1, LEAST, 2**31, MOST):
        yield "slope", (n,), below.format("n")
    for n in (2, 0, -8, 3, 5, 2**20 + 2, MOST, LEAST):
        yield "eights", (n,), "n is 3 to 1048576, a multiple of 2"
    for n in (4, 6, 2**20 - 2):
        yield "eights", (n,), "reshaping (n,) to (-1, 8) needs n to be a multiple of 8"
    yield "cube", (1, 1, 1, 2), "reshaping (n,) to (m, k, l) needs n to be k*l*m"
    yield "cube", (2, 2**20, 2**20, 2**20), "reshaping (n,) to (m, k, l) needs n to be k*l*m"
    # In 64 bits these products are 0, 0, and 1.
    yield "cube", (0, 2**22, 2**21, 2**21), TOO_LARGE
    yield "cube", (0, 2**30, 2**30, 2**30), TOO_LARGE
    yield "cube", (1, 1229673, 3935371, 7623851), TOO_LARGE
    yield "cube", (0, 2**31 - 1, 2**31 - 1, 2**31 - 1), TOO_LARGE
    yield "total", (-1,), f"n is 0 to {MOST}"
    yield "total", (LEAST,), f"n is 0 to {MOST}"
    # 12 bytes for each: 2**64 is 4 too much.
    for n in (2**62, MOST, MOST // 3, 2**64 // 12 + 1, 2**61, 2**60):
        yield "total", (n,), TOO_LARGE


@pytest.mark.parametrize("threads", [0, 2])
@pytest.mark.parametrize("where", ["start", "heap"])
def test_other_sizes_touch_nothing(built: Built, threads: int, where: str) -> None:
    calls = [Call(word, sizes, threads=threads, sentence=s) for word, sizes, s in refusals()]
    calls[0] = Call("predict", (0,), threads=threads, sentence=BATCH, starts=True)
    found = printed(built.program, built.library, calls, where)
    assert found == [call.printed for call in calls]


# ------------------------------------------------------------------------ other places to run


def everything(threads: int) -> list[Call]:
    calls = fitting(threads)
    return calls + [Call(*told[:2], threads=threads, sentence=told[2]) for told in refusals()]


EMULATED = {"Nehalem": "end", "Haswell": "start"}
"""CPUs of levels 2 and 3, and where buffers are: qemu reads all lanes of a masked load."""


@pytest.mark.parametrize("threads", [0, 3])
@pytest.mark.parametrize("cpu", EMULATED)
@pytest.mark.sampled(4)
def test_on_each_level(built: Built, cpu: str, threads: int) -> None:
    if shutil.which("qemu-x86_64") is None:
        pytest.skip("no qemu-x86_64")
    calls = everything(threads)
    runner = ["qemu-x86_64", "-cpu", cpu]
    found = printed(built.program, built.library, calls, EMULATED[cpu], runner)
    assert found == [call.printed for call in calls]


@pytest.mark.parametrize("threads", [0, 3])
@pytest.mark.sampled(4)
def test_valgrind_is_silent(built: Built, threads: int) -> None:
    if shutil.which("valgrind") is None:
        pytest.skip("no valgrind")
    calls = [call for call in everything(threads) if sum(x.size for x in call.arrays) < 10_000]
    runner = ["valgrind", "-q", "--error-exitcode=9"]
    found = printed(built.program, built.library, calls, "heap", runner)
    assert found == [call.printed for call in calls]


_NODE = """
const code = new WebAssembly.Module(require("fs").readFileSync(process.argv[1]));
const {memory, ...lib} = new WebAssembly.Instance(code, {}).exports;
for (const n of process.argv.slice(2).map(BigInt)) {
  const status = lib.lib_f(n, 0, 0, 0), bytes = new Uint8Array(memory.buffer);
  const from = lib.lib_status_message(status);
  const said = Buffer.from(bytes.subarray(from, bytes.indexOf(0, from))).toString();
  console.log(`${lib.lib_f_workspace_bytes(n)} ${said}`);
}
"""


def test_words_of_32_bits(tmp_path: Path) -> None:
    """A workspace of more bytes than such a word counts is not told as what is left of it."""
    node, _ = program("node"), program("wasm-ld")
    spec = nets.spec("f32[n, 1]", n=nets.dim(0, 2**40))
    low = nets.trace(lambda x: nets.tanh(x @ W[:1]) @ W.T).lower(spec)
    nets.export(tmp_path / "lib", target="wasm32", formats=("so",), f=low)
    sizes = [2**20, 2**23, 2**24, 2**25, 2**30, 2**32, 2**40]
    command = [node, "-e", _NODE, str(tmp_path / "lib.wasm"), *map(str, sizes)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    few = [f"{n * 160} a pointer is null" for n in sizes[:2]]
    assert done.stdout.splitlines() == [*few, *[f"0 {TOO_LARGE}"] * 5]
