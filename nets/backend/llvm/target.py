"""Targets: which CPU to compile for, and LLVM's part of the work: text in, object code out.

This is the only room that talks to LLVM, and it imports it only when asked to compile.
"""

from __future__ import annotations

import ctypes
import functools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from nets.backend.containment import contained, try_to_load
from nets.errors import CompileError
from nets.locks import Gate, at_fork, lock, made_alone

_AVX2: Final = (
    *("x86-64-v3", "haswell", "broadwell", "skylake", "alderlake", "raptorlake", "meteorlake"),
    *("arrowlake", "arrowlake-s", "lunarlake", "gracemont", "sierraforest"),
    *("znver1", "znver2", "znver3"),
)
_AVX512: Final = (
    *("x86-64-v4", "skylake-avx512", "cascadelake", "cooperlake", "cannonlake", "icelake-client"),
    *("icelake-server", "tigerlake", "rocketlake", "sapphirerapids", "emeraldrapids"),
    *("graniterapids", "znver4", "znver5"),
)

_NEEDED: Final = ("avx2", "fma")
_WIDE: Final = ("avx512f", "avx512bw", "avx512dq", "avx512vl")


@dataclass(frozen=True, slots=True)
class Target:
    """A CPU as LLVM names it, and the vectors it has.

    ``features`` is LLVM's list (``+avx2,-avx512f,…``); empty where the CPU's name says it all.
    """

    cpu: str
    features: str
    vector_bytes: int
    vector_registers: int
    is_wide: bool
    """Whether the CPU has AVX-512 with all of F, BW, DQ and VL."""

    @property
    def level(self) -> int:
        """The level of x86-64 that a CPU must have to run code for this one."""
        return 4 if self.is_wide else 3

    @staticmethod
    def host() -> Target:
        """The CPU of this process, with the features it really has. CompileError without AVX2."""
        return _host()

    @staticmethod
    def of(cpu: str) -> Target:
        """A CPU by name, such as ``x86-64-v3`` or ``znver3``; the empty name is the host.

        CompileError where nets does not know the CPU or the CPU has no AVX2 and FMA.
        """
        # The names are listed here since LLVM ends the process over a name it does not know.
        if not cpu:
            return Target.host()
        if cpu in _AVX512:
            return Target(cpu, "", 64, 32, is_wide=True)
        if cpu in _AVX2:
            return Target(cpu, "", 32, 16, is_wide=False)
        raise CompileError(
            f"nets does not compile for the CPU {cpu!r}; it needs one with AVX2 and FMA out of "
            f"{', '.join((*_AVX2, *_AVX512))}"
        )


@functools.cache
def _host() -> Target:
    llvm = _llvm()
    found = llvm.get_host_cpu_features()
    missing = [feature for feature in _NEEDED if not found.get(feature)]
    if missing:
        raise CompileError(f"nets needs a CPU with AVX2 and FMA; this one lacks {missing[0]}")
    wide = all(found.get(feature) for feature in _WIDE)
    features = ",".join(("+" if on else "-") + name for name, on in sorted(found.items()))
    return Target(llvm.get_host_cpu_name(), features, *((64, 32) if wide else (32, 16)), wide)


class _Binding:
    """llvmlite's binding, set up when first asked for."""

    def __init__(self) -> None:
        self._lock = lock()

    @made_alone
    def llvm(self) -> Any:
        """llvmlite.binding, with the code generator of this machine.

        Its lock is held for the length of each call but those of the code generator (``_emit``).
        Whoever forks takes it, for LLVM has locks of its own, which nobody could free.
        """
        try:
            try_to_load(_load)
        except (ImportError, OSError) as error:
            raise _not_loaded(error) from None
        import llvmlite.binding

        held = getattr(llvmlite.binding.ffi.lib, "_lock", None)
        if held is not None:
            leave = functools.partial(held.__exit__, None, None, None)
            at_fork(held.__enter__, leave, leave)
        return llvmlite.binding

    @made_alone
    def generating(self) -> Gate:
        """What threads are in while they generate code.

        Meanwhile addresses are taken as they are written: loop strength reduction would take a
        third of LLVM's time to find them again. The option is one of the process, which others may
        compile in, so it is set for the moment only.
        """
        # Made after the lock is known to forks, so that a fork waits for the threads inside, which
        # need that lock, before it takes the lock.
        option = functools.partial(self.llvm.set_option, "")
        return Gate(lambda: option("-disable-lsr=true"), lambda: option("-disable-lsr=false"))


def _load() -> None:
    import llvmlite.binding

    llvmlite.binding.initialize_native_target()
    llvmlite.binding.initialize_native_asmprinter()


def _not_loaded(error: ImportError | OSError) -> CompileError:
    cause = error.__context__ or error  # llvmlite hides what the system says
    return CompileError(f"LLVM cannot be loaded: {cause}")


