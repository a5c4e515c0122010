"""The command line: one subcommand per room of ``nets.tools``.

Exit codes: 0 done, 1 the work failed, 2 the command cannot be understood.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence

from nets.errors import NetsError
from nets.tools import bench, cache, info, opt
from nets.tools import compile as compile_
from nets.tools.usage import UsageError
from nets.version import __version__

COMMANDS = (info, opt, compile_, bench, cache)
"""Each adds its parser with ``add_command``; the parser's default ``run`` does the work."""


def main(arguments: Sequence[str]) -> int:
    """Run ``python -m nets`` with these arguments; the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m nets", description="Ahead-of-time compiler for tensor programs."
    )
    parser.add_argument("--version", action="version", version=f"nets {__version__}")
    commands = parser.add_subparsers(title="commands", required=True, metavar="command")
    for command in COMMANDS:
        command.add_command(commands)
    options = parser.parse_args(arguments)
    try:
        options.run(options)
        sys.stdout.flush()
    except BrokenPipeError:
        # The reader of our output has seen enough; the interpreter's own flush must not fail.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except UsageError as error:
        print(f"python -m nets: {error}", file=sys.stderr)
        return 2
    except NetsError as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        return 1
    return 0
