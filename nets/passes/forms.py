"""Forms: what a function is like between two passes, as questions that can be asked of it.

A pass says which forms it requires, which it ensures, and which it ends; what one pass ensures
holds until another ends it. The manager asks at NETS_VERIFY=2.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from nets.errors import PassError
from nets.ir.core import Function, Operation, Trait
from nets.ir.types import TensorType


@dataclass(frozen=True, slots=True)
class Form:
    """What every operation of a function keeps to: a word, a sentence, and the question."""

    name: str
    sentence: str
    is_kept: Callable[[Operation], bool]

    def check(self, function: Function, claim: str) -> None:
        """PassError with the claim, such as "hoist requires", where an operation is against it."""
        for op in function.walk():
            if not self.is_kept(op):
                raise PassError(
                    f"{claim} the form {self.name} ({self.sentence}), which {op.name} in "
                    f"{function.name} does not keep to",
                    op.location,
                )


@dataclass(frozen=True, slots=True)
class Contract:
    """The forms a pass requires before, those it ensures, and those that hold no longer after."""

    requires: tuple[Form, ...] = ()
    ensures: tuple[Form, ...] = ()
    ends: tuple[Form, ...] = ()


def _is_of_loops(op: Operation) -> bool:
    return op.name.startswith("loop.")


def is_static(op: Operation) -> bool:
    """Whether an operation meets no tensor of sizes that only a call tells."""
    tensors = [value.type for value in (*op.operands, *op.results)]
    return all(type.is_static for type in tensors if isinstance(type, TensorType))


def _has_none_inside(op: Operation, name: str) -> bool:
    """Unless it is a parallel loop with an operation of that name in it."""
    return op.name != "loop.parallel" or all(inner.name != name for inner in op.walk_regions())


TENSOR: Final = Form(
    "TENSOR",
    "operations of the tensor dialect alone",
    lambda op: not _is_of_loops(op),
)
LOOPS: Final = Form(
    "LOOPS",
    "operations of the loop dialect alone, on buffers",
    lambda op: (
        (_is_of_loops(op) or op.has(Trait.TERMINATOR))
        and not any(isinstance(value.type, TensorType) for value in op.results)
    ),
)
VECTORIZED: Final = Form("VECTORIZED", "no loop.reduce", lambda op: op.name != "loop.reduce")
ALLOCATED_OUTSIDE: Final = Form(
    "ALLOCATED_OUTSIDE",
    "no loop.alloc in a parallel loop",
    lambda op: _has_none_inside(op, "loop.alloc"),
)
FORKED_ONCE: Final = Form(
    "FORKED_ONCE",
    "no parallel loop inside another",
    lambda op: _has_none_inside(op, "loop.parallel"),
)
PLACED: Final = Form(
    "PLACED",
    "a place in the arena for every loop.alloc",
    lambda op: op.name != "loop.alloc" or op.attributes["offset"] != -1,
)
