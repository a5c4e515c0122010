"""``python -m nets opt``: run passes over IR text.

A file may say in comments at its top what is to be done with it; reproducers and filetests do::

    // passes: canonicalize, cse
    // options: machine=x86-64-v3, threads=1
"""

from __future__ import annotations

import argparse
import os
import re
import sys
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import nets.ops  # noqa: F401  (fills the registry)
from nets import config
from nets.errors import CompileError, ConfigError, PassError
from nets.ir.core import Module
from nets.ir.parser import parse_module
from nets.ir.printer import print_module
from nets.machine.machine import Machine
from nets.machine.table import machine_named
from nets.ops.definition.registry import lookup
from nets.passes.manager import Options, find_pass, run_pipeline
from nets.passes.pipelines import pipeline_of
from nets.tools.usage import UsageError

if TYPE_CHECKING:
    from nets.tools.usage import Commands


def add_command(commands: Commands) -> None:
    """Add the parser of ``opt``."""
    parser = commands.add_parser(
        "opt",
        help="run passes over a file of IR text",
        description="Reads IR text, runs passes over every function, prints the result.",
    )
    parser.add_argument("file", help="file of IR text; - reads standard input")
    parser.add_argument(
        "--pass",
        dest="passes",
        metavar="NAMES",
        help="pipeline or comma-separated passes; default: what the file's top says",
    )
    parser.add_argument(
        "--option",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="set one of " + ", ".join(field.name for field in fields(Options)),
    )
    parser.add_argument(
        "--print-after", metavar="NAMES", help="print the IR after these passes, or 'all'"
    )
    parser.add_argument("--locations", action="store_true", help="print source locations")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> None:
    """Run the command."""
    if arguments.print_after is not None:
        os.environ[config.PRINT_AFTER.name] = arguments.print_after
        try:
            config.PRINT_AFTER.get()
        except ConfigError as error:
            raise UsageError(
                error.message.replace(config.PRINT_AFTER.name, "--print-after")
            ) from None
    text = _read(arguments.file)
    said = header(text)
    passes = pipeline_of(said.get("passes", "") if arguments.passes is None else arguments.passes)
    try:
        for name in passes:
            find_pass(name)
    except PassError as error:
        raise UsageError(error.message) from None
    settings = [*filter(None, re.split(r"[,\s]+", said.get("options", ""))), *arguments.option]
    options = options_of(settings)
    module = optimize(parse_module(text, lookup), passes, options)
    sys.stdout.write(print_module(module, arguments.locations))


def optimize(module: Module, passes: tuple[str, ...], options: Options) -> Module:
    """The module after the passes have run over each function."""
    functions = module.functions.values()
    return Module.of([run_pipeline(function, passes, options) for function in functions])


def header(text: str) -> dict[str, str]:
    """The ``// key: value`` comments at the top of the text."""
    found: dict[str, str] = {}
    for line in text.splitlines():
        if not line.startswith("//"):
            break
        if match := re.fullmatch(r"//\s*(\w+):\s*(.*?)\s*", line):
            found[match[1]] = match[2]
    return found


def options_of(settings: list[str]) -> Options:
    """Options from ``name=value`` texts; UsageError for what is not an option or its type."""
    defaults = {field.name: getattr(Options(), field.name) for field in fields(Options)}
    values: dict[str, Any] = {}
    for setting in settings:
        name, _, value = setting.partition("=")
        if name not in defaults:
            raise UsageError(f"there is no option {name!r}; there are {', '.join(defaults)}")
        try:
            values[name] = _parsed(value, type(defaults[name]))
        except CompileError as error:
            raise UsageError(error.message) from None
        except ValueError:
            kind = type(defaults[name]).__name__
            raise UsageError(f"option {name} is of type {kind}, which {value!r} is not") from None
    return Options(**values)


def _parsed(value: str, kind: type) -> object:
    if kind is Machine:
        return machine_named(value)
    if kind is not bool:
        return kind(value)
    if value not in ("True", "False"):
        raise ValueError(value)
    return value == "True"


def _read(name: str) -> str:
    try:
        return sys.stdin.read() if name == "-" else Path(name).read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise UsageError(f"{name} is not text in UTF-8") from None
    except OSError as error:
        raise UsageError(f"{name} cannot be read: {error.strerror}") from None
