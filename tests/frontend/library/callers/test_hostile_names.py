"""Names that are words of a language, or meet once they were changed: wrappers stay valid."""

from __future__ import annotations

import itertools
import keyword
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

import llvmlite.binding as llvm
import numpy as np
import pytest

import nets
from nets.backend.library.c_header import header
from nets.backend.library.c_names import c_names, declared, library_name, refusal
from nets.backend.library.callers.description import described
from nets.backend.library.callers.files import Files
from nets.backend.library.callers.go import go_file
from nets.backend.library.callers.names import free_names
from nets.backend.library.callers.wrappers import WRAPPERS
from nets.backend.library.manifest import Argument, Library, LibraryFunction, laid_out
from tests.frontend.library.callers.tools import program, run

WORDS = {
    "hpp": """
        class new this template operator namespace typename delete std nets view error results
        detail library memory require succeed array vector string size_t data size init_ state_
        workspace_ errno assert stdin NULL EOF linux major va_arg setjmp
    """,
    "rs": """
        type fn self Self super crate impl trait let mut match mod pub ref use where dyn async await
        loop Some None Ok Err Error State Block Printed Printer Elements ffi core alloc str u8 bool
        f32 String Vec main drop print status message length macro_rules union raw gen try yield r
    """,
    "go": """
        func map chan go defer select range package interface var fallthrough fmt sync unsafe C
        NewState SetPrint State Error Printed nil true len make int32 string byte iota init Init
        Save Load save load pointer aligned failure result workspaces printer elements err any
        lossAndGrad LossAndGrad loss_And_Grad f_into F_into FInto f_Into fResults F_results
        f_2 F2 f2
    """,
    "py": """
        lambda def True False None and or not in is del pass raise with from import global nonlocal
        except finally self cls print Library Code list dict tuple object super property np call_
    """,
    "js": """
        default function then constructor prototype toString valueOf arguments eval null undefined
        NaN export typeof instanceof void debugger enum static implements Object Symbol BigInt
        instance bytes await let load Library WebAssembly
    """,
}
_COMMON = "loss_and_grad Loss_and_grad f F x_ X x_2 a_b a_b_c aB AB ab int if"
ODD = ["äöü", "模型", "a-b", "a.b", "1", "__proto__", "__class__", "_", "__", "ﬁ", "None "]
LIBRARIES = ["type", "fn", "std", "lambda", "func", "default", "main", "C", "_Bool", "9-a", "time"]


def lists(words: Sequence[str], size: int) -> list[list[str]]:
    return [list(words[i : i + size]) for i in range(0, len(words), size)]


def accepted(name: str, words: Iterable[str]) -> list[str]:
    """The words that an export takes for functions, all of them together."""
    found: list[str] = []
    for word in words:
        if refusal(name, [*found, word]) is None:
            found.append(word)
    return found


def library(name: str, words: Sequence[str], odd: Sequence[str], spare: str = "x") -> Library:
    """A library with functions called so, and all kinds of buffers and members called so."""
    names = accepted(name, words)
    taken = declared(name, names)
    chunks = itertools.cycle(lists(odd, 14))
    kinds = [
        ("f32", (2, 3)),
        ("f64", ()),
        ("bool", (3,)),
        ("i64", (0,)),
        ("bool", ()),
        ("u8", (4,)),
    ]
    functions = []
    for number, word in enumerate(names):
        called = c_names(next(chunks), taken)
        buffers = [Argument(n, *kinds[(number + i) % 6]) for i, n in enumerate(called)]
        count = min(len(buffers), 7 if number % 3 else 13)
        functions += [
            LibraryFunction(
                name=word,
                arguments=tuple(buffers[:count]),
                results=tuple(buffers[count:]),
                positional=tuple((a.name, i) for i, a in enumerate(buffers[:1])),
                keywords=tuple((n, i) for i, n in enumerate(called[1:count], 1)),
                tree=["list", [[i, i] for i in range(len(buffers) - count)]],
                workspace_bytes=64 * (number % 3),
                checks=(),
                ir_sha256="0" * 64,
                state=(0,) if number % 2 else (),
                updates=number % 4 == 1,
                prints=("{0} */ \\ \n // \" ' ` é",) if number == 2 else (),
            )
        ]
    held = [Argument(n, *kinds[i % 6]) for i, n in enumerate(c_names(odd, taken))]
    members, size = laid_out(held)
    return Library(name, "0", "", 3, "", tuple(functions), members, size)


