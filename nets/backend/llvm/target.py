"""Targets: which CPU to compile for, and LLVM's part of the work: text in, object code out.

This is the only room that talks to LLVM, and it imports it only when asked to compile.
"""

from __future__ import annotations

import functools
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

from nets.errors import CompileError

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


@functools.cache
def _llvm() -> Any:
    """llvmlite's binding, with the code generator of this machine set up."""
    import llvmlite.binding

    llvmlite.binding.initialize_native_target()
    llvmlite.binding.initialize_native_asmprinter()
    return llvmlite.binding


@functools.cache
def machine(target: Target) -> Any:
    """LLVM's code generator for the target: position-independent code, small code model.

    The same for code that runs at once and for exported code, so that both are the same bytes.
    The first level of optimisation takes less time than the second, and kernels run the same.
    """
    llvm = _llvm()
    return llvm.Target.from_triple(llvm.get_process_triple()).create_target_machine(
        cpu=target.cpu, features=target.features, opt=1, reloc="pic", codemodel="small"
    )


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
    """The object file of a module in LLVM IR text. CompileError where LLVM refuses it."""
    module = _module(text, target)
    with _as_written():
        return bytes(machine(target).emit_object(module))


def linked_object_code(texts: Sequence[str], public: Sequence[str], target: Target) -> bytes:
    """One object file of several modules that may call each other.

    ``public`` names the functions that are seen from outside; all others become internal.
    CompileError where LLVM refuses the modules.
    """
    first, *rest = [_module(text, target) for text in texts]
    for module in rest:
        first.link_in(module)
    for function in first.functions:
        if not function.is_declaration and function.name not in public:
            function.linkage = "internal"
    _merge_constants(first, target)
    with _as_written():
        return bytes(machine(target).emit_object(first))


def _merge_constants(module: Any, target: Target) -> None:
    """Weights that several functions read stand in a library once."""
    passes = _llvm().create_new_module_pass_manager()
    passes.add_constant_merge_pass()
    passes.run(module, _pass_builder(target))


def assembly(text: str, target: Target) -> str:
    """The module as the target's assembly, to read."""
    module = _module(text, target)
    with _as_written():
        return str(machine(target).emit_assembly(module))


_options = threading.Lock()


@contextmanager
def _as_written() -> Iterator[None]:
    """Code generation that takes addresses as they are written.

    Loop strength reduction would take a third of LLVM's time to find them again. The option is
    one of the process, which others may compile in, so it is set for the moment only.
    """
    llvm = _llvm()
    with _options:
        llvm.set_option("", "-disable-lsr=true")
        try:
            yield
        finally:
            llvm.set_option("", "-disable-lsr=false")


def _module(text: str, target: Target) -> Any:
    """The parsed module with the ``alwaysinline`` functions inlined.

    No other pass runs: the text comes in the form the code generator is to see, and the passes
    would take longer than the code generation without making the loops better.
    """
    llvm = _llvm()
    try:
        module = llvm.parse_assembly(text)
    except RuntimeError as error:
        raise CompileError(f"LLVM does not accept the module: {error}") from None
    module.triple = machine(target).triple
    if " alwaysinline" in text:
        passes = llvm.create_new_module_pass_manager()
        passes.add_always_inliner_pass()
        passes.run(module, _pass_builder(target))
    return module
