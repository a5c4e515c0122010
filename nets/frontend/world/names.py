"""Names in code: which globals a code object may read or set, and which attributes of objects.

Python code says by name what it takes from the world around it. The names that stand in code that
may run are an upper bound of what it reads; what is computed (``getattr(x, name)``, ``vars(x)``)
counts as every name.
"""

from __future__ import annotations

import dis
import itertools
import sys
from collections.abc import Iterable, Iterator
from functools import lru_cache
from types import CodeType
from typing import Final, NamedTuple

_GLOBAL: Final = frozenset({"LOAD_GLOBAL", "LOAD_NAME", "STORE_GLOBAL", "DELETE_GLOBAL"})
_LOADING: Final = frozenset(
    {"LOAD_GLOBAL", "LOAD_NAME", "LOAD_DEREF", "LOAD_CLASSDEREF", "LOAD_ATTR", "LOAD_METHOD"}
)
_BETWEEN: Final = frozenset({"SWAP", "COPY", "CACHE", "ROT_TWO", "ROT_THREE"})
_CONSTANTS: Final = frozenset({"LOAD_CONST", "LOAD_SMALL_INT"})
_OTHERS: Final = {"LOAD_METHOD": "methods", "IMPORT_NAME": "modules", "IMPORT_FROM": "attributes"}
_ATTRIBUTE: Final = frozenset({"LOAD_ATTR", "STORE_ATTR", "DELETE_ATTR", "LOAD_SUPER_ATTR"})

_KINDS_OF_NAMES: Final = ("globals", "attributes", "methods", "modules", "set")

_REFLECTION: Final = frozenset(
    {"getattr", "setattr", "hasattr", "delattr", "vars", "attrgetter", "dir", "__dict__", "globals"}
)
"""Names of what finds attributes by names that are computed."""


class Names(NamedTuple):
    """What a code object, and the code nested in it, may look up."""

    globals: frozenset[str]
    attributes: frozenset[str]
    """Read as values, or set."""
    methods: frozenset[str]
    """Looked up to be called at once; a number is never meant."""
    modules: frozenset[str]
    """Imported when the code runs."""
    set: frozenset[str]
    """Globals and attributes that are bound or deleted."""
    texts: frozenset[str]
    """Constants that could be names."""
    dynamic: bool
    """May it look up attributes whose names it does not say?"""


@lru_cache(maxsize=8192)
def names_of(code: CodeType) -> Names:
    """The names that a code object and those nested in it say."""
    found: dict[str, set[str]] = {kind: set() for kind in _KINDS_OF_NAMES}
    texts: set[str] = set()
    for current in _with_nested([code]):
        texts.update(x for x in current.co_consts if isinstance(x, str) and x.isidentifier())
        for kind, name in _uses(current):
            found[kind].add(name)
    dynamic = any(not _REFLECTION.isdisjoint(names) for names in found.values())
    sets = {kind: frozenset(names) for kind, names in found.items()}
    return Names(**sets, texts=frozenset(texts), dynamic=dynamic)


def appended_only(codes: Iterable[CodeType], name: str) -> bool:
    """Is all that the code does with what it finds by this name to append to it?"""
    return all(_next_methods(code, name) <= {"append", "extend"} for code in _with_nested(codes))


def counted_only(codes: Iterable[CodeType], name: str) -> bool:
    """Is all that the code does with what it finds by this name ``name += 1`` and the like?"""
    return all(_is_counted(code, name) for code in _with_nested(codes))


def _is_counted(code: CodeType, name: str) -> bool:
    if not _says(code, name):
        return True
    steps = [step for step in dis.get_instructions(code) if step.opname not in _BETWEEN]
    for place, step in enumerate(steps):
        if step.argval != name or step.opname not in _LOADING:
            continue
        constant, add, store = (*steps[place + 1 : place + 4], step, step, step)[:3]
        is_added = constant.opname in _CONSTANTS and add.argrepr in ("+=", "-=")
        if not (is_added and store.opname.startswith("STORE_") and store.argval == name):
            return False
    return True


def _says(code: CodeType, name: str) -> bool:
    return name in (*code.co_names, *code.co_freevars, *code.co_cellvars)


def _with_nested(codes: Iterable[CodeType]) -> list[CodeType]:
    pending = list(codes)
    for current in pending:
        pending += [x for x in current.co_consts if isinstance(x, CodeType)]
    return pending


def _next_methods(code: CodeType, name: str) -> set[str]:
    """What is called of each value found by the name; "" for another use of it."""
    if not _says(code, name):
        return set()
    found = set()
    steps = [step for step in dis.get_instructions(code) if step.opname != "PRECALL"]
    for this, following in itertools.pairwise(steps):
        if this.argval != name or this.opname not in _LOADING:
            continue
        is_method = following.opname == "LOAD_METHOD" or (
            sys.version_info >= (3, 12)
            and following.opname == "LOAD_ATTR"
            and bool((following.arg or 0) & 1)
        )
        found.add(str(following.argval) if is_method else "")
    return found


def _uses(code: CodeType) -> Iterator[tuple[str, str]]:
    """(kind, name) of every instruction that looks up a global or an attribute."""
    names = code.co_names
    raw = code.co_code
    extended = 0
    for place in range(0, len(raw), 2):
        kind, shift = _KINDS.get(raw[place], ("", 0))
        argument = raw[place + 1] | extended
        extended = argument << 8 if raw[place] == dis.EXTENDED_ARG else 0
        if not kind:
            continue
        name = names[argument >> shift]
        yield "methods" if kind == "attributes" and shift and argument & 1 else kind, name
        if raw[place] in _SETTING:
            yield "set", name


def _kinds() -> dict[int, tuple[str, int]]:
    """What an instruction looks up, and where its argument keeps the number of the name."""
    later = sys.version_info >= (3, 12)
    kinds: dict[int, tuple[str, int]] = {}
    for opname, opcode in dis.opmap.items():
        if opname in _GLOBAL:
            kinds[opcode] = ("globals", 1 if opname == "LOAD_GLOBAL" else 0)
        elif opname in _ATTRIBUTE:
            shift = {"LOAD_ATTR": 1, "LOAD_SUPER_ATTR": 2}.get(opname, 0) if later else 0
            kinds[opcode] = ("attributes", shift)
        elif opname in _OTHERS:
            kinds[opcode] = (_OTHERS[opname], 0)
    return kinds


_KINDS: Final = _kinds()
_SETTING: Final = frozenset(
    code for name, code in dis.opmap.items() if name.startswith(("STORE_", "DELETE_"))
)
