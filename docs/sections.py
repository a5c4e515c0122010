"""The parts of the documents that are made from the package itself, by name."""

from __future__ import annotations

import ast
import inspect
import operator
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import samples

import nets
import nets.frontend.tensor.functions as functions
import nets.ops
from nets import config, errors
from nets.backend.library.loader import LoadedLibrary
from nets.frontend.calls.lowered import Compiled, Lowered
from nets.frontend.tensor.operators import Operators
from nets.frontend.tensor.order import NAMES as _ORDER
from nets.frontend.tensor.words import NAMES as _WORDS
from nets.ir import printer, verifier
from nets.ops.definition.registry import REGISTRY, OpDef, Trait
from nets.passes import pipelines
from nets.passes.manager import find_pass

PACKAGE = Path(nets.__file__).parent
NAMES = {**_WORDS, **_ORDER}
"""Functions and other names of the array API, NumPy and PyTorch that are loaded when first used."""

FOLDED = ("backend/llvm/gemm", "backend/llvm/math", "frontend/tensor/functions")
"""Packages that the list of rooms shows as one line."""

BELOW = (
    *("distributed.simulated", "nn.functional", "nn.init", "nn.utils", "nn.utils.rnn"),
    *("nn.utils.parametrizations", "nn.utils.parametrize", "optim.swa_utils"),
)
"""Public modules below others; ``optim.lr_scheduler`` only has names of ``optim`` once more."""

FLOW = (
    *(".", "ir", "machine", "ops", "ops/definition", "ops/loop", "ops/tensor", "ops/pools"),
    *("ops/order", "ops/transcendental", "ops/linalg", "ops/orthogonal", "ops/collective"),
    *("passes", "passes/simplify", "passes/derivatives", "passes/spaces", "passes/fusion"),
    *("passes/distribution", "passes/lowering", "passes/loops"),
    *("backend", "backend/numpy", "backend/llvm", "backend/process", "backend/library"),
    *("compiler", "frontend", "frontend/tensor", "frontend/tensor/elementary"),
    *("frontend/tensor/words", "frontend/tensor/pytorch"),
    *("linalg", "frontend/world", "frontend/tracing"),
    *("frontend/calls", "frontend/derived", "frontend/library"),
    *("optimize", "distributed", "special", "nn", "optim", "data", "datasets"),
)
"""The packages from the bottom up."""


def environment() -> str:
    """The NETS_* variables."""
    return _table(
        ("variable", "default", "effect"),
        ((f"`{v.name}`", f"`{v.default}`" if v.default else "", v.help) for v in config.TABLE),
    )


def error_classes() -> str:
    """Every error, under the one it derives from."""
    found = [cls for _, cls in inspect.getmembers(errors, inspect.isclass)]
    found = [cls for cls in found if issubclass(cls, Exception) and cls.__module__ == "nets.errors"]
    found.sort(key=lambda cls: inspect.getsourcelines(cls)[1])
    rows = [(f"`{c.__name__}`", _bases(c), _first_sentence(inspect.getdoc(c))) for c in found]
    return _table(("class", "is also", "raised where"), rows)


def _bases(cls: type) -> str:
    return ", ".join(f"`{base.__name__}`" for base in cls.__bases__ if base is not Exception)


# ------------------------------------------------------------------------------------ rooms


def rooms() -> str:
    """Every module with the first sentence of its docstring."""
    packages = [path.parent for path in PACKAGE.rglob("__init__.py")]
    places = [p for p in packages if str(p.relative_to(PACKAGE)) not in FOLDED]
    places.sort(key=lambda place: (_layer(place), place))
    return "\n\n".join(_shown(place) for place in places)


def _shown(place: Path) -> str:
    """A package: what it is, where that is written, and its modules."""
    doc = ast.get_docstring(ast.parse((place / "__init__.py").read_text(encoding="utf-8")))
    told = f"{_first_sentence(doc)}\n\n" if doc and place != PACKAGE else ""
    return f"### {_name(place)}\n\n{told}{_room(place)}"


def _layer(place: Path) -> int:
    """Where the package stands in the flow; new ones come last."""
    name = str(place.relative_to(PACKAGE))
    return FLOW.index(name) if name in FLOW else len(FLOW)


def _name(place: Path) -> str:
    return f"{place.relative_to(PACKAGE.parent)}/"


