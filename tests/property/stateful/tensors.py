"""Kinds about tensors in holders: bound anew, written to, viewed, shared, read."""

from __future__ import annotations

from tests.property.stateful.generator import SHAPES, Generator, Place, fill, kind


def _scalar(g: Generator) -> str:
    return g.choice((g.number(), f"x[{g.rng.randrange(3)}]", g.expression("s", 1)))


def _index(g: Generator, place: Place) -> str:
    """An index that leaves some elements as they are, or none."""
    return str(
        g.choice(
            {
                "v": (
                    "0",
                    "-1",
                    "1:",
                    ":2",
                    "::2",
                    "np.array([2, 0])",
                    "np.array([True, False, True])",
                ),
                "m": ("0", "1, 2", ":, 0", "..., -1", "0, 1:", "np.array([1, 1])", "None, 1"),
                "s": ("...", "()"),
            }[place.what]
        )
    )


def _whole(g: Generator, place: Place) -> str:
    """An index of every element."""
    return str(
        g.choice(
            {
                "v": ("...", ":", "0:3", "::-1", "np.array([2, 0, 1])", "-3:"),
                "m": ("...", ":", ":, :", "0:2", "::-1, 0:3", "[0, 1]"),
                "s": ("...", "()"),
            }[place.what]
        )
    )


# ------------------------------------------------------------------------ bound anew


@kind("bind", 6, exports=True)
def bind(g: Generator) -> None:
    place = g.tensor()
    text = f"0.5 * {place.read} + {g.expression(place.what)}"
    if place.dtype == "int64":
        text = f"{place.read} + {g.rng.randrange(1, 4)}"
    if place.dtype == "float32":
        text = f'nets.astype({text}, "float32")'
    g.step(place.write(text))


@kind("bind to something new", 2, exports=True)
def bind_to_new(g: Generator) -> None:
    """The old value plays no part, or another dtype takes its place."""
    place = g.tensor()
    options = [g.expression(place.what) + " * 1", f"nets.zeros({SHAPES[place.what]}) + 1"]
    options += [f'nets.astype({place.read}, "float32")', f"{place.read} > 0"]
    text = g.choice(options[:2] if g.chance(0.8) else options)
    if text == options[3]:  # of another kind from now on: nobody else counts on its dtype
        place = g.tensor(fresh=True)
        g.places.remove(place)
        text = f"({place.read} * 1.0) > 0"
    g.step(place.write(text))


@kind("bind under a flag", 2)
def bind_under_a_flag(g: Generator) -> None:
    place, flag = g.tensor(), g.plain("False")
    g.step(
        f"if {flag.read}:\n    {place.write(f'0.5 * {place.read} + 1')}\n"
        f"else:\n    {place.write(f'{place.read} * 0.75')}"
    )
    for gap in g.gaps_in_order(3):
        g.outside(flag.write(g.choice(("True", "False"))), gap)


@kind("bind lazily", 2)
def bind_lazily(g: Generator) -> None:
    """None until the first call."""
    place = g.plain("None")
    test = g.choice(("is None", "== None")) if g.chance(0.9) else "is None"
    g.step(f"if {place.read} {'is None' if 'None' in test else test}:\n    {place.write('x * 0')}")
    g.step(place.write(f"0.5 * {place.read} + x"))
    g.result(f"{place.read} * 1")
    if g.chance(0.4):
        g.outside(place.write("None"))


@kind("swap", 2, exports=True)
def swap(g: Generator) -> None:
    what = g.choice("vm")
    one, other = g.tensor(what, target=True, fresh=True), g.tensor(what, target=True)
    if one.dtype == other.dtype:
        g.step(f"{one.read}, {other.read} = {other.read}, {one.read}")


@kind("rotate", 1, exports=True)
def rotate(g: Generator) -> None:
    a, b, c = (g.tensor("v", target=True, fresh=True) for _ in range(3))
    g.step(f"{a.read}, {b.read}, {c.read} = {c.read}, {a.read}, {b.read}")


@kind("share", 2)
def share(g: Generator) -> None:
    """Two places hold one tensor from then on."""
    one, other = g.tensor(fresh=True), g.tensor(fresh=True)
    if (one.what, one.dtype) != (other.what, other.dtype):
        return
    g.step(one.write(other.read))
    g.step(
        f"{other.read}[...] = {other.read} * 0.5 + 1" if g.chance(0.5) else f"{one.read}[...] = 2"
    )


