"""``python -m nets info``: versions, the CPU, and the NETS_* variables."""

from __future__ import annotations

import argparse
import os
import platform
from collections.abc import Iterator
from importlib import metadata
from typing import TYPE_CHECKING

from nets import config
from nets.backend.llvm.target import llvm_version, machine_of
from nets.backend.process import cache, cache_size
from nets.backend.process.obstacle import cpu_count, obstacle
from nets.errors import NetsError
from nets.extension import in_use

if TYPE_CHECKING:
    from nets.tools.usage import Commands


def add_command(commands: Commands) -> None:
    """Add the parser of ``info``."""
    parser = commands.add_parser(
        "info",
        help="show versions, the CPU and the NETS_* variables",
        description="Shows what nets runs on and how it is set up.",
    )
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> None:
    """Run the command."""
    for title, text in (*_versions(), *_machine(), ("backend", _backend()), ("cache", _cache())):
        print(f"{title:<10} {text}")
    print("\nenvironment")
    for variable in config.TABLE:
        print(f"  {variable.name:<17} {_setting(variable):<14} {variable.help}")


def _versions() -> Iterator[tuple[str, str]]:
    yield "nets", _version("nets-compiler")
    yield "python", f"{platform.python_version()} on {platform.system()}"
    for package in ("numpy", "llvmlite", "cffi"):
        yield package, _version(package)


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "not installed"


def _machine() -> Iterator[tuple[str, str]]:
    try:
        yield "LLVM", llvm_version()
        machine = machine_of(config.CPU.get())
    except (NetsError, ImportError) as error:
        yield "CPU", f"nets cannot compile here: {error}"
        return
    vectors = f"{machine.vector_registers} registers of {machine.vector_bytes} bytes"
    yield "CPU", f"{machine.cpu}, {vectors}, tuned as {machine.family}, {cpu_count()} CPUs"


def _backend() -> str:
    try:
        words = obstacle()
    except NetsError as error:
        return str(error)
    if words is not None:
        return f"the reference interpreter: {words}"
    return "native code" if in_use() else "native code, called without nets._dispatch"


def _cache() -> str:
    place = cache.folder()
    if place is None or not config.CACHE.get():
        return "not used"
    entries = cache_size.entries(place)
    megabytes = sum(entry.bytes for entry in entries) / 1e6
    return f"{place}, {len(entries)} entries of {megabytes:.1f} MB"


def _setting(variable: config.Variable) -> str:
    """The text in force, and whether it is set or not even allowed."""
    text = os.environ.get(variable.name, variable.default) or "-"
    try:
        variable.get()
    except NetsError:
        return f"{text} (wrong)"
    return f"{text} (set)" if variable.name in os.environ else text
