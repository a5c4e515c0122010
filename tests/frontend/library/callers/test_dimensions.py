"""Functions whose sizes each call tells: what the wrappers make of them, around a library in C."""

from __future__ import annotations

import itertools
import json
import shutil
import sys
from pathlib import Path

import pytest

from nets.backend.library.c_header import declarations
from nets.backend.library.callers import ctypes_library
from nets.backend.library.callers.description import Description, described
from nets.backend.library.callers.files import Files
from nets.backend.library.callers.sizes import Words, spelled
from nets.backend.library.callers.wrappers import WRAPPERS
from nets.backend.library.manifest import Library
from tests.frontend.library.callers.tools import program, run

WARNINGS = ("-Wall", "-Wextra", "-Werror", "-pedantic")
LIBRARY = """
#include "lib.h"
#include <string.h>
const char *lib_status_message(int32_t status) { return status == -5 ? "n is too large" : "?"; }
size_t lib_twice_workspace_bytes(int64_t n, int64_t type) {
    return n > 99 ? 0 : (size_t)(64 * n + type);
}
int32_t lib_twice(int64_t n, int64_t type, const float *x, const double *k, float *out, float *rest,
                  void *workspace) {
    if (n > 99) return -5;
    if (workspace == NULL || (size_t)workspace % 64 != 0) return -2;
    memset(workspace, 1, lib_twice_workspace_bytes(n, type));
    for (int64_t i = 0; i < (2 * n + 1) * type; i++) out[i] = x[i] * (float)*k;
    for (int64_t i = 0; i < LIB_twice_rest_COUNT(n, type); i++) rest[i] = 7;
    return 0;
}
"""
HEADER = """\
#ifndef LIB_H
#define LIB_H
#include <stddef.h>
#include <stdint.h>
#ifdef __cplusplus
extern "C" {{
#endif
const char *lib_status_message(int32_t status);
{}
#ifdef __cplusplus
}}
#endif
#endif
"""
X = ("2*n + 1", "type")
REST = ("(n - 3)//2 + 3", "min(type, 2)", 1)


class Told(Library):
    """A library of one function, whose manifest has sizes that a call tells."""

    def to_json(self) -> str:
        return manifest()


def described_library() -> Description:
    return described(Told("lib", "0", "", 3, "", ()))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    found = tmp_path_factory.mktemp("dimensions")
    library = described_library()
    (found / "lib.h").write_text(HEADER.format(declarations(library)))
    (found / "lib.c").write_text(LIBRARY)
    for word in ("hpp", "rs", "go"):
        for path, text in WRAPPERS[word](library, Files("lib", ("a",))).items():
            (found / path).write_text(text)
    run(found, program("cc"), "-std=c11", *WARNINGS, "-c", "lib.c", "-o", "lib.o")
    run(found, program("ar"), "rcs", "lib.a", "lib.o")
    return found


SAID = """\
0 2 4
1 4 6
2 4 10
5 8 22
twice: x has 10 elements, not 6
twice: n is -1
n is too large
wrong length
"""

CPP = """
#include "lib.hpp"
#include <cstdio>
int main() {
    nets::lib::library lib;
    for (auto [n, type] : {std::array<int, 2>{0, 4}, {1, 2}, {2, 2}, {5, 2}}) {
        std::vector<float> x(static_cast<std::size_t>((2 * n + 1) * type), 3);
        auto result = lib.twice(n, type, x, 2.0);
        for (float value : result.out) if (value != 6) return 1;
        for (float value : result.rest) if (value != 7) return 2;
        std::printf("%d %zu %zu\\n", n, result.rest.size(), result.out.size());
    }
    std::vector<float> x(10), out(3), rest(9);
    float many[600] = {0};
    auto refused = [&](auto call) {
        try { call(); } catch (const std::exception &error) { std::printf("%s\\n", error.what()); }
    };
    refused([&] { lib.twice(1, 2, x, 2.0); });
    refused([&] { lib.twice(-1, 2, x, 2.0); });
    refused([&] { lib.twice(100, 1, {many, 201}, 2); });
    for (std::int64_t n : {INT64_MAX, INT64_MAX / 2, std::int64_t(1) << 62})
        for (std::int64_t type : {INT64_MAX, std::int64_t(1) << 62, std::int64_t(4)})
            try { lib.twice(n, type, x, 2.0); return 3; } catch (const std::invalid_argument &) {}
    try { lib.twice(1, 2, many, 2.0, many, rest); } catch (...) { std::printf("wrong length\\n"); }
    return 0;
}
"""

