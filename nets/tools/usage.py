"""What every command shares: the error for a command that cannot be understood."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    Commands = argparse._SubParsersAction[argparse.ArgumentParser]
    """What ``add_command`` adds its parser to."""


class UsageError(Exception):
    """The arguments name something that is not there; exit code 2."""
