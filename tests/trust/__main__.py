"""Runs all that stands behind ``docs/trust.md`` and writes the results there: ``make trust``.

First the suite, which tells of each file how many tests it has; then the commands, two at a time.
What each gave is kept in build/trust, so that ``--only suite texts`` repeats some and takes there
what the others gave.
"""

from __future__ import annotations

import argparse
import json
import platform
import re
import subprocess
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Final
from xml.etree import ElementTree

ROOT: Final = Path(__file__).parents[2]
PAGE: Final = ROOT / "docs" / "trust.md"
KEPT: Final = ROOT / "build" / "trust"
START: Final = "<!-- measured -->\n"
END: Final = "<!-- end of what is measured -->"

COMMANDS: Final = {
    "aarch64": "tests.trust.aarch64",
    "planted": "tests.trust.planted --likely",
    "graphs": "tests.trust.graphs 0 500",
    "more graphs": "tests.trust.graphs 500 1000",
    "hunt": "tests.property.hunt 2000000 2000600",
    "pages": "tests.trust.pages 0 1250",
    "equivalent": "tests.trust.equivalent 0 1000",
    "ways": "tests.trust.ways 0 150",
    "lifecycle": "tests.property.lifecycle 50000 51000 --jobs 1",
    "texts": "tests.trust.texts 0 10000",
    "more texts": "tests.trust.texts 10000 20000",
    "limits": "tests.trust.limits",
}
"""What is run beside the suite, the longest first."""


@dataclass(frozen=True, slots=True)
class Property:
    """One of the properties, with the files of tests and the commands that check it."""

    number: int
    text: str
    tests: Sequence[str] = ()
    commands: Sequence[str] = ()


