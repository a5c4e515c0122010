"""Kinds about containers: they grow, shrink and change their order, inside and outside."""

from __future__ import annotations

from tests.property.stateful.generator import Generator, Place, fill, kind


def _items(g: Generator) -> str:
    return ", ".join(g.new_tensor("v") for _ in range(g.rng.randrange(1, 4)))


def _held(g: Generator, text: str) -> Place:
    """A container in a holder."""
    place = g.hold("container", text)
    g.reset(place.renew(text))
    return place


def _several(g: Generator) -> Place:
    """A list or deque of tensors, in a holder or by itself."""
    made = ("[{}]", "[{}]", "collections.deque([{}])", "collections.deque([{}], maxlen=4)")
    return _held(g, g.pick(made, _items(g)))


def _table(g: Generator) -> Place:
    made = (
        '{"a": {0}, "b": {1}}',
        '{"b": {0}, "a": {1}}',
        "collections.OrderedDict(a={0}, b={1})",
        'collections.defaultdict(lambda: 0.5, {"a": {0}, "b": {1}})',
    )
    return _held(g, g.pick(made, g.new_tensor("v"), g.new_tensor("v")))


_LIST_CHANGES = (
    "{}.append({1})",
    "{}.append(0.5)",
    "{}.pop()",
    "{}.insert(0, {1})",
    "{}.extend([{1}, {1}])",
    "{}.reverse()",
    "{}[0] = {1}",
    "{}.clear()",
    "{0} += [{1}]",
    "del {}[0]",
)

_DICT_CHANGES = (
    '{}["c"] = {1}',
    '{}["a"] = {1}',
    '{}.pop("b", None)',
    '{0}["a"] = {0}.pop("a")',
    "{}.update(d={1}, e={1})",
    '{}.setdefault("c", {1})',
    "{}.clear()",
    '{}["a"] = 0.5',
    "{0}.update({**{0}})",
)


def _change(g: Generator, place: Place, changes: tuple[str, ...], tensor: str) -> str:
    options = [c for c in changes if place.holder.is_target or "+=" not in c]
    return g.pick(options, place.read, tensor)


def _safely(text: str) -> str:
    """Containers may be empty by then."""
    return f"try:\n    {text}\nexcept (IndexError, KeyError):\n    pass"


@kind("sum over a list", 2, exports=True)
def sum_over_a_list(g: Generator) -> None:
    place = _several(g)
    g.result(f"sum((x * t for t in {place.read}), x * 0)")
    for gap in g.gaps_in_order(2):
        g.outside(_safely(_change(g, place, _LIST_CHANGES, g.new_tensor("v"))), gap)


@kind("walk over a dict", 2, exports=True)
def walk_over_a_dict(g: Generator) -> None:
    """In its order, which matters."""
    place, local = _table(g), g.fresh("z")
    over = g.choice(
        ("for t in {}.values()", "for k, t in {}.items()", "for t in list({}.values())")
    )
    g.step(f"{local} = x\n{fill(over, place.read)}:\n    {local} = 0.5 * {local} + t")
    g.result(f"{local} * 1")
    for gap in g.gaps_in_order(2):
        g.outside(_safely(_change(g, place, _DICT_CHANGES, g.new_tensor("v"))), gap)


@kind("append in the step", 2)
def append_in_the_step(g: Generator) -> None:
    place = _several(g)
    tensor = g.choice((g.expression("v") + " * 1", "x * 0.5", "y"))
    change = g.choice(
        ("{}.append({1})", "{}.append(0.25)", "{}.extend([{1}])", "{}.insert(0, {1})")
    )
    g.step(_safely(fill(change, place.read, tensor)))
    if g.chance(0.5):
        g.result(f"nets.as_tensor({place.read}[-1]) * 1")
    if g.chance(0.4):
        g.outside(_safely(_change(g, place, _LIST_CHANGES, g.new_tensor("v"))))


@kind("history of results", 1)
def history_of_results(g: Generator) -> None:
    place = _held(g, "[]")
    g.step(f"{place.read}.append({g.choice(('nets.sum(y)', 'y * 1', 'x * x'))})")
    g.result(f"x + float(len({place.read}))")


@kind("window of the last", 2)
def window_of_the_last(g: Generator) -> None:
    """A deque that forgets, or a list that is cut."""
    if g.chance(0.5):
        place = _held(g, f"collections.deque([{g.new_tensor('v')}], maxlen=3)")
        g.step(f"{place.read}.{g.choice(('append', 'appendleft'))}(x * 1)")
    else:
        place = _held(g, f"[{g.new_tensor('v')}]")
        g.step(f"{place.read}.append(x * 1)\ndel {place.read}[:-3]")
    g.result(f"sum({place.read}, x * 0)")


@kind("rotate a deque", 1, exports=True)
def rotate_a_deque(g: Generator) -> None:
    items = ", ".join(g.new_tensor("v") for _ in range(3))
    place = _held(g, f"collections.deque([{items}])")
    g.step(f"{place.read}.rotate({g.choice((1, -1))})")
    g.step(f"{place.read}[0] = 0.5 * {place.read}[0] + x")
    g.result(f"{place.read}[1] * 1")


@kind("change a list in the step", 2)
def change_a_list_in_the_step(g: Generator) -> None:
    """It may grow at each call, or not from the second one on."""
    place = _several(g)
    g.step(_safely(_change(g, place, _LIST_CHANGES, "(x * 0.5)")))
    if g.chance(0.5):
        g.step(_safely(_change(g, place, _LIST_CHANGES, "(y * 0.5)")))
    g.result(f"sum((0.5 * t for t in {place.read}), x)")


