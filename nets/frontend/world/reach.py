"""Reach: what a function can get at by the names in its code, walked before a trace.

The walk begins at the function and goes by the names its code says: cells and globals, attributes
of objects and classes, items of containers; and through the functions it meets, whose code may run
as well. What the names leave open is taken in: the reach is an upper bound of what the function
reads and changes, but for what comes from files, clocks and the like.

Code of nets itself has no state but in its layers, optimisers and generators, whose classes are
walked like the user's. Code of other libraries is not walked; attributes of their objects are.
"""

from __future__ import annotations

import functools
import sys
import weakref
from collections import deque
from collections.abc import Callable, Iterable
from functools import lru_cache
from types import (
    BuiltinFunctionType,
    CodeType,
    FunctionType,
    MemberDescriptorType,
    MethodType,
    ModuleType,
)
from typing import Any, Final

import numpy as np

from nets.frontend.tensor.tensor import Tensor
from nets.frontend.tensor.views import View
from nets.frontend.world.holders import (
    Attributes,
    Cell,
    ClassAttributes,
    Holder,
    Items,
    Members,
    Namespace,
    Sequence,
    Slots,
)
from nets.frontend.world.names import names_of
from nets.frontend.world.sources import is_source

_LIMIT: Final = 200_000
"""Objects visited at most."""

PLAIN: Final = (bool, int, float, complex, str, bytes, type(None), np.generic, np.dtype)
"""Values without parts and without identity: two equal ones of one class mean the same."""

_PLAIN_TYPES: Final = frozenset({bool, int, float, complex, str, bytes, type(None)})
_UNUSED: Final = frozenset(
    {
        "__init__", "__new__", "__post_init__", "__init_subclass__", "__class_getitem__",
        "__repr__", "__str__", "__reduce__", "__reduce_ex__", "__getstate__", "__setstate__",
        "__del__", "__doc__", "__module__", "__qualname__", "__annotations__", "__dict__",
        "__weakref__", "__slots__", "__match_args__", "__dataclass_fields__", "__copy__",
        "__dataclass_params__", "__deepcopy__", "__static_attributes__", "__firstlineno__",
    }
)  # fmt: skip
"""Special names that code does not call on an object it has by an operator or statement."""

_WALKED: Final = frozenset({"nn", "optim", "data", "datasets", "random", "solver"})
"""Rooms of nets whose objects have a state that users change."""

_KNOWN_STATE: Final = frozenset({"types", "argparse", "collections", "enum", "dataclasses"})
"""Modules of the standard library whose classes only hold what users put in."""


@lru_cache(maxsize=4096)
def whose(module: str) -> str:
    """Of which kind a module is: "user", "layers" of nets, "foreign", or "opaque"."""
    top, _, rest = module.partition(".")
    if top == "nets":
        return "layers" if rest.partition(".")[0] in _WALKED else "opaque"
    if top in ("numpy", "builtins", "llvmlite", "cffi"):
        return "opaque"
    if top in sys.stdlib_module_names and top != "__main__":
        return "foreign" if top in _KNOWN_STATE else "opaque"
    path = getattr(sys.modules.get(module), "__file__", None) or ""
    return "foreign" if "site-packages" in path or "dist-packages" in path else "user"


