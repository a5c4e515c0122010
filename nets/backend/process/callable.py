"""Native code as a Python callable: object code in memory, buffers, workspaces, pools.

The only room (with the loader of exported libraries) that uses cffi. Calls go through the runtime
extension ``nets._runtime``; cffi releases the GIL around each, so everything here may be used by
several threads at once. Where the extension ``nets._dispatch`` is there, it makes the calls whose
arrays native code can read in place; cffi is the road for all others.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np

from nets.backend.arrays import Array, empty
from nets.backend.printing import is_pending, keep, raise_pending, show, take_pending
from nets.backend.process.counted_sizes import NONE_TOLD, Count, ToldDims, count_of
from nets.backend.transfers import Carrier, Job, SoloJob, callbacks, failed
from nets.errors import REFUSALS, ArgumentError, CompileError, IndexOutOfBoundsError
from nets.extension import in_use, is_installed
from nets.ir.location import Location
from nets.ir.types import TensorType

if TYPE_CHECKING:
    from nets._dispatch import NativeCode as NativeCode


@functools.cache
def _runtime() -> tuple[Any, Any]:
    """cffi's interface to the runtime extension, and the extension."""
    try:
        from nets._runtime import ffi, lib
    except ImportError as error:
        raise CompileError(f"the runtime extension of nets cannot be loaded: {error}") from None
    return ffi, lib


@functools.cache
def cpu_identity() -> str:
    """A text that differs between CPUs with different instruction sets."""
    ffi, lib = _runtime()
    text = ffi.new("char[256]")
    lib.nets_cpu_identity(text, 256)
    return str(ffi.string(text).decode())


@functools.cache
def cpu_level() -> int:
    """The x86-64 level of this CPU: 4 with AVX-512, 3 with AVX2 and FMA, 2 with SSE4.2,
    else 0."""
    if is_installed("nets._runtime"):
        return int(_runtime()[1].nets_cpu_level())
    return _level_of(_flags())


def _flags() -> frozenset[str]:
    """What Linux says that this CPU can do; nothing elsewhere."""
    try:
        with open("/proc/cpuinfo", encoding="utf-8", errors="replace") as file:
            lines = (line.partition(":") for line in file)
            return frozenset(next(text for key, _, text in lines if key.strip() == "flags").split())
    except (OSError, StopIteration):
        return frozenset()


def _level_of(flags: frozenset[str]) -> int:
    found = 0
    for level, needed in _LEVELS.items():
        if not flags.issuperset(needed.split()):
            break
        found = level
    return found


_LEVELS: Final = {
    2: "sse4_2 ssse3 popcnt",
    3: "avx2 fma bmi1 bmi2 abm",
    4: "avx512f avx512bw avx512cd avx512dq avx512vl",
}
"""What each level has beyond the one below, by the names of Linux."""


@functools.cache
def _print_in_python() -> None:
    """Let compiled code print to ``sys.stdout``. The GIL is taken for the length of each print."""
    ffi, lib = _runtime()

    @ffi.def_extern(name="nets_python_printer")  # type: ignore[untyped-decorator]
    def printer(site: int, text: object, count: int, values: object) -> None:
        show(ffi, text, count, values)

    lib.nets_set_printer(lib.nets_python_printer)


@functools.cache
def _carrier() -> Carrier:
    """Let compiled code talk to other ranks through Python. The GIL is taken for the length of each
    call."""
    ffi, lib = _runtime()
    begin, finish = callbacks(ffi)
    for name, function in (("nets_python_begin", begin), ("nets_python_finish", finish)):
        ffi.def_extern(name=name, error=lib.NETS_NO_TRANSFER, onerror=failed)(function)
    lib.nets_set_carrier(lib.nets_python_begin, lib.nets_python_finish)
    solo = SoloJob(ffi, ffi.cast("nets_communicator *", lib.nets_solo()))
    functions = lib.nets_transfer_begin, lib.nets_transfer_finish
    return Carrier(ffi, ffi.typeof("nets_communicator *"), *functions, solo)


