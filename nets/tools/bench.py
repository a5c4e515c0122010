"""``python -m nets bench``: the benchmark suite of a source checkout.

The suite is no part of the installed package: it stands in ``benchmarks/`` beside it.
"""

from __future__ import annotations

import argparse
import sys
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nets.backend.process.obstacle import obstacle
from nets.tools.usage import UsageError

if TYPE_CHECKING:
    from nets.tools.usage import Commands

DEFAULT_THREADS = "1,2"

_LISTS = (
    ("--only", "NAMES", "workloads, families, or patterns such as 'sgemm/*'"),
    ("--threads", "COUNTS", f"default: {DEFAULT_THREADS}"),
    ("--peers", "NAMES", "systems to compare; default: all that are installed"),
)
"""Options that take names with commas between them, and add up when they are given again."""

CHECKOUT = Path(__file__).resolve().parents[2]
"""Where the package lies: a source checkout, or a folder of installed packages."""


def add_command(commands: Commands) -> None:
    """Add the parser of ``bench``."""
    parser = commands.add_parser(
        "bench",
        help="measure nets beside NumPy, JAX, PyTorch and numba",
        description="Measures workloads on every system that is installed, in turns, and compares.",
    )
    add = parser.add_argument
    add("names", metavar="NAMES", nargs="*", help="the same as --only; gradbench is left out else")
    for name, metavar, text in _LISTS:
        add(name, metavar=metavar, action="append", help=text)
    add("--peer-python", metavar="PYTHON", help="runs the peers; default: this one")
    add("--quick", action="store_true", help="few samples, for a first look")
    add("--list", action="store_true", help="name the workloads and stop")
    add("--json", metavar="FILE", type=Path, help="write everything that was measured")
    add("--table", metavar="FILE", type=Path, help="put the rows into a page in Markdown")
    add("--svg", metavar="FILE", type=Path, help="draw the ratios")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> None:
    """Run the command."""
    suite = _suite()
    if not arguments.list:
        _refuse_unbuilt()
    arguments.only = [*arguments.names, *(arguments.only or ())]
    for name, _, _ in _LISTS:
        given = getattr(arguments, name.strip("-"))
        setattr(arguments, name.strip("-"), given and ",".join(given))
    arguments.threads = arguments.threads or DEFAULT_THREADS
    try:
        suite.run(arguments)
    except suite.ChoiceError as error:
        raise UsageError(str(error)) from None


def _refuse_unbuilt() -> None:
    """UsageError where native code cannot run, for then there is nothing to measure."""
    words = obstacle()
    if words is not None:
        raise UsageError(f"there is nothing to measure: {words} (of {CHECKOUT})")


def _suite() -> Any:
    """The suite; UsageError where there is no source checkout."""
    if not (CHECKOUT / "benchmarks" / "suite.py").is_file():
        raise UsageError(
            f"the benchmarks come with the source of nets, and there is none at {CHECKOUT}; "
            "run the command in a checkout"
        )
    if str(CHECKOUT) not in sys.path:
        sys.path.insert(0, str(CHECKOUT))
    return import_module("benchmarks.suite")