PROPERTIES: Final = (
    Property(
        1,
        "Native code means what the interpreter means: exact operations bit for bit, the others "
        "within numerics.md, shapes and dtypes exactly.",
        ("property/test_native_programs", "property/test_network_programs", "backend"),
        ("hunt", "graphs", "more graphs"),
    ),
    Property(
        2,
        "Eager, traced, from the cache, exported and loaded, called from C: the same bits.",
        ("frontend/library/test_export", "frontend/library/test_export_state", "acceptance"),
        ("ways", "lifecycle"),
    ),
    Property(
        3,
        "Gradients are those of differences, of the complex step and of the inner product; to the "
        "second order.",
        ("ops", "property/test_derivative_programs", "frontend/tensor/test_autograd"),
        ("graphs", "more graphs"),
    ),
    Property(
        4,
        "Any pass alone, left out, in any order: the same values; done twice, a pass changes "
        "nothing.",
        ("passes", "property/test_pass_programs", "property/test_control_programs"),
        ("hunt", "graphs", "more graphs", "equivalent"),
    ),
    Property(
        5,
        "The verifier accepts what tracing and passes make, and refuses broken modules for their "
        "reason.",
        ("ir/test_verifier",),
        ("texts", "more texts"),
    ),
    Property(
        6,
        "Printed, parsed and printed again, IR is the same text and the same program.",
        ("ir/test_text", "property/test_text_programs"),
    ),
    Property(
        7,
        "Nothing outside of the buffers is touched, whatever the length and the alignment.",
        ("backend/llvm/test_memory_safety", "frontend/library/sized"),
        ("pages",),
    ),
    Property(
        8,
        "valgrind is silent on callers in C.",
        ("frontend/library/test_export", "frontend/library/sized"),
    ),
    Property(
        9,
        "One bit pattern for any number of calls, threads, alignment and hash seed; code and "
        "libraries are the same bytes each time.",
        ("backend/llvm/test_bits", "frontend/library/test_export", "backend/llvm/test_emit"),
        ("hunt", "equivalent"),
    ),
    Property(
        10,
        "NaN, infinities, −0 and subnormals as in NumPy, also when another library flushes to 0.",
        (
            "acceptance/test_values",
            "ops",
            "backend/llvm/test_native_ops",
            "backend/process/test_callable",
        ),
    ),
    Property(
        11,
        "Integers wrap around; division by zero, shifts and casts out of range are defined.",
        (
            "acceptance/test_values",
            "backend/llvm/test_native_ops",
            "backend/llvm/test_emit_arithmetic",
        ),
    ),
    Property(
        12,
        "Tensors of rank 0 and more, of one element, of none on any axis.",
        ("ops", "frontend/tensor/test_functions"),
        ("graphs", "more graphs", "hunt"),
    ),
    Property(
        13,
        "Any layout and kind of array: the right answer or a clear error.",
        (
            "backend/process/test_callable",
            "frontend/tensor/test_tensor",
            "acceptance/test_numpy_habits",
        ),
        ("hunt",),
    ),
    Property(
        14,
        "Aliases are defined: one array twice, overlapping ones, views, updates in place.",
        (
            "frontend/tensor/test_views",
            "frontend/calls/test_in_place",
            "property/test_view_programs",
            "property/test_in_place_programs",
            "backend/process/test_callable",
        ),
    ),
    Property(15, "More than 2³¹ elements.", (), ("limits",)),
    Property(
        16,
        "32 threads on one function give the serial bits; compilations side by side; functions "
        "dropped while they run.",
        ("backend/process/test_callable", "runtime"),
    ),
    Property(
        17, "Fork, spawn and forkserver, at any time.", ("backend/process/test_callable", "runtime")
    ),
    Property(
        18,
        "Ctrl-C while compiling and while a kernel runs.",
        ("frontend/calls/test_interrupts", "backend/process/test_callable"),
    ),
    Property(
        19,
        "Long chains, deep nests, thousands of arguments, in time linear in their size.",
        ("ir/test_long_programs", "passes/simplify/test_reroll"),
        ("limits",),
    ),
    Property(
        20,
        "Too little memory is an error and no end.",
        ("backend/test_out_of_memory", "backend/process/test_callable"),
        ("limits",),
    ),
    Property(
        21,
        "The object cache, damaged, full, read-only or shared: a warning at most.",
        ("backend/process/test_cache",),
    ),
    Property(
        22,
        "Exports to places and with names that cannot be: an error, no part of a file.",
        (
            "frontend/library/test_export_names",
            "frontend/library/test_export_refusals",
            "frontend/library/test_export",
        ),
    ),
    Property(
        23,
        "Libraries that are damaged, forged, of another version or CPU: LoadError.",
        ("backend/library/test_damaged_libraries", "frontend/library/test_export_again"),
    ),
    Property(
        24,
        "Hostile texts and files: errors of nets alone, and soon.",
        ("ir/test_hostile_text", "backend/library/test_damaged_libraries", "data"),
        ("texts", "more texts"),
    ),
    Property(
        25,
        "Errors on bad input are of nets' classes and name the user's line.",
        ("acceptance/test_bad_input", "frontend/tracing/test_trace_errors", "nn/test_layer_errors"),
        ("lifecycle",),
    ),
    Property(
        26,
        "Memory stays flat over tens of thousands of calls and hundreds of compilations.",
        ("backend/process/test_callable", "runtime/test_dispatch"),
    ),
    Property(
        27,
        "-O, -X dev, no HOME, LANG or TMPDIR, older CPUs, nets itself on AArch64.",
        ("acceptance/test_modes", "backend/process/test_obstacle"),
        ("ways", "aarch64"),
    ),
    Property(28, "Training curves are PyTorch's over 200 steps.", ("optim/test_curves",)),
)


