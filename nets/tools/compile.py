"""``python -m nets compile``: a Python function becomes a library for C, from the command line."""

from __future__ import annotations

import argparse
import os
import sys
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nets import config
from nets.errors import NetsError
from nets.tools.usage import UsageError

if TYPE_CHECKING:
    from nets.tools.usage import Commands


def add_command(commands: Commands) -> None:
    """Add the parser of ``compile``."""
    parser = commands.add_parser(
        "compile",
        help="export functions of a module as a library for C",
        description="Traces functions for arguments of the given types and exports them: "
        "python -m nets compile model:predict --spec 'f32[32, 784]' -o build/model",
    )
    add = parser.add_argument
    add("function", metavar="MODULE:FUNCTION", help="a function, traced or not, that is imported")
    add(
        "--spec",
        action="append",
        default=[],
        metavar="TYPE",
        help="dtype and shape of the next argument, such as 'f32[32, 784]'; once per argument",
    )
    add("-o", "--output", required=True, metavar="PATH", help="the library, without a suffix")
    add("--name", help="name in the library; default: that of the function")
    add(
        "--cpu",
        metavar="NAMES",
        help="CPU to compile for, such as x86-64-v3 or native, or several with commas between; "
        "default: every level of x86-64 from v2 on",
    )
    add("--target", metavar="TRIPLE", help="the system, as aarch64-linux-gnu; default: this one")
    add("--numerics", metavar="PROFILE", help=" or ".join(config.PROFILES))
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> None:
    """Run the command."""
    from nets.frontend.calls.trace import trace
    from nets.frontend.library.export import export
    from nets.frontend.tracing.spec import spec

    function, name = _imported(arguments.function)
    try:
        given = [spec(text) for text in arguments.spec]
    except NetsError as error:
        raise UsageError(f"--spec: {error}") from None
    traced = function if hasattr(function, "lower") else trace(function)
    lowered = traced.lower(*given)
    output = Path(arguments.output)
    output.parent.mkdir(parents=True, exist_ok=True)
    word = arguments.name or name.rpartition(".")[2]
    cpu = arguments.cpu.split(",") if arguments.cpu else None
    options: dict[str, Any] = {
        "cpu": cpu,
        "target": arguments.target,
        "numerics": arguments.numerics,
    }
    for path in export(output, **options, **{word: lowered}).files:
        print(path)


def _imported(text: str) -> tuple[Any, str]:
    """The function that ``module:name`` means, looked for in this folder too, and its name."""
    module_name, separator, name = text.partition(":")
    if not separator or not name:
        raise UsageError(f"{text!r} does not name a function; write MODULE:FUNCTION")
    if os.getcwd() not in sys.path:
        sys.path.insert(0, os.getcwd())
    try:
        found: Any = import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{module_name}.".startswith(f"{error.name}."):
            raise
        raise UsageError(f"there is no module {module_name!r} to import") from None
    for part in name.split("."):
        if not hasattr(found, part):
            raise UsageError(f"{module_name} has no {name}")
        found = getattr(found, part)
    if not callable(found):
        raise UsageError(f"{text} is {type(found).__name__}, not a function")
    return found, name