def _room(place: Path) -> str:
    modules = [path for path in sorted(place.glob("*.py")) if path.stem != "__init__"]
    modules += [place / name / "__init__.py" for name in sorted(_folded(place))]
    rows = []
    for path in modules:
        doc = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))
        shown = path.parent if path.stem == "__init__" else path
        rows.append((f"`{shown.relative_to(place)}`", _first_sentence(doc)))
    return _table(("module", "what it is"), rows)


def _folded(place: Path) -> list[str]:
    return [p.name for name in FOLDED if (p := PACKAGE / name).parent == place]


# ------------------------------------------------------------------------------------ trust


def planted_faults() -> str:
    """The kinds of faults that ``tests/trust/planted.py`` plants, from the text of their lists."""
    texts = [
        (PACKAGE.parent / "tests/trust" / name).read_text(encoding="utf-8")
        for name in ("planted.py", "compiler_faults.py")
    ]
    nodes = [node for text in texts for node in ast.walk(ast.parse(text))]
    calls = [node for node in nodes if isinstance(node, ast.Call)]
    kinds: dict[str, list[str]] = {}
    for call in calls:
        if isinstance(call.func, ast.Name) and call.func.id == "Fault":
            kind, name, *_ = (ast.literal_eval(argument) for argument in call.args)
            kinds.setdefault(kind, []).append(name)
    rows = ((kind, str(len(names)), "; ".join(names)) for kind, names in kinds.items())
    return _table(("kind", "faults", "what goes wrong"), rows)


# ----------------------------------------------------------------------------------- passes


def passes() -> str:
    """The named pipelines, each pass with its contract."""
    rows = []
    for name in (*pipelines.OPTIMIZE, *pipelines.LOOPS):
        doc = inspect.getdoc(find_pass(name)) or ""
        requires, ensures = (_clause(doc, word) for word in ("Requires", "Ensures"))
        rows.append((f"`{name}`", _first_sentence(doc), requires, ensures))
    return _table(("pass", "what it does", "requires", "ensures"), rows)


def _clause(doc: str, word: str) -> str:
    found = re.search(rf"^{word}:\s*(.*?)(?=^\w+:|\Z|\n\n)", doc, re.MULTILINE | re.DOTALL)
    return _one_line(found[1]) if found else ""


def grammar() -> str:
    """The language of IR text, from the printer."""
    _, _, text = (printer.__doc__ or "").partition("(``*``")
    block, _, rest = text.partition("The types after")
    body = inspect.cleandoc("\n" + block.partition("::\n")[2])
    return f"```text\n{body}\n```\n\nThe types after{rest.replace('``', '`').rstrip()}"


def invariants() -> str:
    """What the verifier holds IR to."""
    return f"```text\n{(verifier.__doc__ or '').partition(chr(10) * 2)[2].rstrip()}\n```"


# ------------------------------------------------------------------------------------- ops


def tensor_ops() -> str:
    """The ops of the tensor dialect, by family."""
    return "\n\n".join(
        f"### {family}\n\n{_op_table(found)}"
        for family, found in _families(d for d in REGISTRY.values() if d.rules.evaluate)
    )


def loop_ops() -> str:
    """The ops of the loop dialect."""
    found = [d for d in REGISTRY.values() if d.name.startswith("loop.")]
    rows = ((f"`{d.name}`", _first_sentence(d.doc)) for d in found)
    return _table(("op", "meaning"), rows)


def _families(found: Iterator[OpDef]) -> list[tuple[str, list[OpDef]]]:
    families: dict[str, list[OpDef]] = {}
    for definition in found:
        families.setdefault(definition.module, []).append(definition)
    return sorted(families.items())


def _op_table(found: list[OpDef]) -> str:
    rows = ((f"`{_call(d)}`", _first_sentence(d.doc), _derivative(d), _exactness(d)) for d in found)
    return _table(("op", "meaning", "derivative", "native result"), rows)


def _call(definition: OpDef) -> str:
    attributes = ", ".join(definition.attribute_names)
    words = [
        definition.name,
        ", ".join(definition.operand_names),
        attributes and f"{{{attributes}}}",
    ]
    return " ".join(word for word in words if word)


def _derivative(definition: OpDef) -> str:
    reason = definition.derivative_reason
    if reason is not None:
        return f"none: {reason}"
    return definition.rules.derivative_decisions[0]


def _exactness(definition: OpDef) -> str:
    if definition.traits & Trait.EXACT:
        return "exact"
    return "exact for some dtypes" if definition.rules.exact else "within its bound"


# ------------------------------------------------------------------------------- reference


