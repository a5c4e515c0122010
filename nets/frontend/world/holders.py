"""Holders: the mutable objects that hold what a function reaches, each read and written one way.

A holder of the world is a dict, a list, a cell, the slots of an object, … with what it held when
it was first looked at (``before``): values by key. ``now`` reads it again, ``put`` and ``remove``
change single places, ``refill`` everything at once.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Collection, Mapping
from types import CellType
from typing import Any, Final


class _Missing:
    """Stands for what a place without a value holds."""

    def __repr__(self) -> str:
        return "nothing"

    def __reduce__(self) -> str:
        return "MISSING"


MISSING: Final = _Missing()

Contents = dict[Any, Any]
"""Values by key; the key of a list is a position, of a cell "cell_contents"."""


def same_keys(one: Collection[object], other: Collection[object]) -> bool:
    """Are these the same keys in the same order? Tensors are compared by identity."""
    if len(one) != len(other):
        return False
    pairs = zip(one, other, strict=True)
    return all(a is b or (type(a) is type(b) and hash(a) == hash(b) and a == b) for a, b in pairs)


class Holder:
    """One mutable object, of which some places, or all, may be read by the function."""

    __slots__ = ("before", "is_whole", "read", "target")

    def __init__(self, target: Any, is_whole: bool) -> None:
        self.target = target
        self.is_whole = is_whole
        """Whether the function may see which keys there are, and in which order."""
        self.read: set[Any] = set()
        """Keys whose values the function may read."""
        self.before = self.now()

    def now(self) -> Contents:
        """What the holder holds."""
        raise NotImplementedError

    def put(self, key: object, value: object) -> None:
        """Let a place hold another value."""
        raise NotImplementedError

    def remove(self, key: object) -> None:
        """Let a place hold nothing."""
        raise NotImplementedError

    def refill(self, contents: Contents) -> None:
        """Let the holder hold just this."""
        now = self.now()
        for key in now.keys() - contents.keys():
            self.remove(key)
        for key, value in contents.items():
            if now.get(key, MISSING) is not value:
                self.put(key, value)

    def place(self, key: object) -> str:
        """A place as a user would write it, for messages."""
        return f"[{key!r}]"


class Items(Holder):
    """The items of a dict."""

    __slots__ = ("kind",)

    def __init__(self, target: dict[Any, object]) -> None:
        # Not the methods of a class of the user's; an OrderedDict keeps an order of its own.
        self.kind = OrderedDict if isinstance(target, OrderedDict) else dict
        super().__init__(target, True)

    def now(self) -> Contents:
        kind, target = self.kind, self.target
        if kind is dict:
            return dict(target)
        return {key: kind.__getitem__(target, key) for key in kind.__iter__(target)}

    def put(self, key: object, value: object) -> None:
        self.kind.__setitem__(self.target, key, value)

    def remove(self, key: object) -> None:
        self.kind.__delitem__(self.target, key)

    def refill(self, contents: Contents) -> None:
        keys = list(self.kind.__iter__(self.target))
        if keys != list(contents):
            for key in keys:
                self.remove(key)
        super().refill(contents)


class Attributes(Items):
    """The attributes of an object: the items of its ``__dict__``."""

    __slots__ = ("owner",)

    def __init__(self, target: dict[str, object], owner: type) -> None:
        self.owner = owner
        super().__init__(target)

    def place(self, key: object) -> str:
        return f"{self.owner.__name__}.{key}"


class Namespace(Holder):
    """Names of a Python module, or among the globals of functions: those the code says."""

    __slots__ = ()

    def __init__(self, target: dict[str, object]) -> None:
        super().__init__(target, False)

    def now(self) -> Contents:
        return {key: self.target.get(key, MISSING) for key in self.read}

    def add(self, name: str) -> object:
        """The value of a name that is read from now on."""
        self.read.add(name)
        return self.before.setdefault(name, self.target.get(name, MISSING))

    def put(self, key: object, value: object) -> None:
        if value is MISSING:
            self.target.pop(key, None)
        else:
            self.target[key] = value

    def remove(self, key: object) -> None:
        del self.target[key]

    def place(self, key: object) -> str:
        return str(key)


class Sequence(Holder):
    """The items of a list or a deque."""

    __slots__ = ()

    def now(self) -> Contents:
        return dict(enumerate(self.target))

    def put(self, key: object, value: object) -> None:
        if key == len(self.target):
            self.target.append(value)
        else:
            self.target[key] = value

    def refill(self, contents: Contents) -> None:
        values = list(contents.values())
        if isinstance(self.target, deque):
            self.target.clear()
            self.target.extend(values)
        else:
            list.__setitem__(self.target, slice(None), values)


class Members(Holder):
    """The members of a set."""

    __slots__ = ()

    def now(self) -> Contents:
        return {x: x for x in self.target}

    def refill(self, contents: Contents) -> None:
        self.target.clear()
        self.target.update(contents)


class Cell(Holder):
    """The variable that a function shares with the one around it."""

    __slots__ = ("name",)

    def __init__(self, target: CellType, name: str) -> None:
        self.name = name
        super().__init__(target, False)
        self.read.add("cell_contents")

    def now(self) -> Contents:
        try:
            return {"cell_contents": self.target.cell_contents}
        except ValueError:  # not bound yet
            return {"cell_contents": MISSING}

    def put(self, key: object, value: object) -> None:
        if value is MISSING:
            del self.target.cell_contents
        else:
            self.target.cell_contents = value

    def remove(self, key: object) -> None:
        del self.target.cell_contents

    def place(self, key: object) -> str:
        return self.name


class Slots(Holder):
    """The attributes of an object whose class has ``__slots__``."""

    __slots__ = ("members",)

    def __init__(self, target: object, members: Mapping[str, Any]) -> None:
        self.members = members
        super().__init__(target, False)

    def now(self) -> Contents:
        return {name: self.get(name) for name in self.members}

    def get(self, key: str) -> object:
        """The value of a slot."""
        try:
            return self.members[key].__get__(self.target)
        except AttributeError:
            return MISSING

    def put(self, key: Any, value: object) -> None:
        if value is MISSING:
            self.members[key].__delete__(self.target)
        else:
            self.members[key].__set__(self.target, value)

    def remove(self, key: Any) -> None:
        self.members[key].__delete__(self.target)

    def place(self, key: object) -> str:
        return f"{type(self.target).__name__}.{key}"


class ClassAttributes(Holder):
    """Attributes of a class: those the code says."""

    __slots__ = ()

    def __init__(self, target: type) -> None:
        super().__init__(target, False)

    def now(self) -> Contents:
        return {key: self.get(key) for key in self.read}

    def get(self, key: str) -> object:
        """The value of an attribute of the class itself."""
        return vars(self.target).get(key, MISSING)

    def add(self, name: str) -> object:
        """The value of an attribute that is read from now on."""
        self.read.add(name)
        return self.before.setdefault(name, self.get(name))

    def put(self, key: Any, value: object) -> None:
        if value is MISSING:
            type.__delattr__(self.target, key)
        else:
            type.__setattr__(self.target, key, value)

    def remove(self, key: Any) -> None:
        type.__delattr__(self.target, key)

    def place(self, key: object) -> str:
        return f"{self.target.__name__}.{key}"
