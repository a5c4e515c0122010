"""nets.export: lowered functions become a library that runs without Python."""

from __future__ import annotations

import dataclasses
import os
import re
from collections import OrderedDict, defaultdict
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from nets import config
from nets.compiler.compile import Compilation
from nets.errors import ArgumentError, ExportError, LoadError, ShapeError
from nets.files import read_regular, replacing
from nets.frontend.calls.lowered import Lowered
from nets.frontend.library.library_state import LibraryState
from nets.frontend.pytree import TreeDef
from nets.frontend.tensor.variable import variable
from nets.ir.core import Value
from nets.ir.location import user_location
from nets.ir.printer import function_digest
from nets.ops.definition.emitter import tensor_type
from nets.version import __version__

if TYPE_CHECKING:
    from nets.backend.llvm.constants import LargeData


@dataclass(frozen=True, slots=True)
class Exported:
    """What ``export`` wrote: the name of the library and its files."""

    name: str
    files: tuple[Path, ...]
    _library: Any = field(default=None, repr=False, compare=False)
    _initial: bytes = field(default=b"", repr=False, compare=False)

    def state_from(
        self, /, *objects: Any, file: str | os.PathLike[str] | None = None, **named: Any
    ) -> bytes:
        """The state of Python's objects, as ``NAME_save_state`` saves it, for ``NAME_load_state``.

        ``state_from(model, optimizer)``: modules, optimisers and generators are told by the names,
        shapes and dtypes of what they hold. Where several would do, and for tensors that none of
        them holds, names as in the manifest are given: ``encoder=…``, ``w=…``. The default
        generator of random numbers is taken without being given. What belongs to nothing given is
        as it was at the time of the export. ``file`` is written as well, where it is given.

        ArgumentError where something does not fit, ExportError where the file cannot be written.
        """
        from nets.backend.library import state_exchange

        state = np.frombuffer(bytearray(self._initial), np.uint8)
        arrays = state_exchange.views(self._library, state)
        state_exchange.state_from(self._library, arrays, objects, named)
        saved = state.tobytes()
        if file is not None:
            _write_state(Path(file), saved)
        return saved

    def state_to(
        self, saved: bytes | str | os.PathLike[str], /, *objects: Any, **named: Any
    ) -> None:
        """Give a saved state, or that of a file, to Python's objects: told as in ``state_from``.

        ArgumentError where it is no state of this library, or something does not fit, LoadError
        where the file cannot be read; nothing has changed then.
        """
        from nets.backend.library import state_exchange

        data = _read_state(Path(saved)) if isinstance(saved, str | os.PathLike) else saved
        state = state_exchange.checked_bytes(self._library, data).copy()
        arrays = state_exchange.views(self._library, state)
        state_exchange.state_to(self._library, arrays, objects, named)


def export(
    path: str | os.PathLike[str] | None = None,
    /,
    *others: object,
    cpu: str | None = None,
    formats: str | Iterable[str] = ("so", "a", "o", "h"),
    optimize: str = "speed",
    prefix: str = "",
    **functions: Lowered,
) -> Exported:
    """Write ``path.so``, ``.a``, ``.o`` and ``.h`` with these functions.

    ``nets.export("build/digits", predict=predict.lower(x))`` gives the C function
    ``digits_predict``: arguments and results in flattened order as contiguous buffers, then a
    workspace. The last part of ``path`` names the library. Tensors that a function closes over
    are embedded with the values they have now; where one of the functions updates such a tensor,
    all of them but frozen weights are members of a structure that the functions share and the
    caller owns. ``cpu`` is a name such as ``x86-64-v3``; the default is NETS_CPU or this machine's
    CPU. ``formats`` chooses among so, a, o, h, and hpp (C++), rs (Rust), py (Python), go, js, pc
    (pkg-config), cmake. ``prefix="lib"`` writes ``libdigits.so`` and ``libdigits.a``.
    ``optimize="size"`` makes the code as small as it gets, and slower: one copy of each loop, one
    element at a time, the same bits.

    The library needs libc alone, allocates nothing and has no state of its own, but for a callback
    that gets what ``debug_print`` prints. ArgumentError for what cannot be exported, names that C
    cannot have among it; ExportError where a file cannot be written. Then no file is.
    """
    from nets.backend.library.aot import write_library
    from nets.backend.library.c_names import declared
    from nets.backend.library.manifest import Argument, Library
    from nets.backend.library.state_layout import marked, state_layout
    from nets.backend.llvm.constants import LargeData
    from nets.backend.llvm.target import machine_of

    if path is None:
        path = cast(Any, functions.pop("path", None))  # by its name
    base = _base(path, others)
    suffixes, prefix = _suffixes(formats), _prefix(prefix)
    name = _library_name(base, functions)
    cpu = _cpu_name(cpu)
    _check_optimize(optimize)
    machine = machine_of(cpu)
    taken = declared(name, functions)
    state = LibraryState(functions.values(), taken)
    parts = [
        _Part(name, word, lowered, cpu, state, optimize) for word, lowered in functions.items()
    ]
    described = tuple(part.describe(taken) for part in parts)
    forms = [
        Argument(member.name, variable(member.value).type.dtype.name, member.value.shape)
        for member in state.members
    ]
    members, size = state_layout(forms, [member.names for member in state.members])
    library = Library(
        name, __version__, machine.cpu, machine.level, "strict", described, members, size
    )
    modules, site, large = [], 0, LargeData()
    for part in parts:
        modules.append(part.module(site, large))
        site += len(part.prints)
    initial = bytearray(size)
    for place, member in zip(members, state.members, strict=False):  # without the mark
        data = member.value.tobytes()
        initial[place.offset : place.offset + len(data)] = data
    paths = write_library(base, library, modules, large, machine, suffixes, bytes(initial), prefix)
    return Exported(name, tuple(paths), library, marked(library, bytes(initial)))


