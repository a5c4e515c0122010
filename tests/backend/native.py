"""Runs loop functions natively: emit, compile, load into the process, call with arrays."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence

import llvmlite.binding as llvm
import numpy as np

from nets.backend.llvm.emit import emit_module, workspace_bytes
from nets.backend.llvm.target import host, object_code
from nets.ir.core import Function
from nets.machine.machine import Machine
from nets.ops.definition.registry import Array
from tests.backend.loops import empty_outputs

_BODY = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_int64, ctypes.c_int64, ctypes.c_int32)
_PARALLEL_FOR = ctypes.CFUNCTYPE(
    None, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int64
)
_COMMIT = ctypes.CFUNCTYPE(None)(lambda: None)
_ENTRY = ctypes.CFUNCTYPE(ctypes.c_int32, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p)


class Pool(ctypes.Structure):
    """A pool as emitted code sees it."""

    _fields_ = [("parallel_for", _PARALLEL_FOR), ("threads", ctypes.c_int32)]


def backward_pool(threads: int) -> Pool:
    """A pool of pretended threads that run their ranges one by one, the last thread first."""

    def parallel_for(pool: int, body: int, context: int, count: int) -> None:
        run = _BODY(body)
        for thread in reversed(range(threads)):
            begin, end = count * thread // threads, count * (thread + 1) // threads
            run(context, begin, end, thread)

    return Pool(_PARALLEL_FOR(parallel_for), threads)


class Native:
    """A compiled loop function."""

    def __init__(self, function: Function, machine: Machine | None = None) -> None:
        self.function = function
        self.machine = machine or host()
        self.text = emit_module(function, "entry", self.machine)
        self.object = object_code(self.text, self.machine)
        self._jit = llvm.create_lljit_compiler()
        builder = llvm.JITLibraryBuilder().add_object_img(self.object).export_symbol("entry")
        builder.import_symbol("nets_commit", ctypes.cast(_COMMIT, ctypes.c_void_p).value)
        self._library = builder.add_current_process().link(self._jit, "entry")
        self._entry = _ENTRY(self._library["entry"])

    def workspace_bytes(self, pool: Pool | None = None) -> int:
        """Size of the workspace of a call."""
        return workspace_bytes(self.function, self.machine, pool.threads if pool is not None else 1)

    def call(
        self, addresses: Sequence[int], pool: Pool | None = None, workspace: int | None = None
    ) -> int:
        """The status of a call with these buffers and the workspace at that address, or else one
        that starts out with a pattern."""
        memory = np.full(self.workspace_bytes(pool) + 64, 0xA5, np.uint8)
        start = -(-memory.ctypes.data // 64) * 64 if workspace is None else workspace
        buffers = (ctypes.c_void_p * max(len(addresses), 1))(*addresses)
        pool_address = ctypes.byref(pool) if pool is not None else None
        status: int = self._entry(buffers, start, pool_address)
        return status

    def run(self, *inputs: Array, pool: Pool | None = None) -> tuple[int, list[Array]]:
        """The status and the outputs."""
        arrays, outputs = [np.array(x, order="C") for x in inputs], empty_outputs(self.function)
        return self.call([a.ctypes.data for a in (*arrays, *outputs)], pool), outputs