@kind("share from the beginning", 2, exports=True)
def share_from_the_beginning(g: Generator) -> None:
    one = g.tensor("v", fresh=True)
    other = g.hold("v", one.read)
    g.reset(other.renew(one.read))
    g.step(f"{g.choice((one, other)).read}[{_index(g, one)}] = {g.number()}")
    g.result(f"{one.read} + {other.read}")
    if g.chance(0.4):
        g.step(g.choice((one, other)).write(f"{one.read} * 0.5"))
    if g.chance(0.3):
        g.outside(other.write(one.read))


@kind("hold what is returned", 1, exports=True)
def hold_what_is_returned(g: Generator) -> None:
    place = g.tensor("v")
    local = g.fresh("z")
    g.step(f"{local} = {g.expression('v')} * 0.5")
    g.step(place.write(local))
    g.result(local)


@kind("hold an argument", 1)
def hold_an_argument(g: Generator) -> None:
    place = g.hold("argument", g.new_tensor("v"))
    g.reset(place.renew(g.new_tensor("v")))
    g.result(f"{place.read} + x")
    g.step(place.write("x"))
    if g.chance(0.3):
        g.outside(f"{place.read}[0] = 2")


@kind("keep the state before", 2, exports=True)
def keep_the_state_before(g: Generator) -> None:
    """What was read before a write keeps its elements."""
    place = g.tensor()
    local = g.fresh("z")
    g.step(f"{local} = {place.read} * 1")
    g.step(f"{place.read}[{_whole(g, place)}] = {g.rng.randrange(-3, 4)}")
    g.result(f"{local}")
    g.result(f"{place.read} * 2")


@kind("grow a tensor", 1)
def grow_a_tensor(g: Generator) -> None:
    """Its shape is another one at each call."""
    place = g.hold("grown", "nets.zeros(1)")
    g.reset(place.renew("nets.zeros(1)"))
    g.step(place.write(f"nets.concatenate([{place.read}, x])" + g.choice(("", "[-4:]"))))
    g.result(f"nets.sum({place.read})")


@kind("number that becomes a tensor", 2)
def number_that_becomes_a_tensor(g: Generator) -> None:
    place = g.plain(g.choice(("0.0", "0", "np.float64(0.5)", "False")))
    term = g.choice(("nets.sum(x)", "nets.mean(x * x)", "x"))
    if place.holder.is_target and g.chance(0.4):
        g.step(f"{place.read} += {term}")
    else:
        g.step(place.write(f"{place.read} + {term}"))
    g.result(f"{place.read} * 1")
    if g.chance(0.4):
        g.outside(place.write("0.0"))


# ------------------------------------------------------------------------- elements


@kind("write elements", 6, exports=True)
def write_elements(g: Generator) -> None:
    place = g.tensor()
    index = _index(g, place)
    value = _scalar(g) if place.dtype != "int64" else str(g.rng.randrange(9))
    g.step(f"{place.read}[{index}] = {value}")


@kind("write all elements", 4, exports=True)
def write_all_elements(g: Generator) -> None:
    place = g.tensor()
    if place.dtype == "int64":
        value = f"{place.read} + 1"
    else:
        value = g.choice((g.number(), g.expression(place.what), f"0.5 * {place.read} + 1"))
    g.step(f"{place.read}[{_whole(g, place)}] = {value}")


@kind("in place", 4, exports=True)
def in_place(g: Generator) -> None:
    place = g.tensor(target=True)
    if place.dtype == "int64":
        g.step(f"{place.read} {g.choice(('+=', '-='))} {g.rng.randrange(1, 3)}")
        return
    sign, value = g.choice(
        (("+=", g.expression(place.what)), ("*=", "0.5"), ("-=", "0.25"), ("/=", "2"))
    )
    g.step(f"{place.read} {sign} {value}")


@kind("in place through a name", 2, exports=True)
def in_place_through_a_name(g: Generator) -> None:
    place = g.tensor()
    local = g.fresh("z")
    g.step(f"{local} = {place.read}\n{local} {'+=' if place.dtype == 'int64' else '*='} 2")


@kind("elements in place", 3, exports=True)
def elements_in_place(g: Generator) -> None:
    place = g.tensor()
    sign, value = ("+=", "1") if place.dtype == "int64" else ("*=", "0.5")
    g.step(f"{place.read}[{_index(g, place)}] {sign} {value}")


