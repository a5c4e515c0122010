"""``python -m nets cache``: what the object cache holds, and making it smaller."""

from __future__ import annotations

import argparse
import time
from typing import TYPE_CHECKING

from nets import config
from nets.backend.process import cache, cache_size
from nets.tools.usage import UsageError

if TYPE_CHECKING:
    from nets.tools.usage import Commands

_HOUR = 3600.0


def add_command(commands: Commands) -> None:
    """Add the parser of ``cache``."""
    parser = commands.add_parser(
        "cache",
        help="show the object cache, or remove compiled programs from it",
        description="Shows how much the object cache holds. What is removed is compiled again.",
    )
    change = parser.add_mutually_exclusive_group()
    change.add_argument("--clear", action="store_true", help="remove all entries")
    change.add_argument(
        "--trim", metavar="MB", help="remove the longest unused entries until this much is left"
    )
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> None:
    """Run the command."""
    folder = cache.folder()
    if arguments.clear or arguments.trim is not None:
        limit = 0 if arguments.clear else _megabytes(arguments.trim)
        print(f"removed    {cache_size.trim(folder, limit)}")
    found = cache_size.entries(folder)
    print(f"folder     {folder or 'none'}")
    print(f"entries    {len(found)}")
    print(f"size       {sum(entry.bytes for entry in found) / 1e6:.1f} MB")
    print(
        f"limit      {config.CACHE_LIMIT.get() or 'none'}{' MB' * bool(config.CACHE_LIMIT.get())}"
    )
    if found:
        print(f"unused     {(time.time() - found[0].used) / _HOUR:.1f} hours at most")


def _megabytes(text: str) -> int:
    """Bytes of a number of megabytes."""
    try:
        size = float(text)
    except ValueError:
        size = -1.0
    if not 0 <= size < float("inf"):
        raise UsageError(f"--trim takes a number of megabytes, not {text!r}")
    return int(size * 10**6)
