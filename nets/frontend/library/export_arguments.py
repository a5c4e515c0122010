"""The arguments of ``nets.export``: each is checked and put into one form, or refused."""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nets.compiler.compile import numerics_option, thread_option
from nets.errors import ArgumentError, ExportError
from nets.frontend.calls.lowered import Lowered
from nets.ir.location import user_location
from nets.ops.collective.ranks import ranks_of

if TYPE_CHECKING:
    from nets.machine.machine import Machine
    from nets.machine.targets import Target


@dataclass(frozen=True, slots=True, kw_only=True)
class CodeOptions:
    """What the code of a library is made for. ``threads`` are the parts of loops in parallel twins,
    0 for no twins."""

    machines: Sequence[Machine]
    numerics: str
    optimize: str
    threads: int


def base_path(path: object, others: Sequence[object]) -> Path:
    """The path of the library, without a suffix."""
    if not isinstance(path, (str, os.PathLike)) or others:
        given = ", ".join(type(x).__name__ for x in (path, *others))
        raise refused(
            "export takes the path of the library and functions by name, as in "
            f'export("build/digits", predict=predict.lower(x)), not ({given})'
        )
    text: object = os.fspath(path)
    if not isinstance(text, str):
        raise refused(f"the path of a library is text, not {type(text).__name__}")
    if "\0" in text or not _is_encodable(text):
        raise refused(f"{text!r} cannot be a path")
    if text.endswith(os.sep) or Path(text).name in ("", ".."):
        raise ExportError(f"{text!r} does not name a library; write a path such as build/digits")
    return Path(text)


def _is_encodable(text: str) -> bool:
    try:
        os.fsencode(text)
    except UnicodeEncodeError:
        return False
    return True


def chosen_optimize(optimize: object) -> str:
    if optimize not in ("speed", "size"):
        raise refused(f"optimize is speed or size, not {optimize!r}")
    return str(optimize)


def profile_of(numerics: object, functions: Iterable[Lowered]) -> str:
    """The profile of the library, which is that of its functions if it is not chosen here."""
    if numerics is not None:
        return numerics_option(numerics)
    found = sorted({lowered.options.numerics for lowered in functions})
    if len(found) > 1:
        raise refused(
            f"the functions were traced for {' and '.join(found)}; export takes numerics= to say "
            "which one the library is to have"
        )
    return found[0]


def chosen_prefix(prefix: object) -> str:
    if isinstance(prefix, Lowered):
        raise refused("'prefix' cannot name a function: it begins the names of files, as in lib")
    if not isinstance(prefix, str) or re.fullmatch(r"\w*", prefix, re.ASCII) is None:
        raise refused(f'prefix is letters before the name of a file, as in "lib", not {prefix!r}')
    return prefix


def chosen_threads(threads: object, functions: dict[str, Lowered]) -> int:
    """How many parts parallel twins may cut a loop into; 0 for no twins. A function of that name
    goes to the others."""
    from nets.backend.library.manifest import MOST_THREADS

    if isinstance(threads, Lowered):
        functions["threads"], threads = threads, None
    if threads is None:
        return 0
    count = thread_option(threads)
    if count > MOST_THREADS:
        raise refused(f"threads is {MOST_THREADS} at most, not {count}")
    return count


def check_threads(threads: int, machine: Machine) -> None:
    """ArgumentError where twins could share nothing."""
    if threads and not machine.has_threads:
        raise refused(
            f"threads is for systems that have threads: code for {machine.target} runs on one, so "
            "that parallel twins would share nothing; leave threads out"
        )


def library_named(base: Path, functions: dict[str, Any], threads: int) -> str:
    from nets.backend.library.c_names import library_name, refusal

    if not functions:
        raise refused("export takes functions by name, as in predict=predict.lower(x)")
    name = library_name(base.name)
    reason = refusal(name, list(functions), threads, communicates=communicates(functions.values()))
    for word, lowered in functions.items():
        if not isinstance(lowered, Lowered):
            hint = "; formats is what chooses the files" if word == "format" else ""
            reason = (
                f"{word} is {type(lowered).__name__}; export takes what f.lower(...) gives{hint}"
            )
    if reason is not None:
        raise refused(reason)
    return name


def communicates(functions: Iterable[object]) -> bool:
    """Does one of the functions talk to other ranks?"""
    lowered = (each for each in functions if isinstance(each, Lowered))
    return any(ranks_of(each.function) is not None for each in lowered)


def check_communicators(
    functions: Mapping[str, Lowered], formats: Collection[str], target: Target
) -> None:
    """ArgumentError where a function talks to other ranks, and the target or a file cannot."""
    from nets.backend.library.callers.wrappers import WITHOUT_COMMUNICATORS

    names = [name for name, each in functions.items() if communicates([each])]
    if not names:
        return
    if target.format == "wasm":
        raise refused(f"{names[0]} talks to other ranks, which WebAssembly has none of")
    for word in formats:
        if word in WITHOUT_COMMUNICATORS:
            raise refused(
                f"{names[0]} talks to other ranks, which {word} has no form for: leave that out of "
                "formats, and call the function in C, with a communicator, or load it in Python"
            )


def refused(reason: str) -> ArgumentError:
    return ArgumentError(reason, user_location())
