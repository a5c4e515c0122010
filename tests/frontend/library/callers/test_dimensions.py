"""Functions whose sizes each call tells: what the wrappers make of them, around a library in C."""

from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path

import pytest

from nets.backend.library.c_header import declarations
from nets.backend.library.callers.description import Buffer, Description, Function, described
from nets.backend.library.callers.files import Files
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


def described_library() -> Description:
    twice = Function(
        name="twice",
        symbol="lib_twice",
        workspace_symbol="lib_twice_workspace_bytes",
        dims=("n", "type"),
        arguments=(Buffer("x", "f32", X), Buffer("k", "f64", ())),
        results=(Buffer("out", "f32", X), Buffer("rest", "f32", REST)),
        workspace_bytes=None,
        uses_state=False,
        updates=False,
        positional=(("x", 0), ("k", 1)),
        keywords=(),
    )
    empty = described(Library("lib", "0", "", 3, "", ()))
    return dataclasses.replace(empty, functions=(twice,))


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