@functools.cache
def look_at_signals() -> None:
    """Let long calls on the main thread run Python's handlers of signals: what one of them raises,
    KeyboardInterrupt after Ctrl-C, ends the call."""
    ffi, lib = _runtime()

    # The handlers run as soon as Python code does: at the entry of this function.
    @ffi.def_extern(  # type: ignore[untyped-decorator]
        name="nets_python_check", error=1, onerror=lambda kind, error, trace: keep(error)
    )
    def check() -> int:
        return int(is_pending())

    lib.nets_set_check(lib.nets_python_check)


_pools: dict[int, Any] = {}


def _pool(threads: int) -> Any:
    """The pool of that size, shared by every call of the process; null for one thread."""
    ffi, lib = _runtime()
    if threads == 1:
        return ffi.NULL
    if threads not in _pools:
        pool = lib.nets_pool_new(threads)
        if pool == ffi.NULL:
            raise MemoryError(f"no memory for a pool of {threads} threads")
        # Of two threads that come at once one is first; the other's pool is freed unused.
        _pools.setdefault(threads, ffi.gc(pool, lib.nets_pool_free))
    return _pools[threads]


@dataclass(frozen=True, slots=True)
class Check:
    """A run-time check of a program: what failed where if a call returns ``code``."""

    code: int
    message: str
    location: str
    error: str = IndexOutOfBoundsError.__name__
    """Its name, one of ``nets.errors.REFUSALS``."""


@dataclass(frozen=True, slots=True)
class Signature:
    """How to call native code: types of inputs and outputs, workspace, checks, threads.

    ``in_place``: pairs of an output and the input whose buffer it is stored to. ``prints``: does it
    call back to print? ``ranks``: of the jobs it communicates in; 0 for any, None for none.
    """

    inputs: tuple[TensorType, ...]
    outputs: tuple[TensorType, ...]
    workspace_bytes: int
    threads: int
    checks: tuple[Check, ...]
    in_place: tuple[tuple[int, int], ...] = ()
    prints: bool = False
    ranks: int | None = None


class Counts(NamedTuple):
    """Calls of native code, the arrays made for them, and the bytes that had not been used before:
    arrays and workspaces."""

    calls: int = 0
    arrays: int = 0
    fresh_bytes: int = 0

    def plus(self, other: Counts) -> Counts:
        """Both together."""
        return Counts(*(a + b for a, b in zip(self, other, strict=True)))


Loaded = tuple[Any, Any]
"""What ``load_object`` gives."""


def load_object(code: bytes, symbol: str) -> Loaded:
    """Object code in executable memory: a handle that keeps it there, and an entry point.

    CompileError where the object is damaged, refers to something that is not there, or may not
    be made executable.
    """
    ffi, lib = _runtime()
    slot = ffi.new("nets_code **")
    status = lib.nets_code_load(ffi.from_buffer(code), len(code), slot)
    if status == lib.NETS_NO_MEMORY:
        raise MemoryError(f"no memory for native code of {len(code)} bytes")
    if status != 0:
        reason = ffi.string(lib.nets_status_message(status)).decode()
        raise CompileError(f"native code cannot be loaded: {reason}")
    handle = ffi.gc(slot[0], lib.nets_code_free)
    address = lib.nets_code_symbol(handle, symbol.encode())
    if address == ffi.NULL:
        raise CompileError(f"native code lacks the entry point {symbol}")
    return handle, ffi.cast("nets_entry", address)


@dataclass(frozen=True, slots=True)
class Forms:
    """Shapes and dtypes of inputs and outputs as the extension ``nets._dispatch`` takes them, and
    what it needs to know of sizes that a call tells."""

    inputs: tuple[tuple[tuple[int | Count, ...], np.dtype[Any]], ...]
    outputs: tuple[tuple[tuple[int | Count, ...], np.dtype[Any]], ...]
    workspace_bytes: Count | None = None
    """Where a call tells it."""
    told: ToldDims = NONE_TOLD