class Reach:
    """All that a function can get at: holders, NumPy arrays, code."""

    def __init__(self, roots: Iterable[object]) -> None:
        self.holders: list[Holder] = []
        self.arrays: dict[int, Any] = {}
        """NumPy arrays by identity."""
        self.codes: dict[int, CodeType] = {}
        self.functions: list[tuple[FunctionType, object]] = []
        """The user's functions, and what they are made of."""
        self.sources: list[object] = []
        """Random generators and iterators."""
        self.instances: list[tuple[weakref.ref[Any], type]] = []
        """Objects of the user's classes, and those."""
        self.known: set[int] = set()
        """Identities of all objects that were there before the trace."""
        self.within: dict[int, list[int]] = {}
        """For tensors the identities of what holds them for good: tuples; 0 for others."""
        self._names: dict[int, set[str]] = {}
        self._set: set[str] = set()
        self._attributes: set[str] = set()
        self._methods: set[str] = set()
        self.is_dynamic = False
        """Whether the code may look up attributes whose names it does not say."""
        self._kept: list[object] = []  # so that identities stay theirs
        self._pending: list[object] = []
        self._objects: list[Attributes | Slots] = []
        self._classes: dict[type, ClassAttributes] = {}
        self._called: set[type] = set()
        self._spaces: dict[int, Namespace] = {}
        self._modules: list[Namespace] = []
        self._walked: dict[str, bool] = {}
        self._home = ""
        for root in roots:
            self._home = self._home or (getattr(root, "__module__", None) or "").partition(".")[0]
            self._see(root)
        self._walk()

    # ---------------------------------------------------------------------- the walk

    def _walk(self) -> None:
        size = -1
        while size != (size := self._size()):
            while self._pending:
                x = self._pending.pop()
                kind: object = type(x)  # which mypy does not take for hashable by itself
                _visitor(kind)(self, x)
            self._read_attributes()

    def _size(self) -> int:
        """Grows as long as the walk finds anything."""
        said = (self._attributes, self._methods, self._set)
        return len(self._kept) + sum(map(len, said)) + self.is_dynamic

    def _see(self, x: object, name: str = "") -> None:
        """Let the walk come to an object, which was found by a name."""
        if type(x) in _PLAIN_TYPES:
            return
        if type(x) is list or type(x) is deque:
            self._names.setdefault(id(x), set()).add(name)
        if id(x) in self.known or len(self._kept) >= _LIMIT:
            return
        self.known.add(id(x))
        self._kept.append(x)
        self._pending.append(x)

    def _see_all(self, found: Iterable[object]) -> None:
        for x in found:
            self._see(x)

    def names_of(self, container: object) -> set[str]:
        """The names a list is found by; none where it is found otherwise as well."""
        names = self._names.get(id(container), set())
        return set() if "" in names else names

    def _see_for_good(self, found: Iterable[object], holder: int = 0) -> None:
        """Come to objects whose places nobody can give to others."""
        for x in found:
            if isinstance(x, Tensor):
                self.within.setdefault(id(x), []).append(holder)
            self._see(x)

    def _visit_nothing(self, x: object) -> None:
        pass

    def _visit_method(self, x: MethodType) -> None:
        self._see_all((x.__func__, x.__self__))

    def _visit_view(self, x: View) -> None:
        self._see(x.root)

    def _visit_builtin(self, x: BuiltinFunctionType) -> None:
        if isinstance(x.__self__, (list, dict, set, deque)):  # seen = history.append
            self._see(x.__self__)

    def _visit_parts(self, x: Iterable[object]) -> None:
        self._see_for_good(x, id(x))
        self._visit_object(x)

    def _visit_dict(self, x: dict[object, object]) -> None:
        self._hold(Items(x))
        self._see_for_good(k for k in dict.__iter__(x) if type(k) not in _PLAIN_TYPES)
        self._visit_object(x)

    def _visit_sequence(self, x: object) -> None:
        self._hold(Sequence(x, True))
        self._visit_object(x)

    def _visit_set(self, x: set[object]) -> None:
        self._hold(Members(x, True))

    def _visit_array(self, x: np.ndarray[Any, Any]) -> None:
        self.arrays[id(x)] = x

    def _visit_partial(self, x: functools.partial[object]) -> None:
        self._see_for_good((x.func, *x.args, *x.keywords.values()))

    def _visit_descriptor(self, x: Any) -> None:
        self._see(x.__func__)

    def _visit_property(self, x: property) -> None:
        self._see_all(f for f in (x.fget, x.fset, x.fdel) if f is not None)

    def _visit_reference(self, x: weakref.ref[Any]) -> None:
        self._see(x())

    def _visit_type(self, x: type) -> None:
        self._visit_class(x, is_called=True)

    def _visit_any(self, x: Any) -> None:
        if "__wrapped__" in getattr(x, "__dict__", ()):
            self._see(x.__wrapped__)
        else:
            self._visit_object(x)

    def _hold(self, holder: Holder) -> None:
        """Take a holder in of which everything may be read."""
        holder.read.update(holder.before)
        self.holders.append(holder)
        self._see_all(x for x in holder.before.values() if type(x) not in _PLAIN_TYPES)

    # --------------------------------------------------------------- functions and modules

    def _is_walked(self, module: Any) -> bool:
        """Is code of that module followed?"""
        found = self._walked.get(module) if isinstance(module, str) else True
        if found is None:
            is_home = module.partition(".")[0] == self._home != "nets"
            found = self._walked[module] = is_home or whose(module) in ("user", "layers")
        return found

    def _visit_function(self, function: FunctionType) -> None:
        if not self._is_walked(function.__module__):
            return
        code = function.__code__
        for name, cell in zip(code.co_freevars, function.__closure__ or (), strict=True):
            if id(cell) not in self.known:
                self.known.add(id(cell))
                self._kept.append(cell)
                holder = Cell(cell, name)
                self.holders.append(holder)
                self._see(holder.before["cell_contents"], name)
        if whose(function.__module__ or "") != "layers":
            self.functions.append((function, code_of(function)))
        self._see_for_good(function.__defaults__ or ())
        if function.__kwdefaults__:
            self._see(function.__kwdefaults__)
        if function.__dict__:
            self._add_object(Attributes(function.__dict__, type(function)), is_all=False)
        self._include(code, function.__globals__)

    def _include(self, code: CodeType, names: dict[str, object]) -> None:
        """The code may run with these globals."""
        if id(code) in self.codes:
            return
        self.codes[id(code)] = code
        self._kept.append(code)
        said = names_of(code)
        self._attributes |= said.attributes
        self._methods |= said.methods
        if whose(str(names.get("__name__", ""))) == "layers":
            self._attributes |= said.texts  # layers say by texts what they look up by getattr
        else:
            self.is_dynamic |= said.dynamic
        space = self._space(names)
        self._set |= said.set
        for name in said.globals:
            if name in names or name in said.set:
                self._see(space.add(name), name)
        self._see_all(sys.modules[name] for name in said.modules if name in sys.modules)

    def _space(self, names: dict[str, object]) -> Namespace:
        found = self._spaces.get(id(names))
        if found is None:
            found = self._spaces[id(names)] = Namespace(names)
            self.holders.append(found)
        return found

    def _visit_module(self, module: ModuleType) -> None:
        if module.__name__ == "nets" or self._is_walked(module.__name__):
            self._modules.append(self._space(vars(module)))

    # -------------------------------------------------------------- objects and classes

    def _visit_object(self, x: object) -> None:
        kind: Any = type(x)
        module = getattr(kind, "__module__", "")
        owner = "user" if self._is_walked(module) else whose(module)
        if is_source(x):
            self.sources.append(x)
            return
        if owner == "opaque":
            return
        held = getattr(x, "__dict__", None)
        if isinstance(held, dict):
            holder = Attributes(held, kind)
            self._add_object(holder, is_all=owner == "foreign")
            if _has_parts(kind):
                parts = (k for k, v in holder.before.items() if _has_parts(v.__class__))
                self._hold_values(holder, parts)
        slots = _slots_of(kind)
        if slots:
            self._add_object(Slots(x, slots), is_all=owner == "foreign")
        if owner == "user":
            if whose(module) != "layers" and kind.__weakrefoffset__:
                self.instances.append((weakref.ref(x), kind))
            if kind not in self._classes:
                self._visit_class(kind, is_called=False)

    def _add_object(self, holder: Attributes | Slots, is_all: bool) -> None:
        self.holders.append(holder)
        self._kept.append(holder)
        if is_all:
            self._hold_values(holder, holder.before)
        else:
            self._objects.append(holder)

    def _hold_values(self, holder: Holder, names: Iterable[str]) -> None:
        for name in names:
            if name not in holder.read:
                holder.read.add(name)
                self._see(holder.before.get(name), name)

    def _visit_class(self, kind: type, is_called: bool) -> None:
        for base in kind.__mro__:
            if not self._is_walked(base.__module__) or base in self._classes:
                continue
            holder = self._classes[base] = ClassAttributes(base)
            self.holders.append(holder)
            self._kept.append(holder)
        if is_called and kind in self._classes:
            self._called.add(kind)
            made = (getattr(kind, name, None) for name in ("__init__", "__new__", "__post_init__"))
            self._see_all(made)

    def _read_attributes(self) -> None:
        """Take in what the names said so far lead to."""
        names = self._attributes | self._methods
        for holder in self._objects:
            read = holder.before if self.is_dynamic else names & holder.before.keys()
            self._hold_values(holder, read)
        for kind, attributes in list(self._classes.items()):
            for name in [name for name in vars(kind) if name not in attributes.read]:
                is_special = name.startswith("__") and name.endswith("__")
                if name not in _UNUSED if is_special else self.is_dynamic or name in names:
                    self._see(attributes.add(name), name)
        for kind in self._called:
            for name in self._set - self._classes[kind].read:
                self._classes[kind].add(name)
        for space in self._modules:
            for name in (names & space.target.keys() | self._set) - space.read:
                self._see(space.add(name), name)

    def owner(self, array: object) -> object:
        """The array of the world whose memory this one is; None for another."""
        while isinstance(array, np.ndarray):
            if id(array) in self.arrays:
                return array
            array = array.base
        return None

    def says(self, name: str) -> bool:
        """Does the code look up an attribute of that name?"""
        return name in self._attributes or name in self._methods

    def may_read(self, name: str) -> bool:
        """May the code use the value of such an attribute other than by calling it?"""
        return self.is_dynamic or name in self._attributes


