"""What a library is exported for: the processor, the system, and the files."""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from nets import config
from nets.backend.library.aot import ALL_FORMATS, FORMATS, LibraryFiles
from nets.backend.library.binary import is_native
from nets.backend.library.linking import Linker, linker_for
from nets.backend.llvm.target import machine_of
from nets.errors import CompileError, ExportError, LinkWarning
from nets.frontend.library.export_arguments import refused
from nets.ir.location import user_location
from nets.machine.machine import Machine
from nets.machine.table import BASE, LEVELS
from nets.machine.targets import Target, native_target, target_named


def machines_for(cpu: object, target: object) -> list[Machine]:
    """What to compile for, the least first: of x86-64 any number of levels, else one processor.

    ArgumentError where one of the two is no name, or the system is not known; CompileError where a
    processor is not.
    """
    system = _target(target)
    names = _cpu_names(cpu, system)
    found = [_of_its_level(_machine(name, system)) for name in names]
    if len({machine.level for machine in found}) < len(found):
        raise refused(f"cpu names each level once, not {', '.join(names)}")
    return sorted(found, key=lambda machine: machine.level)


def _machine(name: str, system: Target | None) -> Machine:
    if name != "native":
        return machine_of(name, system)
    if system not in (None, native_target()):
        raise refused(f'cpu="native" is this machine, which is none of the target {system}')
    return machine_of("")


def _target(target: object) -> Target | None:
    """The system that a triple names; None for this one."""
    if target is None:
        return None
    if not isinstance(target, str):
        raise refused(f"target is a triple such as aarch64-linux-gnu, not {type(target).__name__}")
    try:
        return target_named(target)
    except CompileError as error:
        raise refused(error.message) from None


def _cpu_names(cpu: object, target: Target | None) -> list[str]:
    if cpu is None:
        chosen = str(config.CPU.get()) if target is None else ""
        has_levels = (target or native_target()).architecture == "x86-64"
        return [level.cpu for level in LEVELS] if has_levels and not chosen else [chosen]
    names = [cpu] if isinstance(cpu, str) else list(cpu) if isinstance(cpu, Iterable) else []
    if not names or not all(isinstance(name, str) for name in names):
        given = repr(cpu) if isinstance(cpu, (list, tuple, set)) else type(cpu).__name__
        raise refused(
            f"cpu is a name such as x86-64-v3, not {given}; of several levels, a tuple of names"
        )
    return names


def _of_its_level(machine: Machine) -> Machine:
    """The machine with the instructions of its level alone, which is what the library asks for."""
    name = next((row.cpu for row in LEVELS if row.level == machine.level), "")
    return replace(machine, cpu=name, features="") if name else machine


def around(machine: Machine) -> Machine:
    """What the code around that of the least machine is compiled for: it asks what there is."""
    return replace(BASE, target=machine.target) if machine.level else machine


def chosen_files(formats: object, base: Path, prefix: str, target: Target) -> LibraryFiles:
    """The files to write, with "so" for the shared library, and what links that."""
    words, linker = _chosen(formats, base, target)
    return LibraryFiles(base, words, prefix, linker)


def _chosen(formats: object, base: Path, target: Target) -> tuple[tuple[str, ...], Linker | None]:
    if formats is not None:
        listed = _listed(formats, target)
        return listed, linker_for(target, base) if "so" in listed else None
    if is_native(target):
        return FORMATS, linker_for(target, base)
    others = tuple(word for word in FORMATS if word != "so")
    if target.is_bare:
        return others, None
    try:
        return FORMATS, linker_for(target, base)
    except ExportError as error:
        _warn(f"{error.message}; the other files are written")
        return others, None


def _warn(text: str) -> None:
    place = user_location()
    file, line = ("nets", 0) if place is None else (place.file, place.line)
    warnings.warn_explicit(text, LinkWarning, file, line)


def _listed(formats: object, target: Target) -> tuple[str, ...]:
    wanted = (formats,) if isinstance(formats, str) else formats
    listed = list(wanted) if isinstance(wanted, Iterable) else []
    words = ["so" if word == target.suffix else word for word in listed]
    if not words or any(word not in ALL_FORMATS for word in words):
        raise refused(f"formats are some of {', '.join(ALL_FORMATS)}, not {formats!r}")
    return tuple(dict.fromkeys(words))