RUST = """
mod lib_;
use lib_ as lib;
fn main() {
    let workspace = &mut [lib::Block::ZERO; 8];
    for (n, t) in [(0, 4), (1, 2), (2, 2), (5, 2)] {
        let x = vec![3.0; ((2 * n + 1) * t) as usize];
        let mut out = x.clone();
        let size = (n - 3i64).div_euclid(2) + 3;
        let mut rest = vec![0.0; (size * t.min(2)) as usize];
        lib::twice(n, t, &x, 2.0, &mut out, &mut rest, workspace).unwrap();
        assert!(out.iter().all(|x| *x == 6.0) && rest.iter().all(|x| *x == 7.0));
        assert_eq!(lib::twice_blocks(n, t), n as usize + 1);
        println!("{n} {} {}", rest.len(), out.len());
    }
    let (x, mut out, mut rest) = ([0.0; 10], [0.0; 201], [0.0; 51]);
    let mut refused = |n, t, x: &[f32], many| {
        let (out, rest) = (&mut out[..x.len()], &mut rest[..many]);
        println!("{}", lib::twice(n, t, x, 2.0, out, rest, workspace).unwrap_err());
    };
    refused(1, 2, &x, 4);
    refused(-1, 2, &x, 4);
    refused(100, 1, &[0.0; 201], 51);
    println!("wrong length");
    for n in [i64::MAX, i64::MAX / 2, 1 << 62] {
        for t in [i64::MAX, 1 << 62, 4] {
            let refused = lib::twice(n, t, &x, 2.0, &mut [], &mut [], workspace);
            assert!(matches!(refused, Err(lib::Error::Length { .. })));
        }
    }
}
"""

GO = """
package main

import (
	"example/lib"
	"fmt"
)

func main() {
	for _, n := range [][2]int64{{0, 4}, {1, 2}, {2, 2}, {5, 2}} {
		x := make([]float32, (2*n[0]+1)*n[1])
		for i := range x {
			x[i] = 3
		}
		result, err := lib.Twice(n[0], n[1], x, 2)
		if err != nil || result.Out[0] != 6 || result.Rest[0] != 7 {
			panic(err)
		}
		fmt.Println(n[0], len(result.Rest), len(result.Out))
	}
	x := make([]float32, 10)
	_, err := lib.Twice(1, 2, x, 2)
	fmt.Println(err)
	_, err = lib.Twice(-1, 2, x, 2)
	fmt.Println(err)
	_, err = lib.Twice(100, 1, make([]float32, 201), 2)
	fmt.Println(err)
	for _, n := range []int64{1<<63 - 1, 1 << 62, 1<<62 - 1} {
		for _, m := range []int64{1<<63 - 1, 1 << 62, 4} {
			if _, err := lib.Twice(n, m, x, 2); err == nil {
				panic("taken")
			}
		}
	}
	fmt.Println("wrong length")
}
"""


def test_cpp(folder: Path) -> None:
    (folder / "main.cpp").write_text(CPP)
    options = ("-std=c++17", *WARNINGS, "-fsanitize=undefined", "-fno-sanitize-recover=all")
    run(folder, program("c++"), *options, "main.cpp", "lib.a", "-o", "main_cpp")
    assert run(folder, "./main_cpp") == SAID


