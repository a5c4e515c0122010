"""checkpoint: functions whose values reverse mode computes again, instead of keeping them.

A call is one operation of the trace it stands in, whose region is the function; what that means is
for the pass vjp. From outside a trace the function is staged like a traced one, so that what eager
gradients keep of it are its arguments as well.
"""

from __future__ import annotations

import copy
import functools
from collections.abc import Callable, Sequence
from typing import Any

from nets.errors import ArgumentError
from nets.frontend.calls.staged import Staged, kept
from nets.frontend.derived import checkpoint_policies
from nets.frontend.tensor.inner import tensor_of
from nets.frontend.tracing.arguments import BoundCall
from nets.frontend.tracing.binding import Binding
from nets.frontend.tracing.nested import stage_nested
from nets.frontend.tracing.program import Program
from nets.frontend.tracing.regions import emit_control
from nets.ir.location import user_location

Policy = Callable[[str], bool]
"""Whether the results of operations of that name are kept."""


def checkpoint(function: Callable[..., Any], *, policy: Policy | None = None) -> Checkpointed:
    """The function, whose values reverse mode computes again from its arguments.

    Between the way there and the way back live only the arguments, and what ``policy`` keeps: a
    function of the name of an operation, such as ``nets.checkpoint_policies.dots_saveable``. By
    default that is nothing. The result has the same bits, and so have gradients.

    It may be used in loops, in other checkpoints and outside traces, and differentiated to any
    order. What the function changes in place or prints happens once, on the way there.

    ArgumentError where ``policy`` cannot be called; MutatedArgumentError, in a trace, where the
    function changes Python objects around it.
    """
    if policy is not None and not callable(policy):
        raise ArgumentError(
            f"policy is a function of the name of an operation, not {policy!r}", user_location()
        )
    chosen = policy or checkpoint_policies.nothing_saveable
    return kept(function, ("checkpoint", chosen), lambda: Checkpointed(function, chosen))


class Checkpointed(Staged):
    """What ``checkpoint`` makes of a function."""

    __wrapped__: Callable[..., Any]

    def __init__(self, function: Callable[..., Any], policy: Policy) -> None:
        if isinstance(function, Staged):
            binding, options = function.binding, function.options
        else:
            binding, options = Binding(function), {}
        super().__init__(binding, binding.name, options)
        functools.update_wrapper(self, function, updated=())
        self.policy = policy
        self.is_traced_anew = not isinstance(function, Staged) or function.is_traced_anew

    def result_of(self, args: Sequence[object], kwargs: dict[str, object]) -> Any:
        """The function as one operation of the current trace."""
        call = BoundCall(self.binding, tuple(args), kwargs)
        call.check()

        def run(args: Sequence[object], kwargs: dict[str, object]) -> Any:
            return self.__wrapped__(*args, **kwargs)

        program, values = stage_nested(self.name, call, call.positions, run, once=False)
        operands = [tensor_of(value) for value in values]
        attributes = {"saved": _saved(program, self.policy)}
        results = emit_control("checkpoint", operands, attributes, [program])
        return program.tree.unflatten(results)

    def eagerly(self, args: Sequence[object], kwargs: dict[str, object]) -> Any:
        return self.__wrapped__(*args, **kwargs)

    def __reduce__(self) -> Any:
        """Pickled by name where it has one of its own, else as made of its function."""
        from nets.frontend.calls.pickling import reduced

        return reduced(self, Checkpointed, self.policy)

    def __copy__(self) -> Checkpointed:
        return self

    def __deepcopy__(self, memo: dict[int, object]) -> Checkpointed:
        """Itself, as for functions; of a bound method or an object that is called, of its copy."""
        inner = copy.deepcopy(self.__wrapped__, memo)
        return self if inner is self.__wrapped__ else Checkpointed(inner, self.policy)

    def __repr__(self) -> str:
        return f"<checkpointed function {self.name}>"


def _saved(program: Program, policy: Policy) -> tuple[str, ...]:
    """The names of the operations of a program whose results are kept."""
    names = sorted({op.name for op in program.function.body if op.results})
    return tuple(name for name in names if policy(name))
