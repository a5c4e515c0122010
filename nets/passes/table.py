"""The table of passes: the name of each, and its module below ``nets.passes``."""

from __future__ import annotations

from typing import Final

MODULES: Final = {
    "reroll": "simplify.reroll",
    "simplify_control": "simplify.simplify_control",
    "canonicalize": "simplify.canonicalize",
    "fold": "simplify.fold",
    "cse": "simplify.cse",
    "dce": "simplify.dce",
    "settle": "simplify.settle",
    "share_overlaps": "fusion.share_overlaps",
    "split_reductions": "spaces.split_reductions",
    "share_windows": "fusion.share_windows",
    "fuse": "fusion.fuse",
    "outline_entries": "fusion.outline_entries",
    "inline_unfit_fusions": "fusion.inline_unfit_fusions",
    "sink_updates": "lowering.sink_updates",
    "lower_to_loops": "lowering.lower_to_loops",
    "vectorize": "loops.vectorize",
    "roll": "loops.roll",
    "streams": "loops.streams",
    "jam": "loops.jam",
    "share_loads": "loops.share_loads",
    "hoist": "loops.hoist",
    "parallelize": "loops.parallelize",
    "overlap": "loops.overlap",
    "plan_memory": "loops.plan_memory",
}
"""In the order in which a program meets them."""