@kind("data", 3, exports=True)
def data(g: Generator) -> None:
    place = g.tensor()
    text = f"0.5 * {place.read} + {g.expression(place.what)}"
    if place.dtype == "int64":
        text = f"{place.read} + 1"
    g.step(f"{place.read}.data = {text}")


@kind("write under no_grad", 2, exports=True)
def write_under_no_grad(g: Generator) -> None:
    place = g.tensor()
    value = "1" if place.dtype == "int64" else g.expression(place.what)
    index = _whole(g, place) if g.chance(0.5) else "..."
    g.step(f"with nets.no_grad():\n    {place.read}[{index}] = {value}")


@kind("write in a Python loop", 2, exports=True)
def write_in_a_python_loop(g: Generator) -> None:
    place = g.tensor("v")
    g.step(f"for i in range({g.rng.randrange(2, 4)}):\n    {place.read}[i % 3] = i")


@kind("ring buffer", 2)
def ring_buffer(g: Generator) -> None:
    """The place of the write is a Python number, which the step moves on."""
    place, at = g.tensor("v"), g.plain("0")
    g.step(f"{place.read}[{at.read} % 3] = {'1' if place.dtype == 'int64' else 'nets.sum(x)'}")
    g.step(at.write(f"{at.read} + 1"))


@kind("write where a tensor says", 1)
def write_where_a_tensor_says(g: Generator) -> None:
    place = g.tensor("v", fresh=True)
    at = g.hold("index", "nets.Tensor([0, 2])")
    g.reset(at.renew("nets.Tensor([0, 2])"))
    value = "1" if place.dtype == "int64" else "y[0]"
    g.step(f"{place.read}[{at.read}] = {value}")
    g.step(at.write(f"({at.read} + 1) % 3"))


# ---------------------------------------------------------------------------- views


@kind("write to a row", 2, exports=True)
def write_to_a_row(g: Generator) -> None:
    place, row = g.tensor("m"), g.fresh("z")
    g.step(f"{row} = {place.read}[{g.choice((0, 1, -1))}]\n{row} += {g.rng.randrange(1, 3)}")


@kind("write to a slice", 2, exports=True)
def write_to_a_slice(g: Generator) -> None:
    place, part = g.tensor("v"), g.fresh("z")
    write = g.choice(("{}[0] = 3", "{} -= 1", "{}[...] = 2"))
    g.step(f"{part} = {place.read}[{g.choice(('1:', ':2', '::2', '::-1'))}]\n{fill(write, part)}")


@kind("write to a transposed view", 2, exports=True)
def write_to_a_transposed_view(g: Generator) -> None:
    place = g.tensor("m")
    view = g.choice(
        (".T[0]", ".reshape(-1)[1]", ".reshape((3, 2))[:, 0]", ".T[1, 0]", ".T[:, 1][1:]")
    )
    g.step(f"{place.read}{view} = {g.rng.randrange(-3, 4)}")


@kind("write to rows in a loop", 1, exports=True)
def write_to_rows_in_a_loop(g: Generator) -> None:
    place, row = g.tensor("m"), g.fresh("z")
    g.step(f"for {row} in {place.read}:\n    {row} {g.choice(('+=', '-='))} 1")


@kind("view of a view", 1, exports=True)
def view_of_a_view(g: Generator) -> None:
    place, view = g.tensor("m"), g.fresh("z")
    g.step(f"{view} = {place.read}[1:][0]\n{view}[1:][0:1] = 4\n{place.read}[1, 0] = 5")
    g.result(f"{view} * 1")


@kind("view read after a write", 2, exports=True)
def view_read_after_a_write(g: Generator) -> None:
    place, view = g.tensor("m"), g.fresh("z")
    text = g.choice(("[0]", "[:, 1:]", ".T", ".reshape(-1)", "[...]"))
    g.step(f"{view} = {place.read}{text}\n{place.read}[0, 1] = 7\nout['{view}'] = {view} * 1")