FILES = [*LIBRARIES, "a b", "x_test", "x_linux", "_x", "ünï"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The headers and wrappers of all libraries: one of every word, and one for each name."""
    found = tmp_path_factory.mktemp("hostile")
    for language, text in WORDS.items():
        words = [*dict.fromkeys([*text.split(), *_COMMON.split()])]
        write(found / language, language, library(language, words, [*words, *ODD]))
    for stem in FILES:
        write(found / stem, stem, library(library_name(stem), ["f", "F", stem], ["x", stem]))
    return found


def write(place: Path, stem: str, made: Library) -> None:
    files = Files(stem, ("so", "a"))
    place.mkdir()
    (place / files.header).write_text(header(made))
    for wrapper in WRAPPERS.values():
        for path, text in wrapper(described(made), files).items():
            (place / path).parent.mkdir(exist_ok=True)
            (place / path).write_text(text)


_HEADERS = """
algorithm array cassert cctype cerrno cmath csetjmp csignal cstdarg cstdio cstdlib cstring
ctime cwchar functional iostream map numeric string tuple vector math.h unistd.h sys/types.h
sys/sysmacros.h sys/param.h pthread.h time.h endian.h arpa/inet.h strings.h
"""
EVERY_HEADER = "".join(f"#include <{word}>\n" for word in _HEADERS.split())


@pytest.mark.long
def test_cpp(folder: Path) -> None:
    includes = "".join(f'#include "{stem}/{stem}.hpp"\n' for stem in ["hpp", *FILES])
    (folder / "all.cpp").write_text(EVERY_HEADER + includes)
    warnings = ("-Wall", "-Wextra", "-Werror", "-pedantic")
    run(folder, program("c++"), "-std=gnu++17", *warnings, "-fsyntax-only", "all.cpp")


@pytest.mark.long
def test_rust(folder: Path) -> None:
    files = [path for stem in ["rs", *FILES] for path in (folder / stem).glob("*.rs")]
    assert {"main_.rs", "type_.rs", "x_test.rs", "_9_a.rs"} < {path.name for path in files}
    modules = [f'#[path = "{file}"]\npub mod m{number};\n' for number, file in enumerate(files)]
    (folder / "all.rs").write_text("".join(modules))
    options = ("--edition=2024", "-Dwarnings", "--crate-type=lib", "--emit=metadata")
    run(folder, program("rustc"), *options, "all.rs")


@pytest.mark.long
def test_go(folder: Path) -> None:
    (folder / "go.mod").write_text("module example\n\ngo 1.18\n")
    stems = ("go", "main", "x_test")
    for stem in stems:
        assert go_file(stem) in [path.name for path in (folder / stem).glob("*.go")]
    run(folder, program("go"), "vet", *(f"./{stem}" for stem in stems))


def test_javascript(folder: Path) -> None:
    """Each function can be called, in a library that does nothing."""
    node = program("node")
    made = library("js", WORDS["js"].split(), [*WORDS["js"].split(), *ODD])
    wasm(folder / "js" / "js.wasm", made)
    others = "".join(f"import './{stem}/{stem}.mjs';\n" for stem in FILES)
    (folder / "all.mjs").write_text(f"{others}{JAVASCRIPT}")
    assert int(run(folder, node, "all.mjs")) == len(made.functions)


JAVASCRIPT = """
import { load } from "./js/js.mjs";
const js = await load();
const arrays = { f32: Float32Array, bool: Uint8Array, i64: BigInt64Array, u8: Uint8Array };
const size = (a) => a.shape.reduce((x, y) => x * y, 1);
const value = (a) => (a.shape.length ? new arrays[a.dtype](size(a)) : a.dtype === "bool" || 0);
let called = 0;
for (const part of js.description.functions) {
  const given = Object.create(null);
  for (const [name, i] of [...part.positional, ...part.keywords]) {
    given[name] = value(part.arguments[i]);
  }
  const name = part.name === "then" ? "then_" : part.name;
  const results = js[name](given);
  results.forEach((x, i) => { if ((x.length ?? 1) !== size(part.results[i])) throw name; });
  called += 1;
}
for (const member of js.description.state) {
  js.state[member.name] = value(member);
  if ((js.state[member.name].length ?? 1) !== size(member)) throw member.name;
}
console.log(called);
"""


def wasm(path: Path, made: Library) -> None:
    """A library whose functions give success and nothing else."""
    llvm.initialize_all_targets()
    llvm.initialize_all_asmprinters()
    triple = "wasm32-unknown-unknown"
    text = made.to_json().encode() + b"\0"
    escaped = "".join(f"\\{byte:02x}" for byte in text)
    parts = [
        f'target triple = "{triple}"',
        f'@text = constant [{len(text)} x i8] c"{escaped}"',
        f"define ptr @{made.name}_describe() {{ ret ptr @text }}",
        f"define i32 @{made.name}_init_state(ptr %state) {{ ret i32 0 }}",
    ]
    for f in made.functions:
        count = bool(f.state) + len(f.arguments) + len(f.results) + 1
        parameters = ", ".join(["ptr"] * count)
        parts += [f"define i32 @{made.name}_{f.name}({parameters}) {{ ret i32 0 }}"]
    machine = llvm.Target.from_triple(triple).create_target_machine(reloc="static")
    path.with_suffix(".o").write_bytes(machine.emit_object(llvm.parse_assembly("\n".join(parts))))
    options = ("--no-entry", "--export-all", "-o", path.name)
    run(path.parent, program("wasm-ld"), *options, path.with_suffix(".o").name)


def test_python(folder: Path) -> None:
    for path in folder.glob("*/*/*.py"):
        compile(path.read_text(), str(path), "exec")


@pytest.mark.parametrize("stem", ["a", "x_linux", "a_b", "linux", "x_test", "_x", ".x"])
def test_go_reads_a_file_of_any_name(stem: str, tmp_path: Path) -> None:
    (tmp_path / go_file(stem)).write_text("package a\n")
    (tmp_path / "go.mod").write_text("module a\n")
    listed = run(tmp_path, program("go"), "list", "-f", "{{.GoFiles}}", GOOS="windows")
    assert listed == f"[{go_file(stem)}]\n"


def test_free_names_are_free_and_different() -> None:
    words = ["a", "a", "a_", "class", "class_", "class", "a_2", "a"]
    found = free_names(words, ("class", "a_3"))
    assert found == ["a", "a_2", "a_", "class_", "class__2", "class_2", "a_2_2", "a_4"]


CALLS = """
import sys
sys.path.insert(0, {folder!r})
import importlib
module = importlib.import_module({name!r})
given = {given!r}
for name in {names!r}:
    found = getattr(module, name)(**given)
    assert list(found) == list(given)
    assert [float(found[word]) for word in given] == [x + 1 for x in given.values()], name
assert [int(x[0]) for x in module.functions_of_python()] == [1]
"""


@pytest.mark.long
def test_python_calls_functions_of_all_names(tmp_path: Path) -> None:
    """Those of Python's functions, too, which the code behind them uses."""
    given = {word: float(i) for i, word in enumerate([*keyword.kwlist[:8], *ODD])}

    def more(**named: object) -> object:
        return {word: x + 1 for word, x in named.items()}  # type: ignore[operator]

    lowered = nets.trace(more).lower(**given)
    words = "print list len zip map type Library lambda None self dict range getattr format super"
    constant = nets.trace(lambda: [np.ones(1, "int8")]).lower()
    exported = nets.export(
        tmp_path / "lambda",
        formats=("so", "py"),
        functions_of_python=constant,
        **dict.fromkeys(words.split(), lowered),
    )
    assert str(exported.files[1].relative_to(tmp_path)) == "lambda_/__init__.py"
    names = [f"{word}_" if keyword.iskeyword(word) else word for word in words.split()]
    source = CALLS.format(folder=str(tmp_path), name="lambda_", given=given, names=names)
    run(tmp_path, sys.executable, "-c", source)