def test_rust(folder: Path) -> None:
    (folder / "main.rs").write_text(RUST)
    run(folder, program("rustc"), "--edition=2021", "-Dwarnings", "-L.", "main.rs", "-omain_rs")
    assert run(folder, "./main_rs") == SAID


def test_go(folder: Path) -> None:
    (folder / "go" / "lib").mkdir(parents=True)
    for suffix in ("a", "h", "go"):
        shutil.copy(folder / f"lib.{suffix}", folder / "go" / "lib")
    (folder / "go" / "main.go").write_text(GO)
    (folder / "go" / "go.mod").write_text("module example\n\ngo 1.18\n")
    assert run(folder / "go", program("go"), "run", ".") == SAID


C = """
#include "lib.h"
#include <stdio.h>
int main(void) {
    for (int64_t n = 0; n < 6; n++)
        printf("%d %d %d,", (int)LIB_twice_out_COUNT(n, 3), (int)LIB_twice_rest_DIM_0(n + 0, 1 + 2),
               (int)LIB_twice_rest_COUNT(n, 1));
    return LIB_twice_rest_DIM_2 != 1;
}
"""


def test_macros_take_dimensions(folder: Path) -> None:
    (folder / "main.c").write_text(C)
    run(folder, program("cc"), "-std=c11", *WARNINGS, "main.c", "-o", "main_c")
    expected = "".join(
        f"{(2 * n + 1) * 3} {(n - 3) // 2 + 3} {(n - 3) // 2 + 3}," for n in range(6)
    )
    assert run(folder, "./main_c") == expected


PYTHON = """
import numpy as np
import lib
for n, t in ((0, 4), (1, 2), (2, 2), (5, 2)):
    out, rest = lib.twice(np.full((2 * n + 1, t), 3, "f4"), 2.0)
    assert (out == 6).all() and (rest == 7).all()
    assert rest.shape == ((n - 3) // 2 + 3, min(t, 2), 1)
    print(n, rest.size, out.size)
for shape in ((4, 2), (3,), (201, 1)):
    try:
        lib.twice(np.zeros(shape, "f4"), 2)
    except Exception as error:
        print(type(error).__name__, error)
"""
SAID_IN_PYTHON = """\
0 2 4
1 4 6
2 4 10
5 8 22
ValueError twice: no argument tells n
ValueError twice: x has shape (2*n + 1, type), not (3,)
RuntimeError twice: n is too large
"""


def manifest() -> str:
    """What the library says of itself."""
    x, k = ({"name": n, "dtype": d, "shape": s} for n, d, s in (("x", "f32", X), ("k", "f64", ())))
    out, rest = ({"name": n, "dtype": "f32", "shape": s} for n, s in (("out", X), ("rest", REST)))
    part = {
        "name": "twice",
        "arguments": [x, k],
        "results": [out, rest],
        "positional": [["x", 0], ["k", 1]],
        "keywords": [],
        "tree": ["list", [[0, 0], [1, 1]]],
        "dims": [["n", 0, 99, 1], ["type", 0, 99, 1]],
        "workspace_bytes": "64*n + type",
        "parallel_workspace_bytes": 0,
        "checks": [],
        "prints": [],
        "state": [],
        "updates": False,
    }
    return json.dumps({"functions": [part], "state": [], "state_bytes": 0})


def test_python(folder: Path) -> None:
    """The sizes are those of the arrays."""
    text, place = manifest(), folder / "python"
    describe = f"const char *lib_describe(void) {{ return {json.dumps(text)}; }}"
    (folder / "python.c").write_text(f"{LIBRARY}{describe}\n")
    for path, module in WRAPPERS["py"](described_library(), Files("lib", ("so",))).items():
        (place / path).parent.mkdir(parents=True, exist_ok=True)
        (place / path).write_text(module)
    run(folder, program("cc"), "-shared", "-fPIC", "python.c", "-o", "python/lib.so")
    source = f"import sys; sys.path.insert(0, '.'){PYTHON}"
    assert run(place, sys.executable, "-c", source) == SAID_IN_PYTHON