@kind("held view", 1)
def held_view(g: Generator) -> None:
    """A holder keeps a view of what another one holds; both are written to."""
    base = g.hold("viewed", f"nets.Tensor({g.elements('m')})")
    row = g.hold("view", f"{base.read}[1]")
    g.step(f"{row.read}[{g.choice(('0', '1:', '...'))}] = nets.sum(x)")
    if g.chance(0.6):
        g.step(f"{base.read}[1, 2] = {g.number()}")
    g.result(f"{base.read} + {row.read}")
    g.reset(base.renew(f"nets.Tensor({g.elements('m')})"))
    g.reset(row.renew(f"{base.read}[1]"))
    g.outside(f"{g.choice((base.read + '[1]', row.read))}[1] = {g.number()}")


@kind("view that the step keeps", 1)
def view_that_the_step_keeps(g: Generator) -> None:
    base, row = g.hold("viewed", f"nets.Tensor({g.elements('m')})"), g.hold("view", "None")
    g.reset(base.renew(f"nets.Tensor({g.elements('m')})"))
    g.reset(row.renew("None"))
    test = "" if g.chance(0.5) else f"if {row.read} is None:\n    "
    g.step(test + row.write(f"{base.read}[1]"))
    g.step(f"{row.read}[0] = nets.sum(x)")
    g.result(f"{base.read} + {row.read}")
    if g.chance(0.5):
        g.outside(f"{base.read}[1, 1] = {g.number()}")


@kind("copy by an index", 2, exports=True)
def copy_by_an_index(g: Generator) -> None:
    """Indexing by arrays and arithmetic copy: what is written to them stays there."""
    place, local = g.tensor("v"), g.fresh("z")
    text = g.choice(("[np.array([0, 1])]", "[np.array([True, True, False])]", " * 1", " + 0"))
    g.step(f"{local} = {place.read}{text}\n{local} += 1\nout['{local}'] = {local}")


@kind("nothing to do gives new elements", 2, exports=True)
def nothing_to_do(g: Generator) -> None:
    place, local = g.tensor("v"), g.fresh("z")
    text = g.pick(
        (
            "+{}",
            "nets.maximum({0}, {0})",
            "{} ** 1",
            "nets.abs(nets.abs({}))",
            "nets.concatenate([{}])",
            "nets.roll({}, 0)",
            "nets.pad({}, 0)",
            "nets.where(True, {0}, {0})",
            "nets.tile({}, 1)",
            "nets.repeat({}, 1)",
        ),
        place.read,
    )
    g.step(f"{local} = {text}\n{local} += 1\nout['{local}'] = {local}")


# ----------------------------------------------------------------------------- reads


@kind("read", 5, exports=True)
def read(g: Generator) -> None:
    place = g.tensor()
    g.result(f"{place.read} * 1")


@kind("return what is held", 1, exports=True)
def return_what_is_held(g: Generator) -> None:
    g.result(g.tensor().read)


@kind("mix", 5, exports=True)
def mix(g: Generator) -> None:
    place = g.tensor()
    term = {"v": "{}", "m": "nets.sum({}, axis=0)", "s": "{}"}[place.what].replace("{}", place.read)
    g.step(f"y = y + 0.25 * {term}")


@kind("read what it is", 1, exports=True)
def read_what_it_is(g: Generator) -> None:
    """Shape, dtype, length: known while tracing."""
    place = g.tensor()
    test = g.choice((".ndim == 1", ".dtype == np.float32", ".shape == (3,)", ".size > 3"))
    g.step(f"if {place.read}{test}:\n    y = y + 1")


@kind("NumPy's functions", 2)
def numpys_functions(g: Generator) -> None:
    place = g.tensor("v")
    text = g.choice(
        (
            "np.sum({})",
            "np.where({0} > 0, {0}, 0.5)",
            "np.concatenate([{}, x])",
            "np.stack([x, {}])",
            "np.clip({}, -1, 1)",
            "np.dot({}, x)",
            "np.tanh({})",
            "np.maximum({}, x)",
        )
    )
    g.result(fill(text, place.read))


@kind("value of a tensor", 0.15, by_numpy=False)
def value_of_a_tensor(g: Generator) -> None:
    """What a trace cannot give: refused, or right."""
    place = g.tensor("v")
    text = g.choice(
        (
            "x * {}.numpy()",
            "x * float({}[0])",
            "x + {}.tolist()[1]",
            "x * copy.copy({})",
            "x * copy.deepcopy({})",
            "x * int(nets.sum({}))",
            "x + np.asarray({})",
            "(x if {}[0] > 0 else -x)",
            "x * nets.from_dlpack({})",
        )
    )
    g.result(fill(text, place.read))
