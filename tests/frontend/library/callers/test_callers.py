"""A library called from C, C++, Rust, Go, Python and JavaScript gives the bits it gives in Python,
and what is wrong with a call is said before anything is touched."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

import nets
from nets.backend.library.callers import ctypes_library
from nets.backend.library.callers.ctypes_library import _ERRORS
from nets.backend.printing import DTYPE_NUMBERS
from nets.errors import REFUSALS
from tests.frontend.library.callers import model
from tests.frontend.library.callers.tools import program, run

HERE = Path(__file__).parent
ROOT = HERE.parents[3]
REFUSED = """\
predict: x has 11 elements, not 12
predict: out has 3 elements, not 4
"""
OUT_OF_BOUNDS = "status 1: gather: an index is out of bounds for axis 0 of size 4\n"
OTHER_SIZE = "a saved state has 3 elements, not "


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """With the library, all its wrappers, and the programs that call it."""
    found = tmp_path_factory.mktemp("callers")
    model.export(found / "demo", ("so", "a", "h", "hpp", "rs", "py", "go", "pc", "cmake"))
    for path in HERE.glob("main.*"):
        shutil.copy(path, found)
    return found


@pytest.fixture(scope="module")
def expected(folder: Path) -> str:
    return model.lines(nets.load(folder / "demo.so"))


def split(printed: str, expected: str) -> str:
    """What a program printed behind the lines that it should print."""
    assert printed[: len(expected)] == expected
    return printed[len(expected) :]


@pytest.mark.parametrize("options", ["-std=c++20", "-std=c++17 -fsanitize=undefined,address"])
@pytest.mark.sampled(2)
def test_cpp(options: str, folder: Path, expected: str) -> None:
    compiler = [program("c++"), *options.split(), "-Wall", "-Wextra", "-Werror", "-pedantic"]
    run(folder, *compiler, "main.cpp", "demo.a", "-o", "main_cpp")
    rest = split(run(folder, "./main_cpp"), expected)
    null, odd, index, *more = rest.removeprefix(REFUSED).splitlines(keepends=True)
    assert null == "status -1: a pointer is null\n"
    assert odd.startswith("status -2: a pointer is not aligned")
    assert index == OUT_OF_BOUNDS
    assert more[0].startswith(OTHER_SIZE)
    assert more[1:] == ["0 x is {0:.2f}, {1} 2 1.25 5\n"]


MISTAKES = """\
float x[11]; demo.predict(x)
double x[12]; demo.predict(x)
std::array<float, 13> x; demo.predict(x)
const float x[12] = {}, out[4] = {}; demo.predict(x, out)
std::vector<double> x; demo.predict(x)
"""


@pytest.mark.long
def test_the_cpp_compiler_sees_wrong_types_and_lengths(folder: Path) -> None:
    mistakes = MISTAKES.splitlines()
    lines = [f"void f{i}(nets::demo::library &demo) {{ {m}; }}" for i, m in enumerate(mistakes)]
    source = "\n".join(['#include "demo.hpp"', *lines])
    command = [program("c++"), "-std=c++17", "-fsyntax-only", f"-I{folder}", "-xc++", "-"]
    done = subprocess.run(command, input=source, text=True, capture_output=True)
    assert done.returncode != 0
    seen = set(re.findall(r"^<stdin>:(\d+):", done.stderr, re.MULTILINE))
    assert seen >= {str(number + 2) for number in range(len(mistakes))}


def test_rust(folder: Path, expected: str) -> None:
    run(folder, program("rustc"), "--edition=2021", "-Dwarnings", "-L.", "main.rs", "-omain_rs")
    rest = split(run(folder, "./main_rs"), expected)
    few, index, size, number, flags = rest.removeprefix(REFUSED).splitlines(keepends=True)
    assert few == "a workspace of 0 blocks, but 1 are needed\n"
    assert index == OUT_OF_BOUNDS
    assert size.startswith(OTHER_SIZE)
    assert number == "0 x is {0:.2f}, {1} F64([1.25]) []\n"
    assert flags == "Bool([true, false, true, true, false]) [5]\n"


def test_rust_needs_no_std(folder: Path) -> None:
    (folder / "bare.rs").write_text("#![no_std]\npub mod demo;\n")
    options = ["--edition=2024", "-Dwarnings", "--crate-type=lib", "--emit=metadata"]
    run(folder, program("rustc"), *options, "bare.rs")


@pytest.mark.long
def test_go(folder: Path, expected: str) -> None:
    package = folder / "go" / "demo"
    package.mkdir(parents=True)
    for suffix in ("a", "h", "go"):
        shutil.copy(folder / f"demo.{suffix}", package)
    shutil.copy(HERE / "main.go.txt", folder / "go" / "main.go")
    (folder / "go" / "go.mod").write_text("module example\n\ngo 1.18\n")
    go = program("go")
    run(folder / "go", go, "vet", "./...")
    run(folder / "go", go, "build", "-o", "main", ".")
    rest = split(run(folder / "go", "./main", GODEBUG="cgocheck=2"), expected)
    index, size, *more = rest.removeprefix(REFUSED).splitlines(keepends=True)
    assert index == OUT_OF_BOUNDS
    assert size.startswith(OTHER_SIZE)
    printed = "0 x is {0:.2f}, {1} [{[] [1.25]} {[5] [true false true true false]}]\n"
    assert more == [printed, "2.25\n", "2.25\n"]
    if shutil.which("gofmt"):
        assert run(folder / "go", "gofmt", "-l", ".") == ""


BUILT = """
cmake_minimum_required(VERSION 3.16)
project(caller C)
find_package(demo REQUIRED CONFIG PATHS ${FOLDER} NO_DEFAULT_PATH)
add_executable(shared main.c)
target_link_libraries(shared PRIVATE demo::demo)
add_executable(static main.c)
target_link_libraries(static PRIVATE demo::static)
"""
PICKS = """
#include "demo.h"
#include <stdio.h>
int main(void) {
    static _Alignas(64) char workspace[DEMO_pick_WORKSPACE_BYTES + 1];
    const double values[4] = {1, 2, 3, 4};
    const int64_t indices[2] = {3, 0};
    double out[2];
    if (demo_pick(values, indices, out, workspace) != 0) return 1;
    printf("%g %g", out[0], out[1]);
    return 0;
}
"""


@pytest.mark.parametrize("prefix", ["", "lib"])
@pytest.mark.parametrize("formats", ["so a", "a", "so"])
@pytest.mark.sampled(5)
def test_pkg_config(formats: str, prefix: str, tmp_path: Path) -> None:
    folder = tmp_path / "a folder"
    lowered = nets.trace(model.pick).lower(model.VALUES, model.INDICES)
    words = ("h", "pc", *formats.split())
    nets.export(folder / "demo", pick=lowered, formats=words, prefix=prefix)
    (tmp_path / "main.c").write_text(PICKS)
    where = {"PKG_CONFIG_PATH": str(folder)}
    printed = run(folder, program("pkg-config"), "--cflags", "--libs", "demo", **where)
    flags = [*shlex.split(printed), f"-Wl,-rpath,{folder}"]
    run(tmp_path, program("cc"), "main.c", *flags, "-o", "main")
    assert run(tmp_path, "./main") == "4 1"
    archive = run(folder, "pkg-config", "--variable=archive", "demo", **where).strip()
    assert archive.endswith(f"/{prefix}demo.a")


def test_cmake(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "CMakeLists.txt").write_text(BUILT)
    (tmp_path / "main.c").write_text(PICKS)
    run(tmp_path, program("cmake"), f"-DFOLDER={folder}", "-S.", "-Bbuilt")
    run(tmp_path, "cmake", "--build", "built")
    assert [run(tmp_path, f"built/{name}") for name in ("shared", "static")] == ["4 1"] * 2


@pytest.mark.long
def test_cmake_takes_the_library_that_is_there(folder: Path, tmp_path: Path) -> None:
    for file in ("demo.a", "demo.h", "demoConfig.cmake"):
        shutil.copy(folder / file, tmp_path)
    (tmp_path / "CMakeLists.txt").write_text(BUILT)
    (tmp_path / "main.c").write_text(PICKS)
    command = (program("cmake"), f"-DFOLDER={tmp_path}", "-S.", "-Bbuilt")
    run(tmp_path, *command)
    run(tmp_path, "cmake", "--build", "built", "--target", "shared")
    assert run(tmp_path, "built/shared") == "4 1"
    (tmp_path / "demo.a").unlink()
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode != 0
    assert "there is no library beside" in done.stderr


def test_javascript(expected: str, tmp_path: Path) -> None:
    node = program("node")
    program("wasm-ld")
    functions = model.functions()
    nets.export(tmp_path / "demo", target="wasm32", formats=("wasm", "js"), **functions)
    shutil.copy(HERE / "main.mjs", tmp_path)
    rest = split(run(tmp_path, node, "main.mjs"), expected)
    assert re.sub("has [0-9]+ elements, not [0-9]+$", "", rest, flags=re.M) == SAID_IN_JAVASCRIPT


SAID_IN_JAVASCRIPT = """\
RangeError predict: x\x20
TypeError predict: x is no Float32Array
TypeError predict takes x, not x, y
TypeError affine.params takes w, b, not b
TypeError affine: scale is a number
LibraryError 1 pick: gather: an index is out of bounds for axis 0 of size 4
RangeError a saved state\x20
0n 5n true
0 x is {0:.2f}, {1} [5]
2.25 2.25
"""


PYTHON = """
import demo, sys
assert not {"nets", "cffi", "llvmlite"} & set(sys.modules)
from tests.frontend.library.callers import model
sys.stdout.write(model.lines(demo))
assert demo.shout(1.25) == 2.25
wrong = [
    lambda: demo.predict(model.X[1:]),
    lambda: demo.predict(model.X.astype("float64")),
    lambda: demo.predict(model.X, model.X),
    lambda: demo.affine(model.PARAMS, model.X),
    lambda: demo.affine([1, 2], model.X, scale=1.0),
    lambda: demo.affine({"w": model.X}, model.X, scale=1.0),
    lambda: demo.mix(model.FLAGS, model.COUNTS, model.BYTES, 2**63, model.EMPTY, True),
    lambda: demo.mix(model.FLAGS, model.COUNTS, model.BYTES, 1.5, model.EMPTY, True),
    lambda: demo.pick(model.VALUES, model.WRONG),
    lambda: demo.state.load(b"123"),
    lambda: demo.state["weights"],
]
for call in wrong:
    try:
        call()
    except Exception as error:
        print(type(error).__name__, "" if isinstance(error, OverflowError) else error)
