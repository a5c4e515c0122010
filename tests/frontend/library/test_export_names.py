"""Names that mean something in C or in the library: refused, or changed by the rule of the docs."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import nets
import nets.backend.library.loader
from nets.backend.library import c_names
from nets.backend.library.c_header import C_TYPES
from nets.backend.library.interface import global_symbols
from nets.backend.library.manifest import Library, Member
from nets.errors import ArgumentError
from tests.frontend.library.test_export import WARNINGS

X = np.array([1.0, 2.0])

_HEADERS = """
assert complex ctype errno fenv float inttypes iso646 limits locale math setjmp signal stdalign
stdarg stdatomic stdbool stddef stdint stdio stdlib stdnoreturn string tgmath threads time uchar
wchar wctype
"""
HEADERS = _HEADERS.split()
_POSIX = """
aio arpa/inet dirent dlfcn fcntl fmtmsg glob grp ifaddrs langinfo libgen mqueue net/if netdb
netinet/in netinet/tcp poll pthread pwd regex sched search semaphore spawn strings sys/ioctl
sys/ipc sys/mman sys/msg sys/param sys/resource sys/select sys/sem sys/shm sys/socket sys/stat
sys/statvfs sys/sysmacros sys/time sys/times sys/uio sys/un sys/utsname sys/wait syslog tar
termios unistd utime wordexp
"""
POSIX = _POSIX.split()

_WORDS = """
int long class new this template operator auto bool true false and not_eq typeof nullptr
constexpr alignas thread_local noreturn co_await char8_t export import restrict inline sin cos
exp pow gamma index printf main malloc free exit read signal time y0 j1 assert offsetof isnan
setjmp NULL EOF INFINITY NAN HUGE_VAL I complex errno stdin stdout stderr linux unix M_PI BUFSIZ
INT_MAX UINT8_MAX RAND_MAX SIGINT EDOM FLT_EPSILON PRId64 SCNx8 B0 B9600 ECHO CR1 TRUE IN OUT
int8_t int64_t uint8_t size_t wchar_t float double state workspace describe init_state
abi_version status_message set_print path functions description lib_state lib_describe
lib_printer lib_dtype LIB_F32 LIB_ABI_VERSION NETS_LIBRARY_lib_H lib_twice __x __FILE__
__cplusplus _Bool _Generic _x __ ___ _1 _ W1 X x x_ x_2 x_x a_workspace_bytes 1 9lives
d\xe9j\xe0 \u6a21\u578b a-b a.b a b \u0663 \xdf \u01c5 None True False self cls lambda def nets
llvm.fma
"""
WORDS = _WORDS.split()


def headers(names: Iterable[str]) -> str:
    """Lines that include the headers of these names that there are."""
    return "".join(f"#if __has_include(<{n}.h>)\n#include <{n}.h>\n#endif\n" for n in names)


def compiled(folder: Path, source: str, *, language: str = "c", standard: str = "c11") -> None:
    compiler = {"c": "cc", "c++": "c++"}[language]
    if shutil.which(compiler) is None:
        pytest.skip(f"no {compiler}")
    path = folder / f"source.{'c' if language == 'c' else 'cpp'}"
    path.write_text(source)
    options = ["-fsyntax-only", f"-std={standard}", f"-I{folder}"]
    done = subprocess.run([compiler, *WARNINGS, *options, path], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[:3000]


LANGUAGES = {
    "C11": ("c", "c11", HEADERS),
    "GNU C": ("c", "gnu17", [*HEADERS, *POSIX]),
    "C++": ("c++", "c++17", [n for n in HEADERS if n not in ("stdatomic", "threads", "complex")]),
    "GNU C++": ("c++", "gnu++20", POSIX),
}


def macros(names: Iterable[str], tmp_path: Path) -> list[str]:
    """The macros that headers and compiler define and that a name of Python may be."""
    path = tmp_path / "macros.c"
    path.write_text("#define _GNU_SOURCE 1\n" + headers(names))
    command = ["cc", "-std=gnu17", "-E", "-dM", str(path)]
    defined = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return sorted(set(re.findall(r"^#define (\w+)", defined, re.MULTILINE)))


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.sampled(4)
def test_every_name_can_be_a_parameter_and_a_member(language: str, tmp_path: Path) -> None:
    if shutil.which("cc") is None:
        pytest.skip("no cc")
    kind, standard, included = LANGUAGES[language]
    taken = c_names.declared("lib", ["twice"])
    names = c_names.c_names([*WORDS, *macros([*HEADERS, *POSIX], tmp_path)], taken)
    assert len(names) > 1000
    assert c_names.c_names(names, taken) == names
    parameters = ",\n".join(f"const int64_t *{name}" for name in names)
    members = "\n".join(f"int64_t {name};" for name in names)
    source = (
        f"#define _GNU_SOURCE 1\n{headers(included)}#include <stdint.h>\n"
        f"#include <stddef.h>\ntypedef struct lib_state {{\n{members}\n}} lib_state;\n"
        f"int32_t lib_twice(lib_state *state,\n{parameters},\nvoid *workspace);\n"
        f"size_t lib_state_bytes(void);\nvoid lib_describe(lib_state *);\n"
    )
    source = source.replace(
        "#define _GNU_SOURCE 1\n",
        "" if "GNU" not in language else "#ifndef _GNU_SOURCE\n#define _GNU_SOURCE 1\n#endif\n",
    )
    compiled(tmp_path, source, language=kind, standard=standard)


class Holder:
    """Holds tensors under any names, and counts them up."""

    def __init__(self, names: Iterable[str]) -> None:
        for name in names:
            setattr(self, name, nets.Tensor(X))

    def count(self, /, **given: Any) -> Any:
        for name in list(vars(self)):
            tensor = getattr(self, name)
            tensor.data = tensor + 1
        return {name: x * 2 for name, x in given.items()}


FILES = [
    "lib",
    "LIB",
    "a",
    "size",
    "aligned",
    "int",
    "9 odd-name",
    "_Bool",
    "\u6a21\u578b",
    "sem",
    "flt",
]
FUNCTIONS = [
    *(word for word in WORDS if word.isascii() and word not in ("cls",)),
    *("a", "t", "alloc", "init", "MAX", "H", "F32", "print", "a_workspace_bytes_workspace_bytes"),
]


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.sampled(3)
def test_generated_libraries_compile_and_can_be_called(seed: int, tmp_path: Path) -> None:
    rng = np.random.default_rng(seed)

    def some(words: list[str], count: int) -> list[str]:
        return [words[i] for i in rng.permutation(len(words))[:count]]

    members, given = some(WORDS, 8), some(WORDS, 10)
    plain = {name: X + i for i, name in enumerate(given)}
    holder = Holder(members)
    file = some(FILES, 1)[0]
    count = nets.trace(holder.count).lower(**plain)
    scaled = nets.trace(lambda **named: {n: x + 1 for n, x in named.items()}).lower(**plain)
    functions = dict.fromkeys(some(FUNCTIONS, 12), scaled) | {"count": count}
    refused = []
    while True:
        try:
            exported = nets.export(
                tmp_path / file, formats=("so", "h"), cpu="x86-64-v3", **functions
            )
            break
        except ArgumentError as error:
            (named,) = re.findall(r"^'([^']*)' ", str(error))
            refused.append(named)
            del functions[named]
    for kind, standard, included in (LANGUAGES["C11"], LANGUAGES["GNU C++"]):
        include = f'{headers(included)}#include "{file}.h"\n#include "{file}.h"\n'
        compiled(tmp_path, include, language=kind, standard=standard)
    library = nets.load(exported.files[0])
    assert library.functions == tuple(functions)
    for name in functions:
        found = getattr(library, name)(**plain)
        assert list(found) == given
        change = (lambda x: x * 2) if name == "count" else (lambda x: x + 1)
        assert all(np.array_equal(found[n], change(x)) for n, x in plain.items())
    assert len(library.state) == len(members)
    assert all(np.array_equal(member, X + 1) for member in library.state.values())
    assert "count" not in refused


REFUSED = {
    "describe": "has a lib_describe of its own",
    "abi_version": "of its own",
    "init_state": "of its own",
    "state_bytes": "of its own",
    "set_print": "of its own",
    "printer": "of its own",
    "state": "a loaded library has another state",
    "path": "a loaded library has another path",
    "functions": "a loaded library has another functions",
    "description": "a loaded library has another description",
    "_private": "begins with an underscore",
    "__class__": "begins with an underscore",
    "a b": "cannot name a C function",
    "": "cannot name a C function",
    "d\u00e9j\u00e0": "cannot name a C function",
}
FOREIGN = {
    ("size", "t"): "size_t means something in C",
    ("uint8", "t"): "uint8_t",
    ("static", "cast"): "static_cast",
    ("thread", "local"): "thread_local",
    ("aligned", "alloc"): "aligned_alloc",
    ("quick", "exit"): "quick_exit",
    ("pthread", "create"): "pthread_create",
    ("atomic", "load"): "atomic_load",
    ("clock", "gettime"): "clock_gettime",
    ("FLT", "MAX"): "FLT_MAX",
    ("LIB", "ABI_VERSION"): "LIB_ABI_VERSION",
    ("LIB", "F32"): "LIB_F32",
    ("nets", "print"): "nets_print",
    ("strtok", "r"): "strtok_r",
}


def test_functions_are_refused_with_a_sentence(tmp_path: Path) -> None:
    lowered = nets.trace(lambda x: x + 1).lower(X)
    for name, sentence in REFUSED.items():
        with pytest.raises(ArgumentError, match=re.escape(sentence)):
            nets.export(tmp_path / "lib", **{name: lowered})
    for (file, name), sentence in FOREIGN.items():
        with pytest.raises(ArgumentError, match=sentence):
            nets.export(tmp_path / file, **{name: lowered})
    with pytest.raises(ArgumentError, match="would both define lib_a_workspace_bytes"):
        nets.export(tmp_path / "lib", a=lowered, a_workspace_bytes=lowered)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "function", ["store_f", "stream_r", "total_x", "clock_run", "timer_step", "mtx_solve", "x_t"]
)
def test_names_near_those_of_c_are_kept(function: str) -> None:
    library, word = function.split("_")
    assert c_names.refusal(library, [word]) is None
    names = ["W1", "x", "W", "b_2", "weight", "loss", "lr", "params_0_w", "Linear_weight", "out"]
    assert c_names.c_names(names) == names


def test_the_list_of_names_is_that_of_the_library() -> None:
    library = Library("lib", "", "", 3, "", (), (Member("x", "f32", (), 0),), 4)
    assert set(global_symbols(library)) <= c_names.declared("lib", ())
    attributes = {name for name in dir(nets.backend.library.loader.LoadedLibrary) if name[0] != "_"}
    methods = {"state_from", "state_to"}  # functions of these names go before them
    given = {"path", "description", "state", "cpu_level"}
    assert (attributes - methods) | given == set(c_names.PYTHON_NAMES)
    assert set(C_TYPES.values()) - {"float", "double"} <= set(c_names._TYPES.split())


def test_any_text_may_be_printed_and_be_a_keyword_of_python(tmp_path: Path) -> None:
    named = {"a\0b": X, "\ud83d": X, "": X, "/*": X}

    def f(**given: Any) -> Any:
        nets.debug_print("/* {} */ ??/ \\\n // \u00e9 /*/ \\", given[""])
        return given

    exported = nets.export(tmp_path / "lib", f=nets.trace(f).lower(**named), formats=("so", "h"))
    for kind, standard, _ in LANGUAGES.values():
        compiled(tmp_path, '#include "lib.h"\n', language=kind, standard=standard)
    assert nets.load(exported.files[0]).f(**named).keys() == named.keys()


def test_two_arguments_of_one_name_are_refused(tmp_path: Path) -> None:
    def f(x: Any, /, **more: Any) -> Any:
        return x + more["x"]

    with pytest.raises(ArgumentError, match="two arguments x"):
        nets.export(tmp_path / "lib", f=nets.trace(f).lower(X, x=X))