def _write_state(file: Path, saved: bytes) -> None:
    try:
        with replacing(file) as out:
            out.write(saved)
    except OSError as error:
        raise ExportError(f"{file} cannot be written: {error.strerror or error}") from None


def _read_state(file: Path) -> bytes:
    try:
        return read_regular(file)
    except OSError as error:
        raise LoadError(f"{file} cannot be read: {error.strerror or error}") from None


def _base(path: object, others: Sequence[object]) -> Path:
    """The path of the library, without a suffix."""
    if not isinstance(path, (str, os.PathLike)) or others:
        given = ", ".join(type(x).__name__ for x in (path, *others))
        raise _refused(
            "export takes the path of the library and functions by name, as in "
            f'export("build/digits", predict=predict.lower(x)), not ({given})'
        )
    text: object = os.fspath(path)
    if not isinstance(text, str):
        raise _refused(f"the path of a library is text, not {type(text).__name__}")
    if "\0" in text or not _is_encodable(text):
        raise _refused(f"{text!r} cannot be a path")
    if text.endswith(os.sep) or Path(text).name in ("", ".."):
        raise ExportError(f"{text!r} does not name a library; write a path such as build/digits")
    return Path(text)


def _is_encodable(text: str) -> bool:
    try:
        os.fsencode(text)
    except UnicodeEncodeError:
        return False
    return True


def _cpu_name(cpu: object) -> str:
    if cpu is not None and not isinstance(cpu, str):
        raise _refused(f"cpu is a name such as x86-64-v3, not {type(cpu).__name__}")
    return str(config.CPU.get()) if cpu is None else cpu


def _check_optimize(optimize: object) -> None:
    if optimize not in ("speed", "size"):
        raise _refused(f"optimize is speed or size, not {optimize!r}")


def _suffixes(formats: object) -> tuple[str, ...]:
    from nets.backend.library.aot import ALL_FORMATS

    wanted = (formats,) if isinstance(formats, str) else formats
    listed = list(wanted) if isinstance(wanted, Iterable) else []
    if not listed or any(word not in ALL_FORMATS for word in listed):
        raise _refused(f"formats are some of {', '.join(ALL_FORMATS)}, not {formats!r}")
    return tuple(dict.fromkeys(listed))


def _prefix(prefix: object) -> str:
    if isinstance(prefix, Lowered):
        raise _refused("'prefix' cannot name a function: it begins the names of files, as in lib")
    if not isinstance(prefix, str) or re.fullmatch(r"\w*", prefix, re.ASCII) is None:
        raise _refused(f'prefix is letters before the name of a file, as in "lib", not {prefix!r}')
    return prefix