def code_of(function: FunctionType) -> tuple[object, object, object]:
    """What a function is made of, besides names."""
    return function.__code__, function.__defaults__, function.__kwdefaults__


_VISITORS: Final[tuple[tuple[Any, Callable[[Reach, Any], None]], ...]] = (
    (View, Reach._visit_view),
    ((Tensor, MemberDescriptorType, np.ufunc), Reach._visit_nothing),
    (BuiltinFunctionType, Reach._visit_builtin),
    (PLAIN, Reach._visit_nothing),
    (FunctionType, Reach._visit_function),
    (MethodType, Reach._visit_method),
    ((tuple, frozenset), Reach._visit_parts),
    (dict, Reach._visit_dict),
    ((list, deque), Reach._visit_sequence),
    (set, Reach._visit_set),
    (np.ndarray, Reach._visit_array),
    (functools.partial, Reach._visit_partial),
    ((staticmethod, classmethod), Reach._visit_descriptor),
    (property, Reach._visit_property),
    (weakref.ref, Reach._visit_reference),
    (ModuleType, Reach._visit_module),
    (type, Reach._visit_type),
)


@lru_cache(maxsize=4096)
def _visitor(kind: type) -> Callable[[Reach, Any], None]:
    """How the walk goes on from an object of that class."""
    for kinds, visitor in _VISITORS:
        if issubclass(kind, kinds):
            return visitor
    return Reach._visit_any


@lru_cache(maxsize=2048)
def _has_parts(kind: type) -> bool:
    """Is it a layer or a tensor? Layers look for these among all their attributes."""
    return issubclass(kind, Tensor) or is_of_layers(kind)


def is_of_layers(kind: type) -> bool:
    """Is a class from ``nets.nn``, or made from one that is: a layer, or a Parameter?"""
    return any(base.__module__.startswith("nets.nn.") for base in kind.__mro__)


@lru_cache(maxsize=2048)
def _slots_of(kind: type) -> dict[str, object]:
    """The slots of a class and its bases, by name."""
    return {
        name: member
        for base in reversed(kind.__mro__)
        for name, member in vars(base).items()
        if isinstance(member, MemberDescriptorType) and name not in ("__dict__", "__weakref__")
    }