def native_code(loaded: Loaded, signature: Signature, forms: Forms) -> NativeCode | None:
    """Code for the extension ``nets._dispatch``; None without it, and where the code prints, for
    the extension may keep the GIL and looks for no error of Python."""
    if not in_use() or signature.prints:
        return None
    from nets._dispatch import NativeCode

    handle, entry = loaded
    pool = _pool(signature.threads)
    return NativeCode(
        entry=_address(entry),
        call=_address_of("nets_call"),
        call_watched=_address_of("nets_call_watched"),
        arena_new=_address_of("nets_arena_new"),
        arena_free=_address_of("nets_arena_free"),
        pool=_address(pool),
        workspace_bytes=forms.workspace_bytes or count_of(signature.workspace_bytes, ()),
        inputs=forms.inputs,
        outputs=forms.outputs,
        keep=(handle, pool),
        in_place=signature.in_place,
        dims=forms.told.dims,
        requirements=forms.told.requirements,
        job=None
        if signature.ranks is None
        else functools.partial(_carrier().told, signature.ranks),
    )


def _address(pointer: Any) -> int:
    return int(_runtime()[0].cast("uintptr_t", pointer))


def _address_of(function: str) -> int:
    ffi, lib = _runtime()
    return _address(ffi.addressof(lib, function))


def failure(checks: Sequence[Check], status: int) -> BaseException:
    """What to raise for a call that returned ``status``."""
    ffi, lib = _runtime()
    if status == lib.NETS_INTERRUPTED:
        return take_pending() or KeyboardInterrupt()
    if status == lib.NETS_NO_TRANSFER and (error := take_pending()) is not None:
        return error
    check = next((check for check in checks if check.code == status), None)
    if check is None:
        text = ffi.string(lib.nets_status_message(status)).decode()
        return CompileError(f"native code returned status {status}: {text}")
    return REFUSALS[check.error](check.message, _location(check.location))