def tensor() -> str:
    """The class Tensor: its attributes and methods."""
    found = {**_members(Operators), **_members(nets.Tensor)}
    attributes = {n: m for n, m in found.items() if isinstance(m, property)}
    methods = {n: m for n, m in found.items() if n not in attributes}
    head = _entry("nets.Tensor", nets.Tensor)
    table = _table(
        ("attribute", "what it is"),
        ((f"`.{n}`", _first_sentence(m.__doc__)) for n, m in attributes.items()),
    )
    rows = (
        (f"`.{_signature(n, m)}`", _first_sentence(m.__doc__), samples.sample(f"Tensor.{n}"))
        for n, m in methods.items()
    )
    calls = _table(("method", "what it gives", "example"), rows)
    return f"{head}\n\n{table}\n\n{calls}"


def _members(cls: type) -> dict[str, Any]:
    return {name: member for name, member in vars(cls).items() if not name.startswith("_")}


def functions_by_theme() -> str:
    """Every function on tensors, by the module it stands in."""
    themes: dict[str, list[str]] = {}
    for name in _functions():
        function = getattr(nets, name)
        if function.__name__.rstrip("_") == name:
            themes.setdefault(inspect.unwrap(function).__module__, []).append(name)
    return "\n\n".join(_theme(module, names) for module, names in sorted(themes.items()))


def _functions() -> list[str]:
    """The names of functions on tensors."""
    return [*functions.__all__, *filter(_is_call, NAMES)]


def constants() -> str:
    """Dtypes, numbers and what describes them: names of the array API that are no functions."""
    rows = ((f"`nets.{word}`", f"`{getattr(nets, word)}`") for word in NAMES if not _is_call(word))
    return _table(("name", "value"), rows)


def _is_call(word: str) -> bool:
    return callable(getattr(nets, word))


def _theme(module: str, names: list[str]) -> str:
    source = inspect.getmodule(inspect.unwrap(getattr(nets, names[0])))
    assert isinstance(source, ModuleType)
    rows = (
        (f"`{_signature(n, getattr(nets, n))}`", _meaning(n), samples.sample(n))
        for n in sorted(names)
    )
    title = module.rpartition(".")[2].replace("_", " ").replace("dispatch", "conversion")
    head = "" if title == "conversion" else f"{_first_sentence(source.__doc__)}\n\n"
    return f"### {title}\n\n{head}{_table(('function', 'meaning', 'example'), rows)}"


def _meaning(name: str) -> str:
    function = getattr(nets, name)
    aliases = [a for a in _functions() if getattr(nets, a) is function and a != name]
    also = f" Also {', '.join(f'`{a}`' for a in aliases)}." if aliases else ""
    return _one_line(inspect.getdoc(function) or "") + also


def compiler() -> str:
    """Tracing, transforms, lowering: the public names without a chapter of their own."""
    elsewhere = {"Tensor", "export", "load", "errors", "__version__", *functions.__all__, *NAMES}
    public = {word: getattr(nets, word) for word in nets.__all__ if word not in elsewhere}
    entries = {word: thing for word, thing in public.items() if not inspect.ismodule(thing)}
    return "\n\n".join(_entry(f"nets.{word}", thing) for word, thing in entries.items())


def optimization() -> str:
    """The solvers, and what they give."""
    solvers = ("minimize", "least_squares", "root", "cg")
    results = ("OptimizeResult", "MinimizeResult", "LeastSquaresResult", "RootResult")
    entries = [_entry(f"nets.optimize.{word}", getattr(nets.optimize, word)) for word in solvers]
    fields = [_result(word, getattr(nets.optimize, word)) for word in results]
    return "\n\n".join([*entries, *fields])


def _result(name: str, cls: type) -> str:
    """A class of results: its own fields, of which the comments in its source tell."""
    lines = inspect.getsource(cls)
    found = re.findall(r'^    (\w+): Any(?: = None)?\n    """(.*?)"""', lines, re.M | re.S)
    rows = ((f"`{word}`", _one_line(doc)) for word, doc in found)
    head = _prose(inspect.getdoc(cls) or "")
    return f"### {name}\n\n{head}\n\n{_table(('field', 'what it is'), rows)}"


def libraries() -> str:
    """The public modules besides ``nets.errors``: their names, and what each is."""
    found = {word: getattr(nets, word) for word in nets.__all__ if word != "errors"}
    modules = {word: module for word, module in found.items() if inspect.ismodule(module)}
    for path in BELOW:
        modules[path] = operator.attrgetter(path)(nets)
    return "\n\n".join(_library(word, module) for word, module in sorted(modules.items()))


