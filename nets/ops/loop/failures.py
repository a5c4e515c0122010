"""Failures: the ways in which a matrix may have no factor or solution, as an exported library tells
them.

A program that meets one goes on with NaN or infinities, as NumPy's arithmetic does. Who compiles it
decides whether loops note the failure besides (``Lowering.note_unless``): an exported function
returns its status in the end, with the results written; a traced function in Python does not.
"""

from __future__ import annotations

from typing import Final, NamedTuple


class Failure(NamedTuple):
    """A failure: its status (docs/abi.md), its name in C, and a sentence."""

    status: int
    word: str
    sentence: str


NOT_POSITIVE_DEFINITE: Final = Failure(
    16384, "NOT_POSITIVE_DEFINITE", "a matrix is not positive definite"
)
SINGULAR: Final = Failure(16385, "SINGULAR", "a matrix is singular")
NOT_DECOMPOSED: Final = Failure(
    16386, "NOT_DECOMPOSED", "an element is not finite, or the iteration does not converge"
)

FAILURES: Final = {each.status: each for each in (NOT_POSITIVE_DEFINITE, SINGULAR, NOT_DECOMPOSED)}
"""All of them. The statuses below, from 1 on, are those of values that are refused."""
