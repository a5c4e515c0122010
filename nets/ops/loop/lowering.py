"""Lowering: what the ``lower`` rules of indexing ops and kernels may ask of the lowering pass."""

from __future__ import annotations

from collections.abc import Callable

from nets.errors import IndexOutOfBoundsError
from nets.ir.affine import Affine
from nets.ir.core import Value
from nets.ir.types import BufferType
from nets.machine.machine import Machine
from nets.machine.table import machine_named
from nets.ops.loop.failures import Failure
from nets.ops.loop.loop_builder import LoopBuilder


class Lowering(LoopBuilder):
    """A LoopBuilder that can also read tensors by element and give up on bad values."""

    machine: Machine = machine_named("x86-64-v2")
    """What the loops are for. No bit of a result may depend on it."""

    failures: bool = False
    """Whether failures are told (``nets.ops.loop.failures``)."""

    def read(self, operand: Value, index: tuple[Affine, ...]) -> Value:
        """The scalar of a tensor at ``index``, one expression per axis, each within bounds.

        The pass decides whether that loads from memory or computes the element anew.
        """
        raise NotImplementedError

    def fail_unless(
        self, ok: Value, message: str, error: str = IndexOutOfBoundsError.__name__
    ) -> None:
        """Let the call fail with ``message`` where ``ok`` is false; execution goes on meanwhile.

        ``error``: the name of the error, one of ``nets.errors.REFUSALS``.
        """
        raise NotImplementedError

    def note_unless(self, ok: Callable[[], Value], failure: Failure) -> None:
        """Let the call return the status of a failure where ``ok`` is false, where that is asked
        for; it is made only then. Execution goes on, and results are what they are without."""


def buffer_type(x: Value) -> BufferType:
    """The type of a value that must be a buffer."""
    assert isinstance(x.type, BufferType), x.type
    return x.type


def fill_zero(s: Lowering, out: Value) -> None:
    """Zeros in every element of a buffer."""
    zero = s.const(0, out.type.dtype)
    loop = s.for_(0, buffer_type(out).elements)
    with s.inside(loop) as body:
        s.store(zero, out, Affine.of(body.arguments[0]))
        s.yield_()
