"""The target: the machine that this CPU is, and LLVM's part of the work: text in, object code out.

This is the only room that talks to LLVM, and it imports it only when asked to compile.
"""

from __future__ import annotations

import ctypes
import functools
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any, Final

from nets.backend.containment import contained, try_to_load
from nets.backend.llvm.constants import PREFIX, LargeData
from nets.backend.llvm.sections import in_sections
from nets.errors import CompileError
from nets.locks import Gate, at_fork, lock, made_alone
from nets.machine.machine import Machine
from nets.machine.table import (
    is_of_x86,
    machine_for,
    machine_named,
    machine_on,
    machine_with,
)
from nets.machine.targets import Target, native_target


def machine_of(cpu: str, target: Target | None = None) -> Machine:
    """The machine to compile for, by LLVM's name; the empty name is the CPU of this process or,
    with a target, any CPU of that.

    CompileError where nets does not know the CPU or the CPU has no SSE4.2.
    """
    if target is not None:
        return machine_for(target, cpu)
    if not cpu:
        return host()
    here = native_target()
    is_foreign = here.architecture != "x86-64" and is_of_x86(cpu)
    return machine_named(cpu) if is_foreign else machine_for(here, cpu)


@functools.cache
def host() -> Machine:
    """The CPU of this process: of x86-64 with the features it really has, of another architecture
    any that there is. CompileError without SSE4.2, or where nets does not know the system."""
    here = native_target()
    if here.architecture != "x86-64":
        return machine_for(here, "")
    llvm = _llvm()
    found = machine_with(llvm.get_host_cpu_name(), llvm.get_host_cpu_features())
    return machine_on(here, found)


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

    @made_alone
    def all_targets(self) -> Any:
        """llvmlite.binding, with the code generators of all machines."""
        llvm = self.llvm
        llvm.initialize_all_targets()
        llvm.initialize_all_asmprinters()
        return llvm


def _load() -> None:
    import llvmlite.binding

    llvmlite.binding.initialize_native_target()
    llvmlite.binding.initialize_native_asmprinter()
    # Without it, LLVM ends the process over the instruction that asks a CPU what it is.
    llvmlite.binding.initialize_native_asmparser()


def _not_loaded(error: ImportError | OSError) -> CompileError:
    cause = error.__context__ or error  # llvmlite hides what the system says
    return CompileError(f"LLVM cannot be loaded: {cause}")


_binding: Final = _Binding()


def _llvm() -> Any:
    return _binding.llvm


def _new_generator(machine: Machine) -> Any:
    """LLVM's code generator for the machine: small code model, and code that runs at any address
    where there is a system that loads it.

    The same for code that runs at once and for exported code, so that both are the same bytes.
    The first level of optimisation takes less time than the second, and kernels run the same.
    """
    target = machine.target
    llvm = _llvm() if target == host().target else _binding.all_targets
    return llvm.Target.from_triple(target.triple).create_target_machine(
        cpu=machine.cpu,
        features=machine.features,
        opt=1,
        reloc="static" if target.is_bare or target.format == "wasm" else "pic",
        codemodel="small",
        abiname=target.abi,
    )


_generator = functools.cache(_new_generator)
"""The one that knows the machine; code is generated by one per thread that does so."""


@functools.cache
def _pass_builder(machine: Machine) -> Any:
    """What runs passes; kept, for llvmlite does not give all of its memory back."""
    llvm = _llvm()
    tuning = llvm.create_pipeline_tuning_options(speed_level=0)
    return llvm.create_pass_builder(_generator(machine), tuning)


def llvm_version() -> str:
    """The version of LLVM that compiles; part of the key of cached objects."""
    return ".".join(map(str, _llvm().llvm_version_info))


def object_code(text: str, machine: Machine) -> bytes:
    """The object file of a module in LLVM IR text.

    CompileError where LLVM refuses it, MemoryError where there is not enough for LLVM.
    """
    return contained(lambda: _emitted(text, machine), len(text))


def linked_object_code(
    texts: Sequence[str], public: Sequence[str], large: LargeData, machine: Machine
) -> bytes:
    """One object file of several modules that may call each other.

    ``public`` names the functions that are seen from outside; all others become internal, and
    ``large`` holds the constants that have stand-ins in the modules.
    CompileError where LLVM refuses the modules, MemoryError where there is not enough for it.
    """
    if machine.target.is_bare:
        texts = list(map(in_sections, texts))
    code = contained(lambda: _linked(texts, public, machine), sum(map(len, texts)) + 2 * len(large))
    return large.filled(code)


def _linked(texts: Sequence[str], public: Sequence[str], machine: Machine) -> bytes:
    with _modules(texts, machine) as (first, *rest):
        for module in rest:
            first.link_in(module)
        for function in first.functions:
            if not function.is_declaration and function.name not in public:
                function.linkage = "internal"
        for constant in first.global_variables:
            if constant.name.startswith(PREFIX):
                constant.linkage = "internal"
        _merge(first, machine)
        return _emit(first, machine)


def _merge(module: Any, machine: Machine) -> None:
    """Weights that several functions read, and kernels that they call, stand in a library once."""
    passes = _llvm().create_new_module_pass_manager()
    passes.add_constant_merge_pass()
    passes.add_merge_functions_pass()
    passes.run(module, _pass_builder(machine))


def assembly(text: str, machine: Machine) -> str:
    """The module as the machine's assembly, to read."""
    return contained(lambda: _emitted(text, machine, as_text=True), len(text)).decode()


def _emitted(text: str, machine: Machine, *, as_text: bool = False) -> bytes:
    """The object file, or the assembly, of a module in LLVM IR text."""
    with _modules([text], machine) as (module,):
        return _emit(module, machine, as_text=as_text)


_idle_generators: Final[dict[Machine, list[Any]]] = {}
"""Code generators that no thread is using."""


def _emit(module: Any, machine: Machine, *, as_text: bool = False) -> bytes:
    """The object file, or the assembly, of a module that is the only one in its context.

    Other threads may generate code at the same time, each by a code generator of its own. So the
    call goes past the lock of llvmlite, which is for those that share something.
    """
    with _binding.generating.inside():
        idle = _idle_generators.setdefault(machine, [])
        generator = idle.pop() if idle else _new_generator(machine)
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


@contextmanager
def _modules(texts: Sequence[str], machine: Machine) -> Iterator[list[Any]]:
    """The parsed modules, in a context of their own, with the ``alwaysinline`` functions inlined.

    No other pass runs: the text comes in the form the code generator is to see, and the passes
    would take longer than the code generation without making the loops better.

    The modules are closed before their context, whatever happens. The garbage collector, which
    would close what an exception keeps, does so in any order; LLVM then reads memory it gave back.
    """
    with ExitStack() as open_ones:
        context = open_ones.enter_context(_llvm().create_context())
        modules = [open_ones.enter_context(_parsed(text, context)) for text in texts]
        for module, text in zip(modules, texts, strict=True):
            module.triple = _generator(machine).triple
            module.data_layout = str(_generator(machine).target_data)
            if " alwaysinline" in text:
                passes = _llvm().create_new_module_pass_manager()
                passes.add_always_inliner_pass()
                passes.run(module, _pass_builder(machine))
        yield modules


def _parsed(text: str, context: Any) -> Any:
    try:
        return _llvm().parse_assembly(text, context)
    except RuntimeError as error:
        raise CompileError(f"LLVM does not accept the module: {error}") from None