other = demo.Library()
demo.tick()
print(other.state["steps"], demo.state["steps"], list(demo.state))
print((demo.predict(model.X.copy(order="F")) == demo.predict(model.X)).all())
class Closed:
    def write(self, text):
        raise ValueError("closed")
    def flush(self):
        pass
out, sys.stdout = sys.stdout, Closed()
try:
    demo.shout(1.0)
except ValueError as error:
    print(error, file=out)
"""
SAID = """\
x is 1.25, [ True False  True  True False]
ValueError predict: x has shape (4, 3), not (3, 3)
TypeError predict: x is float32, not float64
TypeError Library.predict() takes 2 positional arguments but 3 were given
TypeError Library.affine() missing 1 required keyword-only argument: 'scale'
TypeError affine: params is a dict of (w, b), not list
TypeError affine: params is a dict of (w, b), not dict
OverflowError\x20
TypeError mix: big is int64, not float64
IndexError pick: gather: an index is out of bounds for axis 0 of size 4
ValueError a state has SIZE bytes, not 3
KeyError 'weights'
0 10 ['weight', 'steps', 'is_fitted']
True
closed
"""


def python(folder: Path, source: str) -> str:
    """What a program prints that imports from that folder, and model.py from here."""
    path = f"import sys; sys.path[:0] = [{str(folder)!r}, {str(ROOT)!r}]; "
    return run(folder, sys.executable, "-c", path + source)


def test_python(folder: Path, expected: str) -> None:
    rest = split(python(folder, PYTHON), expected)
    size = str(len(nets.load(folder / "demo.so").state.save()))
    assert rest == SAID.replace("SIZE", size)


@pytest.mark.long
def test_python_finds_the_library_in_its_folder_and_no_other(folder: Path, tmp_path: Path) -> None:
    shutil.copytree(folder / "demo", tmp_path / "demo")
    tried = "try: import demo\nexcept ImportError as error: print(error)"
    assert "there is no demo.so in" in python(tmp_path, f"\n{tried}")
    shutil.copy(folder / "demo.so", tmp_path / "demo")
    assert python(tmp_path, "import demo; print(demo.pick([1., 2, 3, 4], [1, 0]))") == "[2. 1.]\n"
    lowered = nets.trace(model.pick).lower(model.VALUES, model.INDICES)
    nets.export(tmp_path / "demo", pick=lowered, formats="so")
    shutil.copy(tmp_path / "demo.so", tmp_path / "demo")
    assert "is not the library that" in python(tmp_path, f"\n{tried}")


def test_python_has_the_dtypes_and_errors_of_nets() -> None:
    assert list(DTYPE_NUMBERS) == list(ctypes_library._DTYPES)
    assert all(issubclass(error, _ERRORS[name]) for name, error in REFUSALS.items())


def test_files_and_prefixes(tmp_path: Path) -> None:
    lowered = nets.trace(model.pick).lower(model.VALUES, model.INDICES)
    words = ("so", "a", "o", "h", "hpp", "rs", "py")

    def exported(prefix: str) -> Sequence[str]:
        done = nets.export(tmp_path / "my-lib", pick=lowered, formats=words, prefix=prefix)
        return [str(path.relative_to(tmp_path)) for path in done.files]

    others = ["my-lib.o", "my-lib.h", "my-lib.hpp", "my_lib.rs"]
    package = ["my_lib/__init__.py", "my_lib/_library.py"]
    assert exported("") == ["my-lib.so", "my-lib.a", *others, *package]
    assert exported("lib") == ["libmy-lib.so", "libmy-lib.a", *others, *package]
    assert nets.load(tmp_path / "libmy-lib.so").description.name == "my_lib"
    (tmp_path / "main.c").write_text('#include "my-lib.h"\nint main(void) { return 0; }\n')
    run(tmp_path, program("cc"), "main.c", "-L.", "-lmy-lib", "-o", "main")
    call = "import my_lib; print(my_lib.pick([1., 2, 3, 4], [1, 0]))"
    assert python(tmp_path, call) == "[2. 1.]\n"
    for wrong in ("a/b", "\0", 3, None):
        with pytest.raises(nets.errors.ArgumentError, match="prefix is letters"):
            nets.export(tmp_path / "my-lib", pick=lowered, prefix=wrong)  # type: ignore[arg-type]
    with pytest.raises(nets.errors.ArgumentError, match="'prefix' cannot name a function"):
        nets.export(tmp_path / "my-lib", prefix=lowered)  # type: ignore[arg-type]
