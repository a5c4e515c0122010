"""One function on its way into a library: its code for each machine, and its manifest."""

from __future__ import annotations

import dataclasses
import functools
from collections import OrderedDict, defaultdict
from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from nets.compiler.compile import Compilation, CompileOptions
from nets.errors import ArgumentError
from nets.frontend.calls.lowered import Lowered
from nets.frontend.derived.sparse_matrix import SparseMatrix, SparsityPattern
from nets.frontend.library.export_arguments import CodeOptions, refused
from nets.frontend.library.library_state import LibraryState
from nets.ir.core import Function, Value
from nets.ir.dims import ranges_of, requirements_of
from nets.ir.estimates import room_for_either
from nets.ir.printer import function_digest
from nets.ir.sizes import Dim, substitute, symbol
from nets.ir.types import Shape
from nets.ops.collective.ranks import ranks_of
from nets.ops.definition.emitter import tensor_type
from nets.ops.loop.failures import FAILURES

if TYPE_CHECKING:
    from nets.backend.library.manifest import LibraryFunction
    from nets.backend.llvm.constants import LargeData
    from nets.machine.machine import Machine


class FunctionExport:
    """One function on its way into a library."""

    def __init__(
        self,
        library: str,
        name: str,
        lowered: Lowered,
        code: CodeOptions,
        state: LibraryState,
    ) -> None:
        self.library = library
        self.name = name
        self.lowered = lowered
        self.state = state.numbers(lowered)
        self.function = state.function_of(lowered)
        options = dataclasses.replace(
            lowered.options,
            backend="llvm",
            threads=1,
            optimize=code.optimize,
            numerics=code.numerics,
            failures=True,
        )
        self.serial = _compilations(self.function, options, code.machines)
        shared = dataclasses.replace(options, threads=code.threads)
        self.twins = _compilations(self.function, shared, code.machines) if code.threads else []

    def modules(self, first_site: int, large: LargeData) -> list[str]:
        """The LLVM IR of the function for each machine, with prints numbered from there on, and of
        its parallel twin."""
        from nets.backend.library.interface import entry_symbol

        _ = self.checks  # by which codes are the same in all of them
        found = []
        for parallel, compilations in ((False, self.serial), (True, self.twins)):
            for each in compilations:
                level = each.machine.level
                entry = entry_symbol(self.library, self.name, level, parallel=parallel)
                found.append(each.module(entry, first_site, large))
        return found

    @functools.cached_property
    def checks(self) -> tuple[tuple[int, str, str, str], ...]:
        """The checks of the function, whose codes are those of all its forms from now on."""
        return checks_of([each.loops for each in (*self.serial, *self.twins)])

    @property
    def prints(self) -> tuple[str, ...]:
        """The texts that the function prints, in order."""
        ops = self.serial[0].loops.walk()
        return tuple(op.attributes["text"] for op in ops if op.name == "loop.print")

    @property
    def ranks(self) -> int | None:
        """How many ranks it talks to, 0 for any; None where it talks to none."""
        return ranks_of(self.function)

    def describe(self, taken: Collection[str], first_code: int) -> Any:
        """The manifest of the function; ``taken`` are names that its buffers cannot have.

        The checks of sizes that a call tells have statuses from ``first_code`` on.
        """
        from nets.backend.library.c_names import c_names
        from nets.backend.library.callers.description import range_sentence
        from nets.backend.library.manifest import Argument, LibraryFunction, Matrix

        lowered = self.lowered
        updates = self.function.attributes.get("in_place", ())
        inputs = self.function.arguments[: len(lowered.program.inputs)]
        outputs = self.function.returned[: lowered.out_tree.leaf_count]
        results = lowered.result_names[: len(outputs)]
        ranges, requirements = ranges_of(self.function), requirements_of(self.function)
        dims = [*ranges]
        names = c_names([*dims, *lowered.argument_names[: len(inputs)], *results], taken)
        dims, names = names[: len(dims)], names[len(dims) :]
        told = dict(zip(ranges, map(symbol, dims), strict=True))
        limits = tuple((name, *range) for name, range in zip(dims, ranges.values(), strict=True))
        buffers = [
            Argument(name, tensor_type(value).dtype.name, _shape(value, told))
            for name, value in zip(names, (*inputs, *outputs), strict=True)
        ]
        _check_parameters(lowered)
        args, kwargs = lowered.in_tree.unflatten(range(lowered.in_tree.leaf_count))
        sentences = [*(range_sentence(*limit) for limit in limits)]
        sentences += [requirement.message for requirement in requirements]
        sentences += ["no memory holds arrays of these sizes"] if dims else []
        refuses = ArgumentError.__name__
        of_sizes = [(code, text, refuses) for code, text in enumerate(sentences, first_code)]
        matrices = [
            Matrix(number, pattern.shape, pattern.nnz, word if len(self.patterns) > 1 else "")
            for number, pattern in self.patterns.items()
            for word in [buffers[len(inputs) + number].name.removesuffix("_values")]
        ]
        return LibraryFunction(
            name=self.name,
            arguments=tuple(buffers[: len(inputs)]),
            results=tuple(buffers[len(inputs) :]),
            positional=tuple(zip(lowered.parameter_names, map(tree, args), strict=True)),
            keywords=tuple((key, tree(value)) for key, value in kwargs.items()),
            tree=tree(lowered.out_tree.unflatten(range(lowered.out_tree.leaf_count))),
            workspace_bytes=substitute(_workspace_bytes(self.serial), told),
            checks=(
                *((code, message, error) for code, message, _, error in self.checks),
                *of_sizes,
            ),
            ir_sha256=function_digest(self.function),
            state=self.state,
            updates=bool(updates),
            prints=self.prints,
            parallel_workspace_bytes=substitute(_workspace_bytes(self.twins), told),
            dims=limits,
            requirements=tuple(
                (kind, substitute(size, told), message) for kind, size, message, _ in requirements
            ),
            matrices=tuple(matrices),
            ranks=() if self.ranks is None else (self.ranks,),
        )

    @functools.cached_property
    def patterns(self) -> dict[int, SparsityPattern]:
        """The patterns of the results that are the values of sparse matrices, by their numbers."""
        tree = self.lowered.out_tree
        found = {x.values: x.pattern for x in matrices_in(tree.unflatten(range(tree.leaf_count)))}
        for pattern in found.values():
            if max(*pattern.shape, pattern.nnz) >= 1 << 31:
                raise refused(f"{self.name} gives a matrix whose indices do not fit in 32 bits")
        return found

    def tables(self, library: LibraryFunction) -> dict[str, bytes]:
        """The tables of the sparse results, by what tells them."""
        from nets.backend.library.c_names import table_symbols

        found: dict[str, bytes] = {}
        for matrix in library.matrices:
            pattern = self.patterns[matrix.result]
            arrays = pattern.rows, pattern.cols, pattern.indptr
            names = table_symbols(self.library, self.name, matrix.word)
            found |= {
                name: array.astype("<i4").tobytes()
                for name, array in zip(names, arrays, strict=True)
            }
        return found


