"""Ensembles of trees: which rows reach a leaf, and what the leaves give together."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from onnx import numpy_helper

import nets
from tests.acceptance.onnx_cases.graph import Node, operator

BRANCHES: list[Callable[[Any, float], Any]] = [
    lambda x, split: x <= split,
    lambda x, split: x < split,
    lambda x, split: x >= split,
    lambda x, split: x > split,
    lambda x, split: x == split,
    lambda x, split: x != split,
]
"""Comparisons by their number; the next one is whether x is a member of a set."""

MEMBER = len(BRANCHES)


def _members(node: Node) -> list[list[float]]:
    """The sets of the nodes that ask for one, which NaN ends."""
    if node["membership_values"] is None:
        return []
    values = numpy_helper.to_array(node["membership_values"])
    ends = np.flatnonzero(np.isnan(values))
    return [part[~np.isnan(part)].tolist() for part in np.split(values, ends + 1)]


def _conditions(node: Node, x: Any) -> list[Any]:
    """For each inner node the rows that go its true way."""
    modes, splits = (numpy_helper.to_array(node[f"nodes_{n}"]) for n in ("modes", "splits"))
    sets = iter(_members(node))
    missing = node["nodes_missing_value_tracks_true"] or [0] * len(modes)
    found = []
    for i, mode in enumerate(modes):
        column = x[:, node["nodes_featureids"][i]]
        if mode == MEMBER:
            holds = nets.any(column[:, None] == np.array(next(sets), x.dtype), axis=1)
        else:
            holds = BRANCHES[mode](column, float(splits[i]))
        found.append(holds | nets.isnan(column) if missing[i] else holds)
    return found


def _leaves(node: Node, x: Any) -> Iterator[tuple[int, Any]]:
    """Each leaf with the rows that reach it."""
    conditions = _conditions(node, x)
    everywhere = nets.ones(x.shape[:1], "bool")
    waiting = [(root, everywhere) for root in node["tree_roots"]]
    while waiting:
        at, rows = waiting.pop()
        for way, holds in (("true", conditions[at]), ("false", ~conditions[at])):
            child = node[f"nodes_{way}nodeids"][at]
            if node[f"nodes_{way}leafs"][at]:
                yield child, rows & holds
            else:
                waiting.append((child, rows & holds))


AGGREGATES: list[Callable[[Any, Any], Any]] = [nets.add, nets.add, nets.minimum, nets.maximum]


@operator("TreeEnsemble")
def tree_ensemble(node: Node, x: Any) -> Any:
    weights = numpy_helper.to_array(node["leaf_weights"])
    number = node["aggregate_function"]
    nothing = [0.0, 0.0, np.inf, -np.inf][number]
    start = nets.full(x.shape[:1], nothing, dtype=x.dtype)
    columns = [start] * node["n_targets"]
    for leaf, rows in _leaves(node, x):
        target = node["leaf_targetids"][leaf]
        value = nets.where(rows, weights[leaf].item(), nothing)
        columns[target] = nets.astype(AGGREGATES[number](columns[target], value), x.dtype)
    table = nets.stack(columns, axis=1)
    table = table / len(node["tree_roots"]) if number == 0 else table
    return [nets.positive, lambda y: nets.softmax(y, -1), nets.sigmoid][node["post_transform"]](
        table
    )
