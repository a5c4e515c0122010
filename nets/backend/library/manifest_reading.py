"""Reading manifests: whatever text stands in a file, what comes out is a library or a LoadError."""

from __future__ import annotations

import json
import math
import re
import reprlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import Field, fields
from typing import Any, Final, TypeVar

from nets.backend.library.c_names import c_names, declared, library_name, refusal
from nets.backend.library.manifest import (
    ABI_VERSION,
    LAYOUT,
    MOST_LEVELS,
    MOST_THREADS,
    REVISION,
    Argument,
    Form,
    Library,
    LibraryFunction,
    Matrix,
    Member,
    Tree,
    laid_out,
)
from nets.errors import REFUSALS, LoadError
from nets.ir.dims import KINDS
from nets.ir.size_parser import parse
from nets.ir.sizes import Dim, Size
from nets.ir.types import DTYPES

_Read = TypeVar("_Read")


def from_json(text: str) -> Library:
    """The manifest of a JSON text; LoadError where it is none of this version, or says what cannot
    be: whatever the text, no other error comes out and nothing of a size it tells is made."""
    data = _object(_parsed(text), "it")
    if data.get("abi") != ABI_VERSION or type(data["abi"]) is not int:
        raise LoadError(
            f"the library has ABI version {_short(data.get('abi'))}, this nets loads {ABI_VERSION}"
        )
    revision = _revision(data)
    _of_this_revision(data, revision)
    _fields(data, "it", Library)
    name = _text(data["name"], "name")
    functions = _items(data["functions"], "functions", _function)
    _require(bool(name) and name == library_name(name), "name", name)
    _require(bool(functions), "functions", [])
    threads = _number(data["threads"], "threads")
    refused = refusal(name, [function.name for function in functions], threads)
    _require(threads <= MOST_THREADS, "threads", threads)
    _require(refused is None, "functions", refused)
    library = Library(
        name=name,
        nets_version=_text(data["nets_version"], "nets_version"),
        cpu=_text(data["cpu"], "cpu"),
        level=_number(data["level"], "level"),
        numerics=_text(data["numerics"], "numerics"),
        functions=functions,
        state=_items(data["state"], "state", _member),
        state_bytes=_number(data["state_bytes"], "state_bytes"),
        revision=revision,
        levels=_items(data["levels"], "levels", _form),
        contract=_number(data["contract"], "contract"),
        threads=threads,
        target=_text(data["target"], "target"),
    )
    _check_levels(library)
    _check_names(library)
    _check_state(library)
    _check_sizes(library)
    return library


def _parsed(text: str) -> Any:
    try:
        return json.loads(
            text, object_pairs_hook=_unique, parse_float=_no_number, parse_constant=_no_number
        )
    except (ValueError, RecursionError) as error:
        raise _damaged(str(error)) from None


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a field stands there twice")
    return found


def _no_number(text: str) -> Any:
    raise ValueError(f"{text[:20]} is no whole number")


# Revisions differ in the fields that dataclasses here mark with "since".


def _revision(data: dict[str, Any]) -> int:
    found = data.get("revision", 1)
    is_one = type(found) is int and 1 <= found <= _MOST_REVISIONS
    _require(is_one and ("revision" in data) is (found > 1), "revision", found)
    return int(found)


def _of_this_revision(data: dict[str, Any], revision: int) -> None:
    """Put defaults where an older manifest has nothing; drop what a later one has more."""
    for kind, part in _described(data):
        known = {f.name: f for f in fields(kind)}
        for name, own in known.items():
            if own.metadata.get("since", 1) > revision:
                _require(name not in part, name, part.get(name))
                part[name] = _before(kind, name, own, part)
        for name in list(part) if revision > REVISION else ():
            if name not in known:
                del part[name]


def _before(kind: type, name: str, own: Field[Any], part: dict[str, Any]) -> Any:
    """What stands for a field in manifests from before it."""
    if kind is Member and name in ("key", "entry"):
        return part.get("name")
    if name == "revision":
        return 1
    return [] if own.default == () else own.default


def _described(data: dict[str, Any]) -> Iterator[tuple[type, dict[str, Any]]]:
    """The objects of a manifest that are those of dataclasses here, as far as they are objects."""
    yield Library, data
    for function in _objects(data.get("functions")):
        yield LibraryFunction, function
        for word in ("arguments", "results"):
            yield from ((Argument, part) for part in _objects(function.get(word)))
    yield from ((Member, part) for part in _objects(data.get("state")))
    yield from ((Form, part) for part in _objects(data.get("levels")))