def _compilations(
    function: Function, options: CompileOptions, machines: Sequence[Machine]
) -> list[Compilation]:
    """The function for each machine."""
    found = [Compilation(function, options) for _ in machines]
    for compilation, machine in zip(found, machines, strict=True):
        compilation.machine = machine
    return found


def _workspace_bytes(compilations: Sequence[Compilation]) -> Dim:
    """What is enough for each of them."""
    most: Dim = 0
    for each in compilations:
        most = room_for_either(most, each.workspace_bytes)
    return most


def checks_of(forms: Sequence[Function]) -> tuple[tuple[int, str, str, str], ...]:
    """The checks of a function whose loops have these forms: code, message, place and error.

    Where one form checks in another order than the next, all get new codes, one per message: so a
    code means the same in each. Failures have the status that they have in all libraries.
    """
    found = [form.attributes["checks"] for form in forms]
    if len(set(found)) == 1:
        return tuple(found[0])
    codes: dict[tuple[str, str, str], int] = {}
    for form, checks in zip(forms, found, strict=True):
        new = {
            code: codes.setdefault(tuple(rest), code if code in FAILURES else len(codes) + 1)
            for code, *rest in checks
        }
        for op in form.walk():
            if op.name == "loop.check":
                op.attributes = {"code": new[op.attributes["code"]]}
    return tuple((code, *rest) for rest, code in codes.items())


def _shape(value: Value, names: Mapping[str, Dim]) -> Shape:
    """The shape, in the names that sizes of a call have in C."""
    return tuple(substitute(size, names) for size in tensor_type(value).shape)


def _check_parameters(lowered: Lowered) -> None:
    """ArgumentError for f(x, /, **more) with an x in more: a library tells them by their names."""
    _, kwargs = lowered.in_tree.unflatten(range(lowered.in_tree.leaf_count))
    for word in kwargs:
        if word in lowered.parameter_names:
            raise refused(f"{lowered.name} has two arguments {word}, which a library cannot")


def tree(nest: object, level: int = 0) -> object:
    """A nest of leaf numbers in the form of the manifest."""
    from nets.backend.library.manifest import MOST_LEVELS

    if isinstance(nest, int):
        return nest
    if nest is None:
        return ["none"]
    if level == MOST_LEVELS:
        raise refused(f"a library takes and gives nests of {MOST_LEVELS} levels at most")
    kind, items = _parts(nest)
    return [kind, [[key, tree(child, level + 1)] for key, child in items]]


def matrices_in(nest: Any) -> list[SparseMatrix]:
    """The sparse matrices among the containers of a nest of leaf numbers."""
    if isinstance(nest, SparseMatrix):
        return [nest]
    if nest is None or isinstance(nest, int):
        return []
    return [found for _, child in _parts(nest)[1] for found in matrices_in(child)]


def _parts(nest: Any) -> tuple[str, list[tuple[Any, Any]]]:
    """The kind of a container in the manifest, and its (key, child) pairs."""
    if isinstance(nest, (dict, OrderedDict, defaultdict)):
        for key in nest:
            if not isinstance(key, (str, int)) or isinstance(key, bool):
                raise refused(f"the dict key {key!r} cannot stand in an exported library")
        return "dict", list(nest.items())
    if isinstance(nest, list):
        return "list", list(enumerate(nest))
    names = getattr(nest, "_fields", None)
    if names is None and isinstance(nest, tuple):
        return "tuple", list(enumerate(nest))
    if names is None:
        names = [field.name for field in dataclasses.fields(nest)]
    return "fields", [(name, getattr(nest, name)) for name in names]
