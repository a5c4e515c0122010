"""Programs in other languages whose threads share the loops of a library: the bits are Python's."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import nets
from tests.frontend.library.callers.tools import program, run

PARTS = 6
X = (np.arange(60_000, dtype="float32") - 30_000) / 8_192
SIZES = nets.dim(1, 100_000)


class Memory:
    """What calls change, and read."""

    def __init__(self) -> None:
        self.sum = nets.Tensor(np.zeros(X.size, "float32"))

    def add(self, x: Any) -> Any:
        self.sum.data = self.sum + nets.tanh(x) * nets.exp(x)
        return self.sum * 2


def curve(x: Any) -> Any:
    return nets.tanh(x) * nets.exp(x)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    found = tmp_path_factory.mktemp("threads")
    nets.export(
        found / "demo",
        cpu="x86-64-v3",
        threads=PARTS,
        formats=("so", "a", "h", "hpp", "rs", "go"),
        add=nets.trace(Memory().add).lower(X),
        curve=nets.trace(curve).lower(nets.spec("f32[n]", n=SIZES)),
    )
    X.tofile(found / "x")
    return found


@pytest.fixture(scope="module")
def wanted(folder: Path) -> bytes:
    library = nets.load(folder / "demo.so")
    library.add(X)
    return bytes(library.add(X).tobytes() + library.curve(X).tobytes())


def check(folder: Path, wanted: bytes, count: int) -> None:
    """That a program has written the results of so many runs to the file ``out``."""
    assert (folder / "out").read_bytes() == wanted * count


CPP = """
#include "demo.hpp"
#include <atomic>
#include <cstdio>
#include <thread>

static std::atomic<int> parts{0};

static void each(std::int64_t count, const std::function<void(std::int64_t)> &part) {
    std::vector<std::thread> threads;
    for (std::int64_t i = 0; i < count; i++)
        threads.emplace_back([&part, i] { part(i); parts++; });
    for (std::thread &thread : threads) thread.join();
}

int main() {
    std::vector<float> x(60000);
    std::FILE *in = std::fopen("x", "rb"), *out = std::fopen("out", "wb");
    if (std::fread(x.data(), 4, x.size(), in) != x.size()) return 1;
    std::fclose(in);
    nets::demo::library mine(each), ready(4), few(1), copy(ready);
    for (nets::demo::library *demo : {&mine, &ready, &few, &copy}) {
        demo->add(x);
        for (const auto &found : {demo->add(x), demo->curve(60000, x)})
            std::fwrite(found.data(), 4, found.size(), out);
    }
    std::fclose(out);
    std::printf("%d", parts.load());
    try {
        copy.curve(100001, std::vector<float>(100001));
    } catch (const nets::demo::error &error) {
        std::printf(" %s", error.what());
    }
}
"""


@pytest.mark.parametrize("options", ["-std=c++17 -fsanitize=thread", "-std=c++20"])
@pytest.mark.sampled(2)
def test_cpp(options: str, folder: Path, wanted: bytes) -> None:
    (folder / "main.cpp").write_text(CPP)
    compiler = [program("c++"), *options.split(), "-Wall", "-Wextra", "-Werror", "-pedantic"]
    run(folder, *compiler, "-pthread", "main.cpp", "demo.a", "-o", "main_cpp")
    assert run(folder, "./main_cpp") == f"{2 * PARTS} n is 1 to 100000"
    check(folder, wanted, 4)


RUST = """
mod demo;
use std::io::Write;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let bytes = std::fs::read("x")?;
    let numbers = bytes.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]]));
    let x: Vec<f32> = numbers.collect();
    let n = x.len() as i64;
    let mut workspace = vec![demo::Block::ZERO; demo::Block::MOST];
    let mut found = vec![0f32; x.len()];
    let mut out = std::fs::File::create("out")?;
    let helped = std::cell::Cell::new(0);
    let threads: demo::ParallelFor = &|help| {
        helped.set(helped.get() + 1);
        std::thread::scope(|scope| {
            for _ in 0..3 {
                scope.spawn(help);
            }
        })
    };
    for parallel_for in [threads, &|_| (), &|help| help()] {
        let mut state = demo::State::new()?;
        for _ in 0..2 {
            demo::add_parallel(&mut state, &x, &mut found, &mut workspace, parallel_for)?;
        }
        write(&mut out, &found)?;
        demo::curve_parallel(n, &x, &mut found, &mut workspace, parallel_for)?;
        write(&mut out, &found)?;
    }
    print!("{}", helped.get());
    Ok(())
}

fn write(out: &mut std::fs::File, found: &[f32]) -> std::io::Result<()> {
    out.write_all(&found.iter().flat_map(|x| x.to_le_bytes()).collect::<Vec<u8>>())
}
"""


def test_rust(folder: Path, wanted: bytes) -> None:
    (folder / "main.rs").write_text(RUST)
    run(folder, program("rustc"), "--edition=2021", "-Dwarnings", "-L.", "main.rs", "-omain_rs")
    assert run(folder, "./main_rs") == "2"
    check(folder, wanted, 3)


def test_rust_needs_no_std(folder: Path) -> None:
    (folder / "bare.rs").write_text("#![no_std]\npub mod demo;\n")
    options = ["--edition=2024", "-Dwarnings", "--crate-type=lib", "--emit=metadata"]
    run(folder, program("rustc"), *options, "bare.rs")


GO = """\
package main

import (
	"bytes"
	"encoding/binary"
	"os"

	"example/demo"
)

func must(err error) {
	if err != nil {
		panic(err)
	}
}

func main() {
	data, err := os.ReadFile("../x")
	must(err)
	x := make([]float32, len(data)/4)
	must(binary.Read(bytes.NewReader(data), binary.LittleEndian, x))
	out, err := os.Create("../out")
	must(err)
	for _, threads := range []int{1, 2, 8} {
		demo.SetThreads(threads)
		state, err := demo.NewState()
		must(err)
		_, err = demo.Add(state, x)
		must(err)
		found, err := demo.Add(state, x)
		must(err)
		must(binary.Write(out, binary.LittleEndian, found))
		found, err = demo.Curve(int64(len(x)), x)
		must(err)
		must(binary.Write(out, binary.LittleEndian, found))
	}
}
"""


def test_go(folder: Path, wanted: bytes) -> None:
    package = folder / "go" / "demo"
    package.mkdir(parents=True)
    for suffix in ("a", "h", "go"):
        shutil.copy(folder / f"demo.{suffix}", package)
    (folder / "go" / "main.go").write_text(GO)
    (folder / "go" / "go.mod").write_text("module example\n\ngo 1.18\n")
    go = program("go")
    run(folder / "go", go, "vet", "./...")
    run(folder / "go", go, "build", "-o", "main", ".")
    run(folder / "go", "./main", GODEBUG="cgocheck=2")
    check(folder, wanted, 3)
    if shutil.which("gofmt"):
        assert run(folder / "go", "gofmt", "-l", ".") == ""
