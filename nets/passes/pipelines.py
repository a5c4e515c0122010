"""The named pipelines: the map of the compiler. Names are those of registered passes."""

from __future__ import annotations

from typing import Final

SIMPLIFY: Final = (
    "reroll",
    "simplify_control",
    "canonicalize",
    "settle",
    "simplify_control",
    "dce",
)
"""Tensor IR → less of it.

(canonicalize folds constants; ``fold`` does nothing else. settle is cse, dce and canonicalize.)
"""

FUSE: Final = ("share_overlaps", "split_reductions", "share_windows", "dce", "fuse")
"""Tensor IR → fused tensor IR. The second and third let more of it be fused."""

OPTIMIZE: Final = (*SIMPLIFY, *FUSE, "outline_entries")
"""What a program goes through unless ``pipeline=`` says otherwise."""

LOWER: Final = ("inline_unfit_fusions", "split_reductions", "sink_updates", "lower_to_loops")
"""Tensor IR, fused or not → loop IR.

The first two have nothing to do after ``OPTIMIZE``; they take what another pipeline or a text left.
"""

LOOPS: Final = (
    *LOWER,
    *("vectorize", "streams", "jam", "share_loads", "hoist", "cse", "parallelize"),
    *("overlap", "plan_memory"),
)
"""Tensor IR, fused or not → loop IR that the backend emits."""

SMALL_LOOPS: Final = (*LOWER, "roll", "hoist", "cse", "parallelize", "overlap", "plan_memory")
"""The same where the size of the code counts."""

PIPELINES: Final = {"default": OPTIMIZE, "none": ()}
"""What ``pipeline=`` of ``lower`` may name; ``LOOPS`` follows in any case."""


def pipeline_of(text: str) -> tuple[str, ...]:
    """The passes of a named pipeline, or of a list such as ``canonicalize,cse``."""
    if text in PIPELINES:
        return PIPELINES[text]
    return tuple(name.strip() for name in text.split(",") if name.strip())
