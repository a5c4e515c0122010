"""loop.gemm: which kernel computes it, and how its panels are shared out."""

from __future__ import annotations

from nets.backend.llvm.target import Target
from nets.errors import CompileError
from nets.ir.core import Operation


def panel_bytes(op: Operation, target: Target) -> int:
    """Workspace the kernel of a loop.gemm needs per thread."""
    raise CompileError("loop.gemm has no kernel yet")