class NativeFunction:
    """Compiled code that takes and gives NumPy arrays; any number of threads may call it."""

    def __init__(
        self,
        code: bytes | Loaded,
        symbol: str,
        signature: Signature,
        sizes: Sequence[int] = (),
    ) -> None:
        """``sizes``: those of the dimensions that the code is told by each call, in their order."""
        self._ffi, self._lib = _runtime()
        loaded = load_object(code, symbol) if isinstance(code, bytes) else code
        self._handle, self._entry = loaded
        self._signature = signature
        self._sizes = [self._ffi.new("int64_t[]", list(sizes))] if sizes else []
        self._pool = _pool(signature.threads)
        self._forms = [(t.static_shape, t.dtype.numpy) for t in signature.inputs]
        self._results = [(t.static_shape, t.dtype.numpy) for t in signature.outputs]
        self._in_place = dict(signature.in_place)
        count = len(self._forms) + len(self._results) - len(self._in_place) + len(self._sizes)
        count += signature.ranks is not None
        self._pointers = self._ffi.typeof(f"void *[{count}]")
        self._arenas: list[object] = []
        """Workspaces that no call is using."""
        self.code = self._native_code()
        """The same code for the extension ``nets._dispatch``, where it takes it."""
        self._calls, self._arrays, self._fresh_bytes = 0, 0, 0
        """Of the calls that went by cffi; the code counts its own."""
        if signature.prints:
            _print_in_python()
        look_at_signals()

    def __call__(self, arrays: Sequence[Array]) -> list[Array]:
        """The outputs for these inputs, in fresh arrays.

        Inputs may be strided, unaligned, read-only or of the other byte order; they are copied
        where native code could not read them in place.
        """
        if self.code is not None:
            found = self.code.run(arrays)
            if isinstance(found, list):
                return found
            if found is not None:
                raise self.failure(found)
        inputs = self._readable(arrays)
        outputs = [empty(shape, dtype) for shape, dtype in self._results]
        for output, source in self._in_place.items():
            outputs[output][...] = inputs[source]
            inputs[source] = outputs[output]
        fresh = [array for i, array in enumerate(outputs) if i not in self._in_place]
        # The views keep their arrays alive until the call is over.
        views = [self._ffi.from_buffer(array) for array in (*inputs, *fresh)]
        job = self._job()
        arena = self._take_arena()
        told = self._sizes if job is None else [*self._sizes, job.address]
        buffers = self._ffi.new(self._pointers, [*views, *told])
        self._calls += 1
        self._arrays += len(outputs)
        self._fresh_bytes += sum(array.nbytes for array in outputs)
        status = self._lib.nets_call_watched(self._entry, buffers, arena, self._pool)
        if job is None or job.leave(arena, views):
            self._arenas.append(arena)
        if self._signature.prints or job is not None:
            raise_pending()
        if status != 0:
            raise self.failure(status)
        return outputs

    def _job(self) -> Job | SoloJob | None:
        """The ranks to communicate with, if it does that."""
        ranks = self._signature.ranks
        return None if ranks is None else _carrier().job(ranks)

    def _native_code(self) -> NativeCode | None:
        if self._sizes:
            return None
        forms = Forms(tuple(self._forms), tuple(self._results))
        return native_code((self._handle, self._entry), self._signature, forms)

    @property
    def counts(self) -> Counts:
        """What its calls have taken so far, by either road."""
        own = Counts(self._calls, self._arrays, self._fresh_bytes)
        if self.code is None:
            return own
        code = self.code
        return own.plus(Counts(code.calls, code.arrays, code.fresh_bytes))

    @property
    def workspace_bytes(self) -> int:
        """Size of the workspace of a call; there are as many as calls at one time."""
        return self._signature.workspace_bytes

    def _readable(self, arrays: Sequence[Array]) -> list[Array]:
        """The inputs as native code reads them. ArgumentError for another shape or dtype."""
        if len(arrays) != len(self._forms):
            raise ArgumentError(f"{len(self._forms)} arrays are needed, not {len(arrays)}")
        return [
            array
            if array.dtype is dtype and array.shape == shape and array.flags.carray
            else _converted(array, shape, dtype)
            for array, (shape, dtype) in zip(arrays, self._forms, strict=True)
        ]

    def _take_arena(self) -> Any:
        try:
            return self._arenas.pop()
        except IndexError:
            pass
        size = self._signature.workspace_bytes
        if size == 0:
            return self._ffi.NULL
        arena = self._lib.nets_arena_new(size)
        if arena == self._ffi.NULL:
            raise MemoryError(f"no memory for a workspace of {size} bytes")
        self._fresh_bytes += size
        lib = self._lib
        return self._ffi.gc(arena, lambda pointer: lib.nets_arena_free(pointer, size), size)

    def failure(self, status: int) -> BaseException:
        """What to raise for a call that returned ``status``."""
        return failure(self._signature.checks, status)


def _converted(array: Array, shape: tuple[int, ...], dtype: np.dtype[Any]) -> Array:
    """The array itself if native code can read it as it is, else a copy that it can."""
    known = array.dtype
    if array.shape != shape or (known != dtype and known.newbyteorder("=") != dtype):
        raise ArgumentError(
            f"an array of {dtype}{list(shape)} is needed, not {known}{list(array.shape)}"
        )
    flags = array.flags
    if flags.c_contiguous and flags.aligned and known.isnative:
        return array
    return np.array(array, dtype=dtype, order="C")


def _location(text: str) -> Location | None:
    """The location whose text form is ``"file":line``."""
    file, found, line = text.rpartition(":")
    return Location(file.strip('"'), int(line)) if found and line.isdigit() else None