_binding: Final = _Binding()


def _llvm() -> Any:
    return _binding.llvm


def _new_machine(target: Target) -> Any:
    """LLVM's code generator for the target: position-independent code, small code model.

    The same for code that runs at once and for exported code, so that both are the same bytes.
    The first level of optimisation takes less time than the second, and kernels run the same.
    """
    llvm = _llvm()
    return llvm.Target.from_triple(llvm.get_process_triple()).create_target_machine(
        cpu=target.cpu, features=target.features, opt=1, reloc="pic", codemodel="small"
    )


machine = functools.cache(_new_machine)
"""The one that knows the target; code is generated by one per thread that does so."""


@functools.cache
def _pass_builder(target: Target) -> Any:
    """What runs passes; kept, for llvmlite does not give all of its memory back."""
    llvm = _llvm()
    tuning = llvm.create_pipeline_tuning_options(speed_level=0)
    return llvm.create_pass_builder(machine(target), tuning)


def llvm_version() -> str:
    """The version of LLVM that compiles; part of the key of cached objects."""
    return ".".join(map(str, _llvm().llvm_version_info))


def object_code(text: str, target: Target) -> bytes:
    """The object file of a module in LLVM IR text.

    CompileError where LLVM refuses it, MemoryError where there is not enough for LLVM.
    """
    return contained(
        lambda: _emit(_module(text, target, _llvm().create_context()), target), len(text)
    )


def linked_object_code(texts: Sequence[str], public: Sequence[str], target: Target) -> bytes:
    """One object file of several modules that may call each other.

    ``public`` names the functions that are seen from outside; all others become internal.
    CompileError where LLVM refuses the modules, MemoryError where there is not enough for it.
    """
    return contained(lambda: _linked(texts, public, target), sum(map(len, texts)))


def _linked(texts: Sequence[str], public: Sequence[str], target: Target) -> bytes:
    context = _llvm().create_context()
    first, *rest = [_module(text, target, context) for text in texts]
    for module in rest:
        first.link_in(module)
    for function in first.functions:
        if not function.is_declaration and function.name not in public:
            function.linkage = "internal"
    _merge_constants(first, target)
    return _emit(first, target)


def _merge_constants(module: Any, target: Target) -> None:
    """Weights that several functions read stand in a library once."""
    passes = _llvm().create_new_module_pass_manager()
    passes.add_constant_merge_pass()
    passes.run(module, _pass_builder(target))


def assembly(text: str, target: Target) -> str:
    """The module as the target's assembly, to read."""
    code = contained(
        lambda: _emit(_module(text, target, _llvm().create_context()), target, as_text=True),
        len(text),
    )
    return code.decode()


_idle_machines: Final[dict[Target, list[Any]]] = {}
"""Code generators that no thread is using."""


def _emit(module: Any, target: Target, *, as_text: bool = False) -> bytes:
    """The object file, or the assembly, of a module that is the only one in its context.

    Other threads may generate code at the same time, each by a code generator of its own. So the
    call goes past the lock of llvmlite, which is for those that share something.
    """
    with _binding.generating.inside():
        idle = _idle_machines.setdefault(target, [])
        generator = idle.pop() if idle else _new_machine(target)
        try:
            return _generated(generator, module, as_text)
        finally:
            idle.append(generator)


def _generated(generator: Any, module: Any, as_text: bool) -> bytes:
    ffi = _llvm().ffi
    locked = ffi.lib.LLVMPY_TargetMachineEmitToMemory
    emit = getattr(locked, "_cfn", locked)
    with ffi.OutputString() as message:
        buffer = emit(generator, module, int(not as_text), message)
        if not buffer:
            raise CompileError(f"LLVM cannot compile the module: {message}")
    try:
        start, size = ffi.lib.LLVMPY_GetBufferStart(buffer), ffi.lib.LLVMPY_GetBufferSize(buffer)
        return ctypes.string_at(start, size)
    finally:
        ffi.lib.LLVMPY_DisposeMemoryBuffer(buffer)


def _module(text: str, target: Target, context: Any) -> Any:
    """The parsed module with the ``alwaysinline`` functions inlined.

    No other pass runs: the text comes in the form the code generator is to see, and the passes
    would take longer than the code generation without making the loops better.
    """
    llvm = _llvm()
    try:
        module = llvm.parse_assembly(text, context)
    except RuntimeError as error:
        raise CompileError(f"LLVM does not accept the module: {error}") from None
    module.triple = machine(target).triple
    if " alwaysinline" in text:
        passes = llvm.create_new_module_pass_manager()
        passes.add_always_inliner_pass()
        passes.run(module, _pass_builder(target))
    return module
