"""Pytrees: leaves and structure of nested containers, their names, and hostile nests."""

from __future__ import annotations

import dataclasses
import gc
from collections import OrderedDict, defaultdict, namedtuple
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nets.errors import ArgumentError
from nets.frontend.pytree import (
    Step,
    expression,
    flatten,
    identifier,
    map_leaves,
    unique,
)

Point = namedtuple("Point", "x y")


@dataclasses.dataclass
class Layer:
    w: Any
    b: Any = 0.0

    def __post_init__(self) -> None:
        assert self.w is not None, "building a nest must not run user code"


@dataclasses.dataclass(frozen=True, slots=True)
class Frozen:
    a: Any
    b: Any


nests = st.recursive(
    st.integers() | st.none() | st.text(max_size=3),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.tuples(inner, inner)
        | st.dictionaries(st.text(max_size=3), inner, max_size=4)
        | st.builds(Point, inner, inner)
        | st.builds(Frozen, inner, inner)
    ),
    max_leaves=20,
)


@settings(max_examples=50)
@given(nests)
@pytest.mark.long
def test_unflatten_inverts_flatten(tree: Any) -> None:
    leaves, treedef = flatten(tree)
    again = treedef.unflatten(leaves)
    assert again == tree
    assert repr(again) == repr(tree), "the order of dict keys is kept"
    assert len(leaves) == treedef.leaf_count == len(treedef.paths())


@settings(max_examples=50)
@given(nests, nests)
def test_equal_structures_hash_alike(x: Any, y: Any) -> None:
    _, a = flatten(x)
    _, b = flatten(y)
    _, c = flatten(map_leaves(lambda _: object(), x))
    assert a == c
    assert hash(a) == hash(c)
    if a == b:
        assert hash(a) == hash(b)


def test_key_order_does_not_matter_and_is_kept() -> None:
    leaves, first = flatten({"b": 1, "a": 2})
    other, second = flatten({"a": 2, "b": 1})
    assert leaves == other == [2, 1]
    assert first == second
    assert list(first.unflatten([20, 10]).items()) == [("b", 10), ("a", 20)]


def test_key_order_is_kept_for_nested_and_empty_dicts() -> None:
    tree = [{}, {"z": {"y": 1, "x": {}}, "a": 2}, {"k": 0, "j": {"q": 5, "p": 6}}]
    leaves, treedef = flatten(tree)
    assert repr(treedef.unflatten(leaves)) == repr(tree)


def test_keys_without_an_order_stay_as_they_are() -> None:
    tree = {"a": 1, 2: 3, None: 4}
    leaves, treedef = flatten(tree)
    assert leaves == [1, 3, 4]
    assert treedef.unflatten(leaves) == tree


def test_structures_differ_by_class_size_and_keys() -> None:
    trees: list[Any] = [
        1, [1], (1,), [1, 1], [[1]], {"a": 1}, {"b": 1}, None, [], (), {}, Layer(1, 1),
        Frozen(1, 1), Point(1, 1), OrderedDict(a=1), [None], [1, None], [None, 1],
    ]  # fmt: skip
    definitions = [flatten(tree)[1] for tree in trees]
    assert len(set(definitions)) == len(trees)


def test_classes_are_rebuilt() -> None:
    counts: Any = defaultdict(list, a=[1])
    for tree in (Layer(1), Frozen(1, {"k": 2}), Point(1, 2), OrderedDict(b=1, a=2), counts):
        again = map_leaves(lambda leaf: leaf, tree)
        assert type(again) is type(tree)
        assert again == tree
    assert map_leaves(lambda _: None, Layer(1)) is not None
    assert map_leaves(lambda leaf: leaf, counts)["missing"] == []


def test_none_is_an_empty_container() -> None:
    assert flatten(None)[0] == []
    assert flatten([None, 1])[1].unflatten([7]) == [None, 7]


def test_other_objects_are_leaves() -> None:
    class Bag(dict[str, int]):
        pass

    for x in (1.5, "text", Bag(a=1), {1, 2}, object, Layer):
        assert flatten(x)[0] == [x]


def test_paths() -> None:
    _, treedef = flatten({"net": [Layer(1, 2), {"w-1": 3}], "step": 0})
    paths = treedef.paths()
    assert [expression("p", path) for path in paths] == [
        "p['net'][0].w",
        "p['net'][0].b",
        "p['net'][1]['w-1']",
        "p['step']",
    ]
    assert [identifier("p", path) for path in paths] == [
        "p_net_0_w",
        "p_net_0_b",
        "p_net_1_w_1",
        "p_step",
    ]
    assert paths[-1] == (Step(dict, "step"),)
    assert flatten(3)[1].paths() == [()]


def test_names_become_unique() -> None:
    assert unique(["a", "b", "a", "a_2", "a"]) == ["a", "b", "a_2", "a_2_2", "a_3"]


def test_repr_shows_the_nest() -> None:
    assert repr(flatten({"b": (1, None), "a": [2]})[1]) == "TreeDef({'b': (*, None), 'a': [*]})"


def test_a_nest_of_any_depth() -> None:
    tree: Any = 1
    for i in range(30_000):
        tree = [tree] if i % 2 else {"k": tree}
    leaves, treedef = flatten(tree)
    assert leaves == [1]
    assert treedef == flatten(tree)[1]
    assert hash(treedef) == hash(flatten(tree)[1])
    assert len(treedef.paths()[0]) == 30_000
    rebuilt = treedef.unflatten([2])
    for i in reversed(range(30_000)):
        rebuilt = rebuilt[0] if i % 2 else rebuilt["k"]
    assert rebuilt == 2


def test_a_large_nest_is_not_taken_for_a_cycle() -> None:
    shared = [None, 1, [2, None]]
    leaves, _ = flatten([shared] * 50_000)
    assert len(leaves) == 100_000


def test_cycles_are_refused() -> None:
    in_list: list[Any] = [1]
    in_list.append(in_list)
    in_dict: dict[str, Any] = {"a": [None]}
    in_dict["a"].append({"b": in_dict})
    in_layer = Layer(1)
    in_layer.b = (in_layer,)
    for tree in (in_list, in_dict, in_layer, [in_list] * 5):
        with pytest.raises(ArgumentError, match="contains itself"):
            flatten(tree)
    gc.collect()