def _objects(found: Any) -> list[dict[str, Any]]:
    return [x for x in found if type(x) is dict] if type(found) is list else []


def _function(value: Any, where: str) -> LibraryFunction:
    no_more: dict[str, Any] = {"dims": [], "requirements": [], "matrices": [], "ranks": []}
    data = _fields(no_more | _object(value, where), where, LibraryFunction)
    arguments = _items(data["arguments"], f"{where}.arguments", _argument)
    results = _items(data["results"], f"{where}.results", _argument)
    positional = _items(data["positional"], f"{where}.positional", _parameter)
    keywords = _items(data["keywords"], f"{where}.keywords", _parameter)
    checks = _items(data["checks"], f"{where}.checks", _check)
    parameters = [*positional, *keywords]
    _no_twice([name for name, _ in parameters], where)
    _no_twice([code for code, _, _ in checks], f"{where}.checks")
    trees = [tree for _, tree in parameters]
    _check_trees(trees, len(arguments), f"{where}.arguments")
    _check_trees([data["tree"]], len(results), f"{where}.tree")
    updates, digest = data["updates"], _text(data["ir_sha256"], f"{where}.ir_sha256")
    _require(type(updates) is bool, f"{where}.updates", updates)
    _require(_SHA256.fullmatch(digest) is not None, f"{where}.ir_sha256", digest)
    return LibraryFunction(
        name=_text(data["name"], f"{where}.name"),
        arguments=arguments,
        results=results,
        positional=positional,
        keywords=keywords,
        tree=data["tree"],
        workspace_bytes=_size(data["workspace_bytes"], f"{where}.workspace_bytes"),
        checks=checks,
        ir_sha256=digest,
        state=_items(data["state"], f"{where}.state", _number),
        updates=updates,
        prints=_items(data["prints"], f"{where}.prints", _text),
        parallel_workspace_bytes=_size(
            data["parallel_workspace_bytes"], f"{where}.parallel_workspace_bytes"
        ),
        dims=_items(data["dims"], f"{where}.dims", _dim),
        requirements=_items(data["requirements"], f"{where}.requirements", _requirement),
        matrices=_matrices(data["matrices"], f"{where}.matrices", results),
        ranks=_ranks(data["ranks"], f"{where}.ranks"),
    )


def _ranks(found: Any, where: str) -> tuple[int, ...]:
    """One number at most, which a job may have."""
    ranks = _items(found, where, _number)
    _require(len(ranks) < 2 and max(ranks, default=0) < 1 << 31, where, found)
    return ranks


def _matrices(found: Any, where: str, results: Sequence[Argument]) -> tuple[Matrix, ...]:
    """Each of a result of its own that has as many elements, under a name of its own."""
    matrices = _items(found, where, _matrix)
    for matrix in matrices:
        _require(matrix.result < len(results), where, matrix.result)
        shape = results[matrix.result].shape
        _require(shape == (matrix.nnz,), where, list(shape))
        word = results[matrix.result].name.removesuffix("_values")
        _require(matrix.word == (word if len(matrices) > 1 else ""), where, matrix.word)
    _no_twice([matrix.result for matrix in matrices], where)
    return matrices


def _matrix(value: Any, where: str) -> Matrix:
    data = _fields(_object(value, where), where, Matrix)
    shape = _items(data["shape"], f"{where}.shape", _number)
    result, nnz = (_number(data[word], f"{where}.{word}") for word in ("result", "nnz"))
    _require(len(shape) == 2 and max(*shape, nnz) < 1 << 31, where, data["shape"])
    return Matrix(result, (shape[0], shape[1]), nnz, _text(data["word"], f"{where}.word"))


def _dim(value: Any, where: str) -> tuple[str, int, int, int]:
    _require(type(value) is list and len(value) == 4, where, value)
    name, *limits = value
    _require(all(type(limit) is int and 0 <= limit < 1 << 63 for limit in limits), where, value)
    low, high, multiple = limits
    _require(low <= high and multiple >= 1, where, value)
    return _text(name, where), low, high, multiple