JAVASCRIPT = """
import { readFileSync, writeFileSync } from "node:fs";
// The library in JavaScript, to see what it is called with.
const memory = new WebAssembly.Memory({ initial: 1 });
const text = new TextEncoder().encode(process.argv[2] + "\\0");
new Uint8Array(memory.buffer).set(text);
const exports = {
  memory, __heap_base: { value: text.length }, lib_describe: () => 0,
  lib_twice_workspace_bytes: (n, type) => Number(64n * n + type),
  lib_twice: (n, type, x, k, out, rest, workspace) => {
    const [from, factor] = [new Float32Array(memory.buffer, x), new Float64Array(memory.buffer, k)];
    const count = Number((2n * n + 1n) * type);
    const to = new Float32Array(memory.buffer, out, count);
    to.set(from.subarray(0, count).map((a) => a * factor[0]));
    new Float32Array(memory.buffer, rest).fill(7);
    console.log(n, type, rest - out, workspace % 64);
    return 0;
  },
};
WebAssembly.compile = async () => null;
WebAssembly.instantiate = async () => ({ exports });
const { load } = await import("./lib.mjs");
const lib = await load(new Uint8Array());
for (const [n, type] of [[0, 4], [1, 2], [2, 2], [5, 2]]) {
  const x = new Float32Array((2 * n + 1) * type).fill(3);
  const [out, rest] = lib.twice({ x, k: 2 }, { n, type });
  if (!out.every((a) => a === 6) || !rest.every((a) => a === 7)) throw new Error("values");
  console.log(n, rest.length, out.length);
}
const wrong = [{ n: 4, type: 2 }, { n: -1, type: 2 }, { n: 1 }, { n: 2 ** 30, type: 2 ** 20 }];
for (const sizes of wrong) {
  try {
    lib.twice({ x: new Float32Array(10), k: 2 }, sizes);
  } catch (error) {
    console.log(error.name, error.message);
  }
}
"""
SAID_IN_JAVASCRIPT = """\
0n 4n 64 0
0 2 4
1n 2n 64 0
1 4 6
2n 2n 64 0
2 4 10
5n 2n 128 0
5 8 22
RangeError twice: x has 10 elements, not 18
TypeError twice: the size n is a whole number, in a second object
TypeError twice: the size type is a whole number, in a second object
RangeError twice: x has 10 elements, not 2251799814733824
"""


def test_javascript(folder: Path) -> None:
    """Typed arrays have no shape, so each call tells the sizes."""
    for path, module in WRAPPERS["js"](described_library(), Files("lib", ())).items():
        (folder / path).write_text(module)
    (folder / "sizes.mjs").write_text(JAVASCRIPT)
    assert run(folder, program("node"), "sizes.mjs", manifest()) == SAID_IN_JAVASCRIPT


def test_sizes_are_spelled_as_python_counts_them() -> None:
    texts = (
        "2*n + 1",
        "-n + 3*in",
        "-3 + n",
        "(n - 3)//2*in",
        "min(n*in, 4) - 2",
        "min + in",
        "3*(n + 1)//2",
    )
    words = Words(*(f"({{}} {sign} {{}})" for sign in ("+", "-", "*", "//")), "min({}, {})")
    for text, (n, m) in itertools.product(texts, ((0, 0), (1, 5), (7, 2), (3, 3))):
        names = {"n": "n", "in": "m", "min": "k"}
        values = {"n": n, "m": m, "k": 2 * n}
        sizes = {"n": n, "in": m, "min": 2 * n}
        plain = text.replace("in", "m").replace("mm(", "min(").replace("mm", "k")
        expected = eval(plain, {}, values)
        assert eval(spelled(text, words, names), {}, values) == expected
        assert ctypes_library._evaluated(text, sizes) == expected