@kind("change a dict in the step", 2)
def change_a_dict_in_the_step(g: Generator) -> None:
    place = _table(g)
    g.step(_safely(_change(g, place, _DICT_CHANGES, "(x * 0.5)")))
    if g.chance(0.5):
        g.step(_safely(_change(g, place, _DICT_CHANGES, "(y * 0.5)")))
    g.result(f"sum((0.5 * t for t in {place.read}.values()), x)")


@kind("memo", 2)
def memo(g: Generator) -> None:
    """Computed by the first call, kept for the others."""
    place = _held(g, "{}")
    value = g.choice(("x * 2", "1.5", "y * 1"))
    g.step(f"if 'k' not in {place.read}:\n    {place.read}['k'] = {value}")
    g.result(f"{place.read}['k'] + x")
    if g.chance(0.5):
        g.outside(f"{place.read}.clear()")


@kind("cached property", 1, resets=False)
def cached_property(g: Generator) -> None:
    name, place = g.fresh("o"), g.tensor("v")
    g.setup(
        f"class Own_{name}:\n    @functools.cached_property\n    def table(self):\n"
        f"        return {place.read} * 2\n{name} = Own_{name}()"
    )
    g.watch(name, name)
    g.result(f"{name}.table + x")
    if g.chance(0.4):
        g.outside(f"{name}.__dict__.pop('table', None)")


@kind("missing until added", 2)
def missing_until_added(g: Generator) -> None:
    place = _table(g)
    text = g.choice(
        (
            'y = y + {0}.get("extra", 0.5)',
            'if "extra" in {0}:\n    y = y * {0}["extra"]',
            'try:\n    y = y + {0}["missing"]\nexcept KeyError:\n    y = y * 0.5',
            "y = y * len({0})",
        )
    )
    if "missing" in text and "defaultdict" in g.statements[-2].text:
        text = "y = y * len({0})"
    g.step(fill(text, place.read))
    gaps = g.gaps_in_order(2)
    g.outside(f'{place.read}["extra"] = {g.choice((g.new_tensor("v"), "0.75"))}', gaps[0])
    g.outside(f'{place.read}.pop("extra", None)', gaps[1])


@kind("attribute that comes and goes", 2)
def attribute_that_comes_and_goes(g: Generator) -> None:
    name = g.fresh("o")
    g.setup(f"class Own_{name}:\n    gain = 2.0\n{name} = Own_{name}()")
    g.watch(name, f"({name}, Own_{name})")
    g.step(
        g.choice(
            (
                f'y = y * getattr({name}, "bonus", 0.5)',
                f'if hasattr({name}, "bonus"):\n    y = y + {name}.bonus',
                f"y = y * {name}.gain",
            )
        )
    )
    gaps = g.gaps_in_order(2)
    attribute = g.choice(("bonus", "gain"))
    g.outside(f"{name}.{attribute} = {g.choice(('1.5', g.new_tensor('v')))}", gaps[0])
    g.outside(f'{name}.__dict__.pop("{attribute}", None)', gaps[1])
    g.reset(f'{name}.__dict__.pop("{attribute}", None)')


@kind("attribute made in the step", 1)
def attribute_made_in_the_step(g: Generator) -> None:
    name = g.fresh("o")
    g.setup(f"class Own_{name}: ...\n{name} = Own_{name}()")
    g.watch(name, name)
    g.step(f'{name}.h = 0.5 * getattr({name}, "h", 0.0) + x')
    g.result(f"{name}.h * 1")
    g.reset(f'{name}.__dict__.pop("h", None)')
    if g.chance(0.5):
        g.outside(f'{name}.__dict__.pop("h", None)')


@kind("attribute deleted in the step", 1)
def attribute_deleted_in_the_step(g: Generator) -> None:
    name = g.fresh("o")
    g.setup(
        f"class Own_{name}:\n    h = 1.5\n{name} = Own_{name}()\n{name}.h = {g.new_tensor('v')}"
    )
    g.watch(name, name)
    g.step(f"y = y + {name}.h\nif 'h' in {name}.__dict__:\n    del {name}.h")
    g.reset(f'{name}.__dict__.pop("h", None)')
    g.outside(f"{name}.h = {g.new_tensor('v')}")


@kind("nest of containers", 1)
def nest_of_containers(g: Generator) -> None:
    place = _held(g, f'{{"w": [{g.new_tensor("v")}, {{"b": {g.new_tensor("v")}}}], "n": (1, 2.0)}}')
    g.step(f'{place.read}["w"][1]["b"] = 0.5 * {place.read}["w"][1]["b"] + x')
    g.step(f'y = y + {place.read}["w"][0] * {place.read}["n"][1]')
    g.outside(
        g.choice(
            (
                f'{place.read}["w"][0] = {g.new_tensor("v")}',
                f'{place.read}["n"] = (1, 3.0)',
                f'{place.read}["w"].append(1.0)',
                f'{place.read}["w"][1] = {{"b": {g.new_tensor("v")}}}',
            )
        )
    )


@kind("list that is replaced", 1, exports=True)
def list_that_is_replaced(g: Generator) -> None:
    place = _held(g, f"[{g.new_tensor('v')}, {g.new_tensor('v')}]")
    g.step(place.write(f"[0.5 * t + x for t in {place.read}]"))
    g.result(f"{place.read}[0] + {place.read}[1]")
    if g.chance(0.5):
        g.outside(place.write(f"[{g.new_tensor('v')}, {g.new_tensor('v')}, 0.5]"))