def _library(word: str, module: ModuleType) -> str:
    names = getattr(module, "__all__", None) or [
        name
        for name, thing in vars(module).items()
        if not name.startswith("_") and getattr(thing, "__module__", "") == module.__name__
    ]
    rows = (_library_row(f"{word}.{name}", getattr(module, name)) for name in names)
    head = "\n\n".join([_prose(inspect.getdoc(module) or ""), *_shared(module, names)])
    return f"### nets.{word}\n\n{head}\n\n{_table(('name', 'what it is', 'example'), rows)}"


def _shared(module: ModuleType, names: list[str]) -> Iterator[str]:
    """What the modules below, where the names come from, tell of all of theirs."""
    found = dict.fromkeys(getattr(getattr(module, name), "__module__", "") for name in names)
    for path in found:
        told = (sys.modules[path].__doc__ or "").partition("\n\n")[2] if path else ""
        if told and path.startswith(f"{module.__name__}."):
            yield f"*{path.rpartition('.')[2]}*: {_one_line(told)}"


def _library_row(path: str, thing: Any) -> tuple[str, str, str]:
    name = path.rpartition(".")[2]
    if inspect.ismodule(thing):
        return f"`{name}`", _first_sentence(inspect.getdoc(thing)), ""
    call = _signature(name, thing) if callable(thing) else name
    example = samples.sample(path) if path in samples.calls() else ""
    return f"`{call}`", _one_line(inspect.getdoc(thing) or ""), example


def lowered() -> str:
    """What ``f.lower(...)`` gives, and what that compiles to."""
    return f"{_class('Lowered', Lowered)}\n\n{_class('Compiled', Compiled)}"


def leaving() -> str:
    """export, load and the loaded library."""
    entries = [_entry(f"nets.{word}", getattr(nets, word)) for word in ("export", "load")]
    return "\n\n".join([*entries, _class("LoadedLibrary", LoadedLibrary)])


def _class(name: str, cls: type) -> str:
    rows = []
    for word, member in _members(cls).items():
        doc = getattr(member, "__doc__", None)
        if doc:
            call = word if not inspect.isfunction(member) else _signature(word, member)
            rows.append((f"`.{call}`", _one_line(inspect.cleandoc(doc))))
    table = f"\n\n{_table(('member', 'what it gives'), rows)}" if rows else ""
    return f"### {name}\n\n{_prose(inspect.getdoc(cls) or '')}{table}"


def _entry(name: str, thing: Any) -> str:
    signature = _signature(name.removeprefix("nets."), thing)
    doc, word = _prose(inspect.getdoc(thing) or ""), name.removeprefix("nets.")
    shown = f"\n\nExample: {samples.sample(word)}." if word in samples.calls() else ""
    return f"### {name}\n\n```text\nnets.{signature}\n```\n\n{doc}{shown}"


def _signature(name: str, thing: Any) -> str:
    """The call with its defaults, without types, which the prose tells."""
    found = inspect.signature(thing)
    parameters = [
        parameter.replace(annotation=inspect.Parameter.empty)
        for parameter in found.parameters.values()
        if parameter.name != "self"
    ]
    bare = inspect.Signature(parameters, return_annotation=inspect.Signature.empty)
    return f"{name}{bare}"


# ---------------------------------------------------------------------------------- Markdown


def _prose(doc: str) -> str:
    """A docstring as Markdown."""
    return doc.replace("``", "`")


def _one_line(doc: str) -> str:
    return " ".join(_prose(doc).split())


def _first_sentence(doc: str | None) -> str:
    text = _one_line((doc or "").strip().partition("\n\n")[0])
    found = re.match(r"(.*?\.)(?=\s[A-Z(`−]|\s*$)", text)
    return found[1] if found else text


def _table(head: tuple[str, ...], rows: Any) -> str:
    lines = [head, tuple("---" for _ in head), *rows]
    return "\n".join(f"| {' | '.join(_cell(cell) for cell in line)} |" for line in lines)


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


SECTIONS: dict[str, Callable[[], str]] = {
    function.__name__: function
    for function in (
        environment,
        error_classes,
        rooms,
        passes,
        grammar,
        invariants,
        tensor_ops,
        loop_ops,
        tensor,
        functions_by_theme,
        constants,
        compiler,
        optimization,
        libraries,
        lowered,
        leaving,
        planted_faults,
    )
}
"""What ``<!-- generated: NAME -->`` may name."""