def _requirement(value: Any, where: str) -> tuple[str, Dim, str]:
    _require(type(value) is list and len(value) == 3 and value[0] in KINDS, where, value)
    return value[0], _size(value[1], where), _text(value[2], where)


def _size(value: Any, where: str) -> Dim:
    """A number, or the text of a size that a call tells."""
    if type(value) is not str:
        return _number(value, where)
    try:
        return parse(_text(value, where))
    except ValueError:
        raise _damaged(f"{where} is not right: {_short(value)}") from None


def _form(value: Any, where: str) -> Form:
    data = _fields(_object(value, where), where, Form)
    return Form(_text(data["cpu"], f"{where}.cpu"), _number(data["level"], f"{where}.level"))


def _check_levels(library: Library) -> None:
    """Each level stands there once, and they come in order."""
    levels = [form.level for form in library.forms]
    _require(levels == sorted(set(levels)), "levels", levels)


def _argument(value: Any, where: str) -> Argument:
    return _buffer(_fields(_object(value, where), where, Argument), where)


def _member(value: Any, where: str) -> Member:
    data = _fields(_object(value, where), where, Member)
    buffer = _buffer(data, where)
    offset = _number(data["offset"], f"{where}.offset")
    key, owner, entry = (_text(data[word], f"{where}.{word}") for word in ("key", "owner", "entry"))
    shape = tuple(size for size in buffer.shape if isinstance(size, int))
    _require(len(shape) == len(buffer.shape), f"{where}.shape", data["shape"])
    return Member(buffer.name, buffer.dtype, shape, offset, key, owner, entry)


def _buffer(data: dict[str, Any], where: str) -> Argument:
    name, dtype = _text(data["name"], f"{where}.name"), _text(data["dtype"], f"{where}.dtype")
    _require(dtype in DTYPES, f"{where}.dtype", dtype)
    shape = _items(data["shape"], f"{where}.shape", _size)
    known = (dim for dim in shape if isinstance(dim, int))
    size = math.prod(max(dim, 1) for dim in known) * DTYPES[dtype].itemsize
    _require(len(shape) <= _MOST_AXES and size <= _MOST_BYTES, f"{where}.shape", list(shape))
    return Argument(name, dtype, shape)


def _parameter(value: Any, where: str) -> tuple[str, Tree]:
    _require(type(value) is list and len(value) == 2 and type(value[0]) is str, where, value)
    return value[0], value[1]  # Python takes any text for a keyword


def _check(value: Any, where: str) -> tuple[int, str, str]:
    _require(type(value) is list and len(value) == 3, where, value)
    code, message, error = value
    _require(_number(code, where) in range(1, 1 << 31), where, code)
    _require(_text(error, where) in REFUSALS, where, error)
    return code, _text(message, where), error


def _check_names(library: Library) -> None:
    """The names that stand in C are such as an export gives."""
    taken = declared(library.name, [f.name for f in library.functions], library.threads)
    parts = [("state", [member.name for member in library.state])]
    parts += [
        (f.name, [*(name for name, *_ in f.dims), *(a.name for a in (*f.arguments, *f.results))])
        for f in library.functions
    ]
    for where, names in parts:
        _require(names == c_names(names, taken), f"{where}: a name", names)


def _check_state(library: Library) -> None:
    """The members lie where a C compiler puts them, and functions use those there are."""
    forms = [Argument(member.name, member.dtype, member.shape) for member in library.state]
    laid, size = laid_out(forms)
    offsets = [(a.offset, b.offset) for a, b in zip(laid, library.state, strict=True)]
    fits = all(own == told for own, told in offsets) and size == library.state_bytes
    _require(fits, "the layout of the state", size)
    _check_keys(library)
    for function in library.functions:
        _no_twice(function.state, f"{function.name}.state")
        known = all(number < len(library.members) for number in function.state)
        _require(known and (bool(function.state) or not function.updates), "state", function.state)


def _check_keys(library: Library) -> None:
    """Each member has a key of its own; behind them stands the mark, which has none."""
    members = library.state
    if library.revision > 1 and members:
        mark, members = members[-1], members[:-1]
        form = Argument(mark.name, mark.dtype, mark.shape)
        has_names = mark.key or mark.owner or mark.entry
        _require(form == LAYOUT and not has_names, "the last member of the state", mark.name)
    keys = [member.key for member in members]
    _require(all(keys), "a key", keys)
    _no_twice(keys, "keys")
    owned = [(member.owner, member.entry) for member in members]
    _no_twice(owned, "entries")


