"""nets.export: lowered functions become a library that runs without Python."""

from __future__ import annotations

import dataclasses
import hashlib
import os
import re
from collections import OrderedDict, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from nets import config
from nets.errors import ArgumentError, ExportError, ShapeError
from nets.frontend.compile import Compilation
from nets.frontend.library_state import LibraryState
from nets.frontend.lowered import Lowered
from nets.frontend.pytree import TreeDef
from nets.frontend.variable import variable
from nets.ir.core import Value
from nets.ir.printer import print_function
from nets.ops.emitter import tensor_type
from nets.version import __version__

_IDENTIFIER: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z")


@dataclass(frozen=True, slots=True)
class Exported:
    """What ``export`` wrote: the name of the library and its files."""

    name: str
    files: tuple[Path, ...]


def export(
    path: str | os.PathLike[str],
    *,
    cpu: str | None = None,
    formats: Sequence[str] = ("so", "a", "o", "h"),
    **functions: Lowered,
) -> Exported:
    """Write ``path.so``, ``.a``, ``.o`` and ``.h`` with these functions.

    ``nets.export("build/digits", predict=predict.lower(x))`` gives the C function
    ``digits_predict``: arguments and results in flattened order as contiguous buffers, then a
    workspace. The last part of ``path`` names the library. Tensors that a function closes over
    are embedded with the values they have now; where one of the functions updates such a tensor,
    all of them are members of a structure that the functions share and the caller owns. ``cpu`` is
    a name such as ``x86-64-v3``; the default is NETS_CPU or this machine's CPU. ``formats`` chooses
    among so, a, o, h.

    The library needs libc alone, allocates nothing and has no state of its own, but for a callback
    that gets what ``debug_print`` prints. ArgumentError for what cannot be exported, ExportError
    where a file cannot be written.
    """
    from nets.backend.aot import FORMATS, write_library
    from nets.backend.llvm.target import Target
    from nets.backend.manifest import Argument, Library, laid_out

    base = Path(path)
    name = _library_name(base, functions)
    unknown = [word for word in formats if word not in FORMATS]
    if unknown or not formats:
        raise ArgumentError(f"formats are some of {', '.join(FORMATS)}, not {list(formats)}")
    cpu = config.CPU.get() if cpu is None else cpu
    target = Target.of(cpu)
    state = LibraryState(functions.values())
    parts = [_Part(name, word, lowered, cpu, state) for word, lowered in functions.items()]
    described = tuple(part.describe() for part in parts)
    forms = [
        Argument(member.name, variable(member.value).type.dtype.name, member.value.shape)
        for member in state.members
    ]
    members, size = laid_out(forms)
    library = Library(
        name, __version__, target.cpu, target.level, "strict", described, members, size
    )
    modules, site = [], 0
    for part in parts:
        modules.append(part.module(site))
        site += len(part.prints)
    initial = bytearray(size)
    for place, member in zip(members, state.members, strict=True):
        data = member.value.tobytes()
        initial[place.offset : place.offset + len(data)] = data
    paths = write_library(base, library, modules, target, formats, bytes(initial))
    return Exported(name, tuple(paths))


def _library_name(base: Path, functions: dict[str, Lowered]) -> str:
    if not base.name:
        raise ExportError(f"{base} does not name a library; write a path such as build/digits")
    if not functions:
        raise ArgumentError("export takes functions by name, as in predict=predict.lower(x)")
    for word, lowered in functions.items():
        if not _IDENTIFIER.match(word):
            raise ArgumentError(f"{word!r} cannot name a C function")
        if not isinstance(lowered, Lowered):
            raise ArgumentError(
                f"{word} is {type(lowered).__name__}; export takes what f.lower(...) gives"
            )
    name = re.sub(r"\W", "_", base.name, flags=re.ASCII)
    return f"_{name}" if name[0].isdigit() else name


class _Part:
    """One function on its way into a library."""

    def __init__(
        self, library: str, name: str, lowered: Lowered, cpu: str, state: LibraryState
    ) -> None:
        self.library = library
        self.name = name
        self.lowered = lowered
        self.state = state.numbers(lowered)
        self.function = state.function_of(lowered)
        options = dataclasses.replace(lowered.options, backend="llvm", threads=1, cpu=cpu)
        self.compilation = Compilation(self.function, options)

    def module(self, first_site: int) -> str:
        """The LLVM IR of the function, whose prints are numbered from there on."""
        from nets.backend.aot import entry_symbol

        return self.compilation.module(entry_symbol(self.library, self.name), first_site)

    @property
    def prints(self) -> tuple[str, ...]:
        """The texts that the function prints, in order."""
        ops = self.compilation.loops.walk()
        return tuple(op.attributes["text"] for op in ops if op.name == "loop.print")

    def describe(self) -> Any:
        """The manifest of the function."""
        from nets.backend.c_header import c_names
        from nets.backend.manifest import Argument, LibraryFunction

        lowered = self.lowered
        updates = self.function.attributes.get("in_place", ())
        inputs = self.function.arguments[: len(lowered.program.inputs)]
        outputs = self.function.returned[: lowered.out_tree.leaf_count]
        results = lowered.result_names[: len(outputs)]
        names = c_names([*lowered.argument_names[: len(inputs)], *results])
        buffers = [
            Argument(name, tensor_type(value).dtype.name, _shape(name, value))
            for name, value in zip(names, (*inputs, *outputs), strict=True)
        ]
        args, kwargs = lowered.in_tree.unflatten(range(lowered.in_tree.leaf_count))
        checks = self.compilation.loops.attributes["checks"]
        return LibraryFunction(
            name=self.name,
            arguments=tuple(buffers[: len(inputs)]),
            results=tuple(buffers[len(inputs) :]),
            positional=tuple(zip(lowered.parameter_names, map(_tree, args), strict=True)),
            keywords=tuple((key, _tree(value)) for key, value in kwargs.items()),
            tree=_tree_of(lowered.out_tree),
            workspace_bytes=self.compilation.workspace_bytes,
            checks=tuple((code, message, error) for code, message, _, error in checks),
            ir_sha256=hashlib.sha256(print_function(self.function).encode()).hexdigest(),
            state=self.state,
            updates=bool(updates),
            prints=self.prints,
        )


def _shape(name: str, value: Value) -> tuple[int, ...]:
    type = tensor_type(value)
    if not type.is_static:
        raise ShapeError(f"{name} is {type}; only constant sizes can be exported")
    return type.static_shape


def _tree_of(treedef: TreeDef) -> Any:
    return _tree(treedef.unflatten(range(treedef.leaf_count)))


def _tree(nest: Any) -> Any:
    """A nest of leaf numbers in the form of the manifest."""
    if isinstance(nest, int):
        return nest
    if nest is None:
        return ["none"]
    if isinstance(nest, (dict, OrderedDict, defaultdict)):
        for key in nest:
            if not isinstance(key, (str, int)) or isinstance(key, bool):
                raise ArgumentError(f"the dict key {key!r} cannot stand in an exported library")
        return ["dict", [[key, _tree(child)] for key, child in nest.items()]]
    if isinstance(nest, list):
        return ["list", [[i, _tree(child)] for i, child in enumerate(nest)]]
    if hasattr(nest, "_fields"):
        return ["fields", [[key, _tree(getattr(nest, key))] for key in nest._fields]]
    if isinstance(nest, tuple):
        return ["tuple", [[i, _tree(child)] for i, child in enumerate(nest)]]
    return ["fields", [[key, _tree(getattr(nest, key))] for key in nest.__dataclass_fields__]]
