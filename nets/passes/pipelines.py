"""The named pipelines: the map of the compiler. Names are those of registered passes."""

from __future__ import annotations

from typing import Final

OPTIMIZE: Final = (
    *("reroll", "simplify_control", "canonicalize", "cse", "simplify_control", "dce"),
    *("fuse", "block"),
)
"""Tensor IR → fused tensor IR. (canonicalize folds constants; ``fold`` does nothing else.)"""

LOOPS: Final = (
    *("lower_to_loops", "vectorize", "streams", "jam", "share_loads"),
    *("hoist", "cse", "parallelize", "plan_memory"),
)
"""Fused tensor IR → loop IR that the backend emits."""

PIPELINES: Final = {"default": OPTIMIZE, "none": ()}
"""What ``pipeline=`` of ``lower`` may name; ``LOOPS`` follows in any case."""


def pipeline_of(text: str) -> tuple[str, ...]:
    """The passes of a named pipeline, or of a list such as ``canonicalize,cse``."""
    if text in PIPELINES:
        return PIPELINES[text]
    return tuple(name.strip() for name in text.split(",") if name.strip())
