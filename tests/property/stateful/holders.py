"""Holders: every way in which Python code keeps a value where a later call finds it again.

A table of texts: how a holder ``{n}`` is made with the value ``{v}`` in it, how the value is read,
how another value ``{e}`` is put there, and what is looked at after each call.
"""

from __future__ import annotations

from dataclasses import dataclass
from textwrap import dedent


@dataclass(frozen=True)
class Holder:
    made: str
    read: str
    write: str = ""
    """Left out: an assignment to what ``read`` says."""
    watched: str = "{n}"
    renewed: str = ""
    """Left out: the same as ``write``."""
    weight: float = 1.0
    is_name: bool = False

    @property
    def is_target(self) -> bool:
        """Whether ``read`` can stand left of an assignment, a plain or an augmented one."""
        return not self.write


def _lines(text: str) -> str:
    return dedent(text).strip()


_CELL = """
def make_{n}(held):
    def get():
        return held
    def put(value):
        nonlocal held
        held = value
    return get, put
get_{n}, put_{n} = make_{n}({v})
"""

_PROPERTY = """
class Own_{n}:
    def __init__(self, value):
        self._h = value
    @property
    def h(self):
        return self._h
    @h.setter
    def h(self, value):
        self._h = value
{n} = Own_{n}({v})
"""

_DYNAMIC = """
class Own_{n}:
    def __init__(self):
        object.__setattr__(self, "kept", {{}})
    def __getattr__(self, name):
        if name.startswith("__"):
            raise AttributeError(name)
        return self.kept[name]
    def __setattr__(self, name, value):
        self.kept[name] = value
{n} = Own_{n}()
{n}.h = {v}
"""

_SLOTS = """
class Own_{n}:
    __slots__ = ("h", "other")
{n} = Own_{n}()
{n}.h = {v}
"""

_NAMESPACE = """
{n} = types.ModuleType("{n}")
exec("def put(value):\\n    global h\\n    h = value\\n", {n}.__dict__)
{n}.h = {v}
"""

_MODULE = """
class Own_{n}(nn.Module):
    def __init__(self):
        super().__init__()
        {line}
{n} = Own_{n}()
"""

_DEFAULT = """
def {n}(value=None, *, kept=[{v}]):
    if value is not None:
        kept[0] = value
    return kept[0]
"""

LAZY = "defaultdict that fills itself"
"""What it holds is made by the first call that asks; so it takes no parameters."""

