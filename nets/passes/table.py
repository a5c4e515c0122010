"""The table of passes: the name of each, and its module below ``nets.passes``."""

from __future__ import annotations

from typing import Final

MODULES: Final = {
    "reroll": "reroll",
    "simplify_control": "simplify_control",
    "canonicalize": "canonicalize",
    "fold": "fold",
    "cse": "cse",
    "dce": "dce",
    "split_reductions": "split_reductions",
    "share_windows": "share_windows",
    "fuse": "fuse",
    "block": "block",
    "lower_to_loops": "lower_to_loops",
    "vectorize": "vectorize",
    "streams": "streams",
    "jam": "jam",
    "share_loads": "share_loads",
    "hoist": "hoist",
    "parallelize": "parallelize",
    "plan_memory": "plan_memory",
}
"""In the order in which a program meets them."""