def _library_name(base: Path, functions: dict[str, Any]) -> str:
    from nets.backend.library.c_names import library_name, refusal

    if not functions:
        raise _refused("export takes functions by name, as in predict=predict.lower(x)")
    name = library_name(base.name)
    reason = refusal(name, list(functions))
    for word, lowered in functions.items():
        if not isinstance(lowered, Lowered):
            hint = "; formats is what chooses the files" if word == "format" else ""
            reason = (
                f"{word} is {type(lowered).__name__}; export takes what f.lower(...) gives{hint}"
            )
    if reason is not None:
        raise _refused(reason)
    return name


def _refused(reason: str) -> ArgumentError:
    return ArgumentError(reason, user_location())


class _Part:
    """One function on its way into a library."""

    def __init__(
        self,
        library: str,
        name: str,
        lowered: Lowered,
        cpu: str,
        state: LibraryState,
        optimize: str,
    ) -> None:
        self.library = library
        self.name = name
        self.lowered = lowered
        self.state = state.numbers(lowered)
        self.function = state.function_of(lowered)
        options = dataclasses.replace(
            lowered.options, backend="llvm", threads=1, cpu=cpu, optimize=optimize
        )
        self.compilation = Compilation(self.function, options)

    def module(self, first_site: int, large: LargeData) -> str:
        """The LLVM IR of the function, whose prints are numbered from there on."""
        from nets.backend.library.interface import entry_symbol

        symbol = entry_symbol(self.library, self.name)
        return self.compilation.module(symbol, first_site, large)

    @property
    def prints(self) -> tuple[str, ...]:
        """The texts that the function prints, in order."""
        ops = self.compilation.loops.walk()
        return tuple(op.attributes["text"] for op in ops if op.name == "loop.print")

    def describe(self, taken: Collection[str]) -> Any:
        """The manifest of the function; ``taken`` are names that its buffers cannot have."""
        from nets.backend.library.c_names import c_names
        from nets.backend.library.manifest import Argument, LibraryFunction

        lowered = self.lowered
        updates = self.function.attributes.get("in_place", ())
        inputs = self.function.arguments[: len(lowered.program.inputs)]
        outputs = self.function.returned[: lowered.out_tree.leaf_count]
        results = lowered.result_names[: len(outputs)]
        names = c_names([*lowered.argument_names[: len(inputs)], *results], taken)
        buffers = [
            Argument(name, tensor_type(value).dtype.name, _shape(name, value))
            for name, value in zip(names, (*inputs, *outputs), strict=True)
        ]
        _check_parameters(lowered)
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
            ir_sha256=function_digest(self.function),
            state=self.state,
            updates=bool(updates),
            prints=self.prints,
        )


def _shape(name: str, value: Value) -> tuple[int, ...]:
    type = tensor_type(value)
    if not type.is_static:
        raise ShapeError(f"{name} is {type}; only constant sizes can be exported")
    return type.static_shape


def _tree_of(treedef: TreeDef) -> object:
    return _tree(treedef.unflatten(range(treedef.leaf_count)))


def _check_parameters(lowered: Lowered) -> None:
    """ArgumentError for f(x, /, **more) with an x in more: a library tells them by their names."""
    _, kwargs = lowered.in_tree.unflatten(range(lowered.in_tree.leaf_count))
    for word in kwargs:
        if word in lowered.parameter_names:
            raise _refused(f"{lowered.name} has two arguments {word}, which a library cannot")


def _tree(nest: object, level: int = 0) -> object:
    """A nest of leaf numbers in the form of the manifest."""
    from nets.backend.library.manifest import MOST_LEVELS

    if isinstance(nest, int):
        return nest
    if nest is None:
        return ["none"]
    if level == MOST_LEVELS:
        raise _refused(f"a library takes and gives nests of {MOST_LEVELS} levels at most")
    kind, items = _parts(nest)
    return [kind, [[key, _tree(child, level + 1)] for key, child in items]]


def _parts(nest: Any) -> tuple[str, list[tuple[Any, Any]]]:
    """The kind of a container in the manifest, and its (key, child) pairs."""
    if isinstance(nest, (dict, OrderedDict, defaultdict)):
        for key in nest:
            if not isinstance(key, (str, int)) or isinstance(key, bool):
                raise _refused(f"the dict key {key!r} cannot stand in an exported library")
        return "dict", list(nest.items())
    if isinstance(nest, list):
        return "list", list(enumerate(nest))
    names = getattr(nest, "_fields", None)
    if names is None and isinstance(nest, tuple):
        return "tuple", list(enumerate(nest))
    if names is None:
        names = nest.__dataclass_fields__
    return "fields", [(name, getattr(nest, name)) for name in names]