HOLDERS = {
    name: Holder(_lines(made), *rest, **options)  # type: ignore[arg-type]
    for name, made, rest, options in [
        ("global", "{n} = {v}", ("{n}",), {"is_name": True, "weight": 2.0}),
        ("cell", _CELL, ("get_{n}()", "put_{n}({e})", "get_{n}()"), {}),
        ("list", "{n} = [0.5, {v}]", ("{n}[1]",), {"weight": 2.0}),
        ("list from the end", "{n} = [{v}, {v}]", ("{n}[-1]",), {}),
        ("list subclass", "class Own_{n}(list): ...\n{n} = Own_{n}([{v}])", ("{n}[0]",), {}),
        ("dict", '{n} = {{"h": {v}, "other": 2.0}}', ('{n}["h"]',), {"weight": 2.0}),
        ("dict subclass", "class Own_{n}(dict): ...\n{n} = Own_{n}(h={v})", ('{n}["h"]',), {}),
        ("dict of numbers as keys", "{n} = {{0: {v}, (1, 2): 2.0}}", ("{n}[0]",), {}),
        ("OrderedDict", "{n} = collections.OrderedDict(a=1.0, h={v})", ('{n}["h"]',), {}),
        (
            "defaultdict",
            '{n} = collections.defaultdict(lambda: 0.5)\n{n}["h"] = {v}',
            ('{n}["h"]',),
            {},
        ),
        (
            LAZY,
            "{n} = collections.defaultdict(lambda: {v})",
            ('{n}["h"]',),
            {},
        ),
        ("deque", "{n} = collections.deque([{v}, 1.0])", ("{n}[0]",), {}),
        ("deque with maxlen", "{n} = collections.deque([{v}], maxlen=2)", ("{n}[-1]",), {}),
        ("tuple", "{n} = ({v}, 1.0)", ("{n}[0]", "{n} = ({e}, {n}[1])"), {"is_name": True}),
        (
            "namedtuple",
            'Own_{n} = collections.namedtuple("Own_{n}", "h other")\n{n} = Own_{n}({v}, 1.0)',
            ("{n}.h", "{n} = {n}._replace(h={e})"),
            {"is_name": True},
        ),
        ("attribute", "class Own_{n}: ...\n{n} = Own_{n}()\n{n}.h = {v}", ("{n}.h",), {}),
        ("SimpleNamespace", "{n} = types.SimpleNamespace(h={v}, other=None)", ("{n}.h",), {}),
        ("slots", _SLOTS, ("{n}.h",), {"weight": 2.0}),
        ("class attribute", "class {n}:\n    h = {v}", ("{n}.h",), {"weight": 2.0}),
        (
            "base class attribute",
            "class Base_{n}:\n    h = {v}\nclass {n}(Base_{n}): ...",
            ("{n}.h", "Base_{n}.h = {e}", "({n}, Base_{n})"),
            {},
        ),
        (
            "shadowed class attribute",
            "class Own_{n}:\n    h = {v}\n{n} = Own_{n}()",
            ("{n}.h", "", "({n}, Own_{n})"),
            {"renewed": "{n}.h = Own_{n}.h = {e}"},
        ),
        (
            "class attribute by instance",
            "class Own_{n}:\n    h = {v}\n{n} = Own_{n}()",
            ("{n}.h", "type({n}).h = {e}", "({n}, Own_{n})"),
            {},
        ),
        (
            "dataclass",
            "@dataclasses.dataclass\nclass Own_{n}:\n    h: typing.Any\n    other: float = 1.0\n"
            "{n} = Own_{n}({v})",
            ("{n}.h",),
            {},
        ),
        (
            "frozen dataclass",
            "@dataclasses.dataclass(frozen=True)\nclass Own_{n}:\n    h: typing.Any\n"
            "{n} = Own_{n}({v})",
            ("{n}.h", "{n} = dataclasses.replace({n}, h={e})"),
            {"is_name": True},
        ),
        ("property", _PROPERTY, ("{n}.h",), {}),
        ("dynamic attribute", _DYNAMIC, ("{n}.h",), {}),
        ("Python module", _NAMESPACE, ("{n}.h",), {}),
        ("name in a Python module", _NAMESPACE, ("{n}.h", "{n}.put({e})"), {}),
        ("Module attribute", _MODULE.replace("{line}", "self.h = {v}"), ("{n}.h",), {}),
        (
            "Module dict attribute",
            _MODULE.replace("{line}", 'self.table = {{"h": {v}}}'),
            ('{n}.table["h"]',),
            {},
        ),
        ("function attribute", "def {n}(): ...\n{n}.h = {v}", ("{n}.h",), {}),
        ("default argument", _DEFAULT, ("{n}()", "{n}({e})", "{n}()"), {}),
        ("nested containers", '{n} = {{"a": [1.0, ({v}, [{v}])]}}', ('{n}["a"][1][1][0]',), {}),
        ("list in an object", "{n} = types.SimpleNamespace(items=[{v}])", ("{n}.items[0]",), {}),
        (
            "nested objects",
            "class Own_{n}: ...\n{n} = Own_{n}()\n{n}.inner = Own_{n}()\n{n}.inner.h = {v}",
            ("{n}.inner.h",),
            {},
        ),
        (
            "object in containers",
            '{n} = [{{"o": types.SimpleNamespace(h={v})}}]',
            ('{n}[0]["o"].h',),
            {},
        ),
    ]
}

BUFFER = Holder(_lines(_MODULE.replace("{line}", 'self.register_buffer("h", {v})')), "{n}.h")
"""For tensors only."""
