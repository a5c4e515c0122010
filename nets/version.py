"""The version of the package, and that of the numbers it gives."""

from __future__ import annotations

from typing import Final

__version__ = "0.1.0"

NUMERICS_CONTRACT: Final = 2
"""Of docs/numerics.md: it changes when a bit of a result does, as with another block of a reduction
or another polynomial."""