@dataclass
class Suite:
    """The tests of a run of the suite, by file."""

    passed: dict[str, int] = field(default_factory=dict)
    skipped: dict[str, int] = field(default_factory=dict)
    failed: dict[str, int] = field(default_factory=dict)

    @staticmethod
    def read(report: Path) -> Suite:
        suite = Suite()
        for case in ElementTree.parse(report).iter("testcase"):
            path = case.get("classname", "").removeprefix("tests.").replace(".", "/")
            kinds = {child.tag for child in case}
            counts = suite.passed
            if kinds & {"failure", "error"}:
                counts = suite.failed
            elif "skipped" in kinds:
                counts = suite.skipped
            counts[path] = counts.get(path, 0) + 1
        return suite

    def count(self, counts: dict[str, int], paths: Sequence[str]) -> int:
        return sum(
            number
            for path, number in counts.items()
            if any(path == wanted or path.startswith(f"{wanted}/") for wanted in paths)
        )

    def told(self, paths: Sequence[str]) -> str:
        """How many tests of these files and folders passed, were skipped, and failed."""
        passed, skipped, failed = (
            self.count(counts, paths) for counts in (self.passed, self.skipped, self.failed)
        )
        words = [f"{passed:,} tests"]
        words += [f"{skipped} skipped"] if skipped else []
        words += [f"**{failed} failed**"] if failed else []
        return ", ".join(words)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a command: its last line, whether it went well, its seconds, and when it was."""

    last_line: str
    is_right: bool
    seconds: float
    commit: str


def run_suite(jobs: int) -> None:
    options = ["-q", "-n", str(jobs), f"--junitxml={KEPT / 'suite.xml'}"]
    subprocess.run([sys.executable, "-m", "pytest", *options], cwd=ROOT, check=False)


def run(name: str) -> None:
    """Run a command, and keep what came of it."""
    start = time.perf_counter()
    command = [sys.executable, "-m", *COMMANDS[name].split()]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    lines = [line for line in done.stdout.splitlines() if line.strip()]
    seconds = time.perf_counter() - start
    print(f"{name}: {seconds:.0f} s, status {done.returncode}\n{done.stdout[-2000:]}", flush=True)
    if done.returncode:
        print(done.stderr[-4000:], flush=True)
    outcome = Outcome(lines[-1] if lines else "", done.returncode == 0, seconds, commit())
    (KEPT / f"{name}.json").write_text(json.dumps(asdict(outcome)), encoding="utf-8")


def kept(name: str) -> Outcome:
    """What came of a command when it ran last; FileNotFoundError where it never did."""
    return Outcome(**json.loads((KEPT / f"{name}.json").read_text(encoding="utf-8")))


def measured(suite: Suite, outcomes: dict[str, Outcome]) -> str:
    """What is written into the page."""
    lines = [
        f"Python {platform.python_version()}, {cpu_name()}.",
        "",
        "| | property | tests | commands |",
        "| --- | --- | --- | --- |",
    ]
    for it in PROPERTIES:
        tests = f"{suite.told(it.tests)} in {_places(it.tests)}" if it.tests else ""
        commands = ", ".join(
            name if outcomes[name].is_right else f"**{name}**" for name in it.commands
        )
        lines.append(f"| P{it.number} | {it.text} | {tests} | {commands} |")
    lines += [
        "",
        "| command | `python -m` | result | seconds | commit |",
        "| --- | --- | --- | --- | --- |",
    ]
    for name, outcome in outcomes.items():
        told = outcome.last_line.replace("|", "\\|")
        cells = f"{told} | {outcome.seconds:.0f} | {outcome.commit}"
        lines.append(f"| {name} | `{COMMANDS[name]}` | {cells} |")
    return "\n".join(lines) + "\n"


def commit() -> str:
    """The commit that is checked out."""
    command = ["git", "rev-parse", "--short", "HEAD"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    return done.stdout.strip()


def _places(paths: Sequence[str]) -> str:
    return ", ".join(f"`{path}`" for path in paths)


def cpu_name() -> str:
    """The CPU and its levels of vectors."""
    info = Path("/proc/cpuinfo")
    text = info.read_text(encoding="utf-8") if info.exists() else ""
    found = re.search(r"model name\s*: (.*)", text)
    vectors = "AVX-512" if "avx512f" in text else "AVX2"
    return f"{found[1].strip() if found else platform.machine()} with {vectors}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", nargs="+", choices=["suite", *COMMANDS], help="these alone")
    parser.add_argument("--jobs", type=int, default=2)
    wanted = parser.parse_args()
    KEPT.mkdir(parents=True, exist_ok=True)
    names = wanted.only or ["suite", *COMMANDS]
    if "suite" in names:
        run_suite(wanted.jobs)
    with ThreadPoolExecutor(wanted.jobs) as pool:
        list(pool.map(run, [name for name in names if name != "suite"]))
    suite = Suite.read(KEPT / "suite.xml")
    outcomes = {name: kept(name) for name in COMMANDS}
    before, _, rest = PAGE.read_text(encoding="utf-8").partition(START)
    _, _, after = rest.partition(END)
    page = f"{before}{START}{measured(suite, outcomes)}{END}{after}"
    PAGE.write_text(page, encoding="utf-8")
    is_right = not suite.failed and all(outcome.is_right for outcome in outcomes.values())
    sys.exit(not is_right)


if __name__ == "__main__":
    main()