def _check_sizes(library: Library) -> None:
    """Sizes are of the dimensions that calls of the function tell."""
    for function in library.functions:
        names = [name for name, *_ in function.dims]
        shapes = [argument.shape for argument in (*function.arguments, *function.results)]
        sizes = [function.workspace_bytes, function.parallel_workspace_bytes]
        sizes += [size for _, size, _ in function.requirements]
        sizes += [size for shape in shapes for size in shape]
        told = {name for size in sizes if isinstance(size, Size) for name in size.names}
        _require(told <= {*names}, f"{function.name}: a size of", sorted(told - {*names}))
        needed = len(names) + len(function.requirements) + 1 if names else 0
        _require(len(function.checks) >= needed, f"{function.name}.checks", len(function.checks))


def _check_trees(trees: list[Tree], leaves: int, where: str) -> None:
    """Nests of the kinds there are, in which each leaf stands once."""
    found: set[int] = set()
    pending = [(tree, 0) for tree in trees]
    while pending:
        tree, depth = pending.pop()
        if type(tree) is int:
            _require(tree not in found and tree in range(leaves), where, tree)
            found.add(tree)
        elif tree != ["none"]:
            _require(depth < MOST_LEVELS, where, "a nest of too many levels")
            pending += [(child, depth + 1) for child in _subtrees(tree, where)]
    _require(len(found) == leaves, where, f"{len(found)} of {leaves} leaves")


def _subtrees(tree: Tree, where: str) -> list[Tree]:
    _require(type(tree) is list and len(tree) == 2 and type(tree[1]) is list, where, tree)
    kind, children = tree
    _require(all(type(pair) is list and len(pair) == 2 for pair in children), where, children)
    keys = [key for key, _ in children]
    if kind in ("list", "tuple"):
        _require(keys == list(range(len(keys))) and bool not in map(type, keys), where, keys)
    else:
        allowed = {"dict": (str, int), "fields": (str,)}.get(kind if type(kind) is str else "", ())
        _require(bool(allowed), where, kind)
        _require(all(type(key) in allowed for key in keys), where, keys)
        _no_twice(keys, where)
    return [child for _, child in children]


# ------------------------------------------------------------------------- typed readers

_MOST_BYTES: Final = 1 << 47
"""More than an address space has."""
_MOST_AXES: Final = 64
"""NumPy's limit."""
_MOST_REVISIONS: Final = 1 << 16
_SHA256: Final = re.compile(r"[0-9a-f]{64}")


def _object(value: Any, where: str) -> dict[str, Any]:
    _require(type(value) is dict, where, value)
    found: dict[str, Any] = value
    return found


def _fields(data: dict[str, Any], where: str, kind: type) -> dict[str, Any]:
    """The object, which has the fields of that dataclass, all and no others."""
    names = {field.name for field in fields(kind)}
    _require(data.keys() == names, where, sorted(data.keys() ^ names))
    return data


def _items(value: Any, where: str, read: Callable[[Any, str], _Read]) -> tuple[_Read, ...]:
    _require(type(value) is list, where, value)
    return tuple(read(item, f"{where}[{i}]") for i, item in enumerate(value))


def _text(value: Any, where: str) -> str:
    _require(type(value) is str, where, value)
    # A half of a pair of UTF-16 is no character, and a text in C ends at NUL.
    _require(not any("\ud800" <= c <= "\udfff" or c == "\0" for c in value), where, value)
    return str(value)


def _number(value: Any, where: str) -> int:
    _require(type(value) is int and 0 <= value <= _MOST_BYTES, where, value)
    return int(value)


def _no_twice(items: Sequence[Any], where: str) -> None:
    _require(len(set(items)) == len(items), where, list(items))


def _require(fits: bool, where: str, value: Any) -> None:
    if not fits:
        raise _damaged(f"{where} is not right: {_short(value)}")


def _short(value: Any) -> str:
    return value[:200] if isinstance(value, str) else reprlib.repr(value)


def _damaged(what: str) -> LoadError:
    return LoadError(f"the description inside the library is damaged: {what[:300]}")
