"""Names of other libraries: the error says what nets calls them."""

from __future__ import annotations

import re

import numpy as np
import pytest

import nets
from nets.errors import MissingNameError
from nets.frontend.tensor.other_names import FUNCTIONS, METHODS

T = nets.Tensor(np.zeros((2, 3), "float32"))


@pytest.mark.parametrize(
    ("name", "advice"),
    [
        ("vectorize", "nets.vmap"),
        ("jit", "nets.trace"),
        ("tensor", "nets.Tensor"),
        ("float16", "nets.float32"),
        ("bool_", "nets.bool"),
        ("randn", "nets.random.normal"),
        ("autograd", "nets.grad"),
        ("Linear", "it is nets.nn.Linear"),
        ("Adam", "it is nets.optim.Adam"),
        ("cross_entropy", "it is nets.nn.functional.cross_entropy"),
        ("DataLoader", "it is nets.data.DataLoader"),
        ("logsoftmax", "nets.log_softmax"),
        ("matmull", "nets.matmul"),
    ],
)
def test_names_on_nets(name: str, advice: str) -> None:
    assert not hasattr(nets, name)
    with pytest.raises(MissingNameError) as caught:
        getattr(nets, name)
    assert advice in str(caught.value)
    assert "test_other_names.py" in str(caught.value)


@pytest.mark.parametrize(
    ("name", "advice"),
    [
        ("resize_", "reshape"),
        ("cuda", "CPU"),
        ("half", "float32"),
        ("copy", "clone"),
        ("gelu", "nets.gelu(t)"),
        ("stride", "t.data"),
    ],
)
def test_names_on_tensors(name: str, advice: str) -> None:
    for thing in (T, nets.nn.Parameter(T), nets.Tensor):
        assert not hasattr(thing, name)
        with pytest.raises(MissingNameError) as caught:
            getattr(thing, name)
        assert advice in str(caught.value)
    assert name not in dir(T)
    with pytest.raises(MissingNameError):
        nets.trace(lambda x: getattr(x, name)())(1.0)


def test_what_nobody_knows_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError):
        T.soup  # type: ignore[attr-defined]  # noqa: B018
    with pytest.raises(MissingNameError, match="nets has no 'soup'"):
        nets.soup  # noqa: B018
    assert not hasattr(nets, "__wrapped__")


def test_subclasses_may_use_these_names() -> None:
    class Mine(nets.Tensor):
        def view(self) -> str:
            return "mine"

    assert Mine(1.0).view() == "mine"


def test_the_table_names_what_is_not_there_and_advises_what_is() -> None:
    assert not [name for name in FUNCTIONS if name in nets.__all__]
    assert not [name for name in METHODS if hasattr(nets.Tensor, name)]
    for text in (*FUNCTIONS.values(), *METHODS.values()):
        for path in re.findall(r"nets((?:\.\w+)+)", text):
            found = nets
            for word in path[1:].split("."):
                found = getattr(found, word)
        for word in re.findall(r"\bt\.(\w+)", text):
            assert hasattr(nets.Tensor, word)
