"""The sizes in the header: right, constant, and each under a name of its own."""

from __future__ import annotations

import re
from pathlib import Path

import nets
from nets.backend.library.c_header import header
from nets.backend.library.c_sizes import function_sizes
from nets.backend.library.callers.description import described
from nets.backend.library.manifest import Argument, Library, LibraryFunction
from tests.frontend.library.callers import model
from tests.frontend.library.callers.tools import program, run

CALLER = """
#include "demo.h"
#include <stdio.h>
static float w[DEMO_affine_params_w_DIM_0][DEMO_affine_params_w_DIM_1];
static float x[DEMO_affine_x_COUNT], b[2], more[2], norm, out[DEMO_affine_out_COUNT];
#if DEMO_mix_empty_COUNT != 0 || DEMO_mix_flag_COUNT != 1
#error "counts"
#endif
int main(void) {
    static _Alignas(64) char workspace[DEMO_affine_WORKSPACE_BYTES + 1];
    const float scale = 2;
    b[0] = 1;
    printf("%d", DEMO_affine_WORKSPACE_BYTES == demo_affine_workspace_bytes());
    printf("%d", DEMO_STATE_BYTES == demo_state_bytes());
    printf("%d", DEMO_STATE_BYTES == sizeof(demo_state));
    printf("%d", demo_affine(b, &w[0][0], x, &scale, more, &norm, out, workspace));
    return 0;
}
"""


def test_c_programs_allocate_by_the_constants(tmp_path: Path) -> None:
    model.export(tmp_path / "demo", ("a", "h"))
    (tmp_path / "main.c").write_text(CALLER)
    warnings = ("-std=c11", "-Wall", "-Wextra", "-Werror", "-pedantic")
    run(tmp_path, program("cc"), *warnings, "main.c", "demo.a", "-o", "main")
    assert run(tmp_path, "./main") == "1110"


def test_functions_that_differ_in_case_have_constants_of_their_own(tmp_path: Path) -> None:
    def f(x: object) -> object:
        return x + 1  # type: ignore[operator]

    lowered = [nets.trace(f).lower(nets.spec(text)) for text in ("f32[3]", "f32[4]")]
    nets.export(tmp_path / "lib", f=lowered[0], F=lowered[1], formats="h")
    text = (tmp_path / "lib.h").read_text()
    assert "#define LIB_f_x_COUNT 3\n#define LIB_f_x_DIM_0 3\n" in text
    assert "#define LIB_F_x_COUNT 4\n#define LIB_F_x_DIM_0 4\n" in text
    compiled(tmp_path, text)


def compiled(folder: Path, text: str) -> None:
    (folder / "sizes.h").write_text(text)
    (folder / "sizes.c").write_text('#include "sizes.h"\n')
    for name, standard, language in (("cc", "c11", "c"), ("c++", "c++17", "c++")):
        warnings = (f"-std={standard}", "-Wall", "-Wextra", "-Werror", "-pedantic")
        run(folder, program(name), *warnings, "-fsyntax-only", "-x", language, "sizes.c")


def function(name: str, *buffers: str) -> LibraryFunction:
    arguments = tuple(Argument(word, "f32", (n + 2,)) for n, word in enumerate(buffers))
    return LibraryFunction(name, arguments, (), (), (), None, 64 * len(name), (), "")


def test_no_two_constants_have_one_name(tmp_path: Path) -> None:
    """Also where the words of one function and buffer are those of another, or of a function."""
    functions = (
        function("a", "b_c", "b", "B", "b_DIM_0", "b_COUNT", "b_2"),
        function("a_b", "c", "C"),
        function("a_b_c", "x"),
        function("a_b_COUNT", "LIB_a_b_c_2_COUNT"),
        function("a_WORKSPACE_BYTES", "x"),
        function("A", "b_c"),
        function("a_b_c_COUNT"),
    )
    for name in ("lib", "LIB"):
        library = Library(name, "", "", 3, "", functions)
        sizes = function_sizes(described(library))
        assert len(sizes) == len(functions)
        for f in functions:
            workspace, buffers = sizes[f.name].workspace, sizes[f.name].buffers
            assert workspace is not None
            assert workspace[1] == f.workspace_bytes
            assert workspace[0].endswith("_WORKSPACE_BYTES")
            assert [[n for _, n in b] for b in buffers] == [[*a.shape] * 2 for a in f.arguments]
        macros = [macro for f in functions for macro, _ in sizes[f.name].macros]
        assert len(set(macros)) == len(macros)
        text = header(library)
        compiled(tmp_path, text)
        words = re.findall(r"\w+", re.sub(r"(?m)^#define.*$|/\*.*?\*/", "", text))
        assert set(words).isdisjoint(macros)


def test_sizes_beyond_an_int_are_constants(tmp_path: Path) -> None:
    huge = Argument("x", "u8", (1 << 20, 1 << 13))
    f = LibraryFunction("f", (huge,), (), (), (), None, 1 << 40, (), "")
    text = header(Library("lib", "", "", 3, "", (f,)))
    check = "enum { right = 1 / (LIB_f_x_COUNT == LIB_f_x_DIM_0 * 8192LL) };\n"
    compiled(
        tmp_path, f"{text}{check}enum {{ also = 1 / (LIB_f_WORKSPACE_BYTES > LIB_f_x_COUNT) }};\n"
    )
