"""Policies of ``nets.checkpoint``: what it keeps for the way back, by the names of operations.

A policy is any function from the ``name`` of an operation, as ``lower(…).ir()`` shows it before it
is optimised, to a bool. These have the names that JAX has for them.
"""

from __future__ import annotations

from typing import Final

_PRODUCTS: Final = ("matmul", "conv", "conv_input", "conv_weight")


def nothing_saveable(name: str) -> bool:
    """Keep the arguments alone."""
    return False


def everything_saveable(name: str) -> bool:
    """Keep what reverse mode needs, as without a checkpoint."""
    return True


def dots_saveable(name: str) -> bool:
    """Keep products of matrices and convolutions, which are the dearest to compute again."""
    return name in _PRODUCTS
