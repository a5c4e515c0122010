"""Kinds about what is no tensor: numbers, flags, texts, functions, NumPy arrays and arguments."""

from __future__ import annotations

from tests.property.stateful.generator import CALLS, Generator, Place, fill, kind
from tests.property.stateful.program import Argument


def _changing(g: Generator, values: tuple[str, ...], count: int = 3, bound: bool = True) -> Place:
    """A place of a plain value that code outside changes among these, back and forth."""
    place = g.plain(g.choice(values), bound)
    for gap in g.gaps_in_order(count):
        g.outside(place.write(g.choice(values)), gap)
    return place


# --------------------------------------------------------------------- numbers and flags


@kind("number", 4, exports=True)
def number(g: Generator) -> None:
    values = ("0.5", "2", "-1.25", "1", "True", "1.0", "0.0", "np.float64(1.5)", "np.int64(2)")
    place = _changing(g, values)
    g.result(g.pick(("x * {}", "y + {}", "{} - x", "x / (2.5 + {})"), place.read))


@kind("float32 and NumPy numbers", 1)
def float32_and_numpy_numbers(g: Generator) -> None:
    """Of which the kind decides the dtype of the result."""
    values = (
        "0.5",
        "2",
        "np.float32(0.5)",
        "np.float64(0.5)",
        "np.int8(2)",
        "True",
        "np.bool_(True)",
    )
    place = _changing(g, values)
    g.result(f'nets.astype(x, "float32") * {place.read}')


@kind("zeros, ones and nan", 2)
def zeros_ones_and_nan(g: Generator) -> None:
    """Values that are equal and do not do the same, and one that is not equal to itself."""
    values = ("0.0", "-0.0", "0", "1", "True", "1.0", 'float("nan")', 'float("inf")')
    place = _changing(g, values, 4)
    text = g.choice(
        (
            "nets.sum(1 / (x * 0.0 * 0 + {}))",
            "x * {}",
            "nets.full((2,), {})",
            "1 / (nets.abs(x) * {})",
            "nets.Tensor([{}])",
        )
    )
    g.result(fill(text, place.read))


@kind("flag", 4, exports=True)
def flag(g: Generator) -> None:
    place = _changing(g, ("True", "False"))
    local = g.fresh("z")
    g.step(
        g.choice(
            (
                f"y = y * 0.5 if {place.read} else y + 1",
                f"if {place.read}:\n    y = nets.tanh(y)",
                f"if not {place.read}:\n    out['{local}'] = x * 2",
                f"for i in range(1 + {place.read}):\n    y = y * 0.75",
            )
        )
    )


@kind("text", 2, exports=True)
def text(g: Generator) -> None:
    place = _changing(g, ("'up'", "'down'", "None", "'none'"))
    g.step(
        f"if {place.read} == 'up':\n    y = y + 1\nelif {place.read} is None:\n    y = y * 0.5\n"
        f"else:\n    y = nets.sin(y)"
    )


@kind("tuple of numbers", 2)
def tuple_of_numbers(g: Generator) -> None:
    place = _changing(g, ("(1, 0.5)", "(2, 0.5)", "(1, -0.5)", "(1.0, 0.5)", "(0, (1, 2))"))
    g.result(
        g.choice(
            (
                f"sum(nets.sum(x) * n for n in {place.read} if not isinstance(n, tuple)) + x",
                f"x + {place.read}[0]",
                f"nets.roll(x, 1) if {place.read}[0] == 1 else x * 0.5",
            )
        )
    )


@kind("size", 2, exports=True)
def size(g: Generator) -> None:
    """A number that decides a shape."""
    place = _changing(g, ("1", "2", "3"))
    g.result(
        g.pick(
            ("x[:{}] * 1", "nets.zeros({}) + 1", "nets.roll(x, {}) + 0", "nets.tile(x, {})"),
            place.read,
        )
    )


@kind("counter", 2)
def counter(g: Generator) -> None:
    """Moved on by the step, and read."""
    place = g.plain("0")
    if place.holder.is_target and g.chance(0.5):
        g.step(f"{place.read} += 1")
    else:
        g.step(place.write(f"{place.read} + 1"))
    if g.chance(0.7):
        g.result(
            g.pick(("x * {}", "x / {}", "x * 0.9 ** {}", "(y if {} % 2 else x) * 1"), place.read)
        )


@kind("number written by the step", 2)
def number_written_by_the_step(g: Generator) -> None:
    place = g.plain("1.0")
    value = g.pick(("0.5", "{} * 0.5", "not {}", "'seen'", "None"), place.read)
    g.step(place.write(value))
    if value in ("0.5", f"{place.read} * 0.5"):
        g.result(f"x + {place.read}")
    if g.chance(0.5):
        g.outside(place.write("2.0"))


@kind("flag switched for a while", 1)
def flag_switched_for_a_while(g: Generator) -> None:
    """As a context manager does it: within the step only."""
    place, before = _changing(g, ("0.5", "2.0"), 2), g.fresh("z")
    g.step(
        f"{before} = {place.read}\n{place.write('3.0')}\ntry:\n    y = y * {place.read}\n"
        f"finally:\n    {place.write(before)}"
    )
    g.result(f"x * {place.read}")


@kind("number read by a function", 2)
def number_read_by_a_function(g: Generator) -> None:
    """Not in the step itself."""
    place, name = _changing(g, ("0.5", "2.0", "-1.0")), g.fresh("f")
    g.setup(f"def {name}(v):\n    return v * {place.read}")
    g.result(f"{name}(x)")


# ------------------------------------------------------------------------------ functions


@kind("function that is replaced", 2, exports=True)
def function_that_is_replaced(g: Generator) -> None:
    values = ("nets.tanh", "nets.sin", "lambda v: v * 2", "lambda v: v + 1", "abs")
    g.result(f"{_changing(g, values, 2, bound=False).read}(x)")


@kind("method that is replaced", 2)
def method_that_is_replaced(g: Generator) -> None:
    name = g.fresh("o")
    g.setup(
        f"class Own_{name}:\n    gain = 2.0\n    def f(self, v):\n        return v * self.gain\n"
        f"class Other_{name}(Own_{name}):\n    def f(self, v):\n        return v + self.gain\n"
        f"{name} = Own_{name}()"
    )
    g.watch(name, f"({name}, Own_{name})")
    g.result(f"{name}.f(x)")
    g.outside(
        g.choice(
            (
                f"Own_{name}.f = lambda self, v: v * 3",
                f"{name}.f = lambda v: v - 1",
                f"{name}.__class__ = Other_{name}",
                f"Own_{name}.gain = 0.5",
                f"{name} = Other_{name}()",
                f"{name}.gain = 4.0",
            )
        )
    )
    g.names.add(name)


@kind("default argument that is replaced", 1)
def default_argument_that_is_replaced(g: Generator) -> None:
    name = g.fresh("f")
    g.setup(f"def {name}(v, gain=2.0, *, shift=0.5):\n    return v * gain + shift")
    g.result(f"{name}(x)")
    g.outside(
        g.choice(
            (
                f"{name}.__defaults__ = (3.0,)",
                f"{name}.__kwdefaults__ = {{'shift': 1.5}}",
                f"{name}.__code__ = (lambda v, gain=1.0, *, shift=0.0: v - gain).__code__",
            )
        )
    )


@kind("partial", 1)
def partial(g: Generator) -> None:
    values = ("2.0", "0.5", g.new_tensor("v"))
    made = tuple(f"functools.partial(lambda v, gain: v * gain, gain={value})" for value in values)
    g.result(f"{_changing(g, made, 2, bound=False).read}(x)")


@kind("table of functions", 1)
def table_of_functions(g: Generator) -> None:
    table = g.plain("{'a': nets.tanh, 'b': nets.sin}")
    which = _changing(g, ("'a'", "'b'"), 2)
    g.result(f"{table.read}[{which.read}](x)")
    g.outside(f"{table.read}['a'] = nets.cos")
    g.reset(table.renew("{'a': nets.tanh, 'b': nets.sin}"))


@kind("closure made in a loop", 1)
def closure_made_in_a_loop(g: Generator) -> None:
    place, name = g.tensor("v"), g.fresh("f")
    g.setup(f"{name} = [lambda v, i=i: v * i + {place.read} for i in range(3)]")
    g.result(f"sum(f(x) for f in {name})")
    if g.chance(0.5):
        g.outside(f"{name}[1] = lambda v: v * 0.5")


# --------------------------------------------------------------------------- NumPy arrays


def _array(g: Generator) -> Place:
    value = f"np.array({g.elements('v')})"
    place = g.hold("array", value)
    g.reset(place.renew(value))
    return place


_ARRAY_CHANGES = (
    "{}[1] = 3.5",
    "{}[...] = 0.25",
    "{}[:2] *= 2",
    "np.multiply({0}, 0.5, out={0})",
)


@kind("array", 4, exports=True)
def array(g: Generator) -> None:
    place = _array(g)
    g.result(g.pick(("x * {}", "{} + y", "nets.sum({} * x)", "nets.as_tensor({}) * 1"), place.read))
    for gap in g.gaps_in_order(2):
        changes = (
            *_ARRAY_CHANGES,
            place.write(f"np.array({g.elements('v')})"),
        )
        g.outside(g.pick(changes, place.read), gap)


@kind("array of another dtype or shape", 1)
def array_of_another_dtype_or_shape(g: Generator) -> None:
    place = _array(g)
    g.result(f"nets.sum({place.read} * 2) + x")
    g.outside(
        place.write(g.choice(("np.array([1, 2])", "np.ones(4, np.float32)", "np.array(2.5)")))
    )


@kind("array as an index", 1)
def array_as_an_index(g: Generator) -> None:
    place = g.hold("array", "np.array([0, 2, 1])")
    g.reset(place.renew("np.array([0, 2, 1])"))
    g.result(f"x[{place.read}]")
    g.outside(g.pick(("{}[0] = 1", "{}[...] = 2", "{}[1] = -1"), place.read))


@kind("view of an array", 1)
def view_of_an_array(g: Generator) -> None:
    base = _array(g)
    place = g.hold("array", f"{base.read}[::-1]")
    g.reset(place.renew(f"{base.read}[::-1]"))
    g.result(f"x * {place.read}")
    g.outside(f"{base.read}[0] = 4.5")


@kind("element of an array", 1)
def element_of_an_array(g: Generator) -> None:
    """What NumPy or Python computes of it while tracing."""
    place = _array(g)
    g.result(
        g.pick(
            (
                "x * {}[0]",
                "x * float({}[1])",
                "x + np.mean({})",
                "x * (2 if {}[0] > 0.5 else 3)",
                "x + ({} * 2)",
                "x + {}.sum()",
                "x + {}[1:].max()",
            ),
            place.read,
        )
    )
    g.outside(g.pick(_ARRAY_CHANGES, place.read))


@kind("array written by the step", 1)
def array_written_by_the_step(g: Generator) -> None:
    place = _array(g)
    g.step(g.pick(("{}[0] = 1.5", "{}[...] = {0} * 0.5", "{}[1:] += 1"), place.read))
    if g.chance(0.7):
        g.result(f"x * {place.read}")
    if g.chance(0.5):
        g.outside(f"{place.read}[0] = 4.5")


# ------------------------------------------------------------------------------ arguments


def _argument(g: Generator, values: tuple[str, ...], **options: bool) -> str:
    name = g.fresh("a")
    chosen = tuple(g.choice(values) for _ in range(CALLS))
    g.arguments.append(Argument(name, chosen, g.kind, **options))
    return name


_INTEGERS = (
    *("0", "1", "-1", "7", "127", "128", "255", "256", "300", "-300"),
    *("2**31", "2**40", "2**63 - 1", "-2**63"),
)
_FLOATS = ("0.5", "-0.0", "1e300", 'float("nan")', 'float("inf")', "3.0", "1e-320", "2.5")


@kind("number as an argument", 3)
def number_as_an_argument(g: Generator) -> None:
    name = _argument(g, (*_INTEGERS, *_FLOATS[:3]))
    g.result(
        g.pick(
            ("x * {}", "x + {}", "x < {}", "nets.maximum(x, {})", "nets.where(x > 0, x, {})"), name
        )
    )


@kind("number against integers", 2)
def number_against_integers(g: Generator) -> None:
    """Compared exactly, computed with where it fits."""
    far = ("2**70", "-2**70", "2**63") if g.chance(0.1) else ()
    name = _argument(g, (*_INTEGERS, *far) if g.chance(0.7) else (*_INTEGERS[:7], *_FLOATS))
    dtype = g.choice(("uint8", "int8", "int32", "int64", "uint64", "float32"))
    values = g.choice(("[0, 1, 127]", "[1, 100, 3]"))
    tensor = g.hold("integers", f'nets.Tensor({values}, dtype="{dtype}")')
    g.result(g.pick(("{0} < {1}", "{0} == {1}", "{0} >= {1}", "{0} != {1}"), tensor.read, name))


@kind("number that may not fit", 1)
def number_that_may_not_fit(g: Generator) -> None:
    """Refused at the call that brings one, plainly as well."""
    name = _argument(g, ("1", "2", "0", "100", "300"))
    dtype = g.choice(("uint8", "int8", "int32"))
    tensor = g.hold("integers", f'nets.Tensor([0, 1, 2], dtype="{dtype}")')
    g.result(
        g.pick(("{0} + {1}", "{0} * {1}", "nets.minimum({0}, {1})", "{0} | {1}"), tensor.read, name)
    )


@kind("static argument", 2)
def static_argument(g: Generator) -> None:
    values = ("0.0", "-0.0", "1", "True", "1.0", "0", "False", "(1, 2)", "(1.0, 2)", "'a'", "None")
    name = _argument(g, values, static=True)
    number = f"({name} if isinstance({name}, (int, float)) else 0.5)"
    g.result(
        g.choice(
            (
                f"1 / (nets.abs(x) * 0.0 + {number})",
                f"x * {number}",
                f"x + len(str({name}))",
                f"nets.sum(x) * {name}[0] if isinstance({name}, tuple) else x * 2",
                f"nets.full((2,), {number})",
            )
        )
    )


@kind("dict as an argument", 2)
def dict_as_an_argument(g: Generator) -> None:
    """In another order at some calls, which the step can see."""
    one, two = (f"np.array({g.elements('v')})" for _ in range(2))
    orders = (
        f"{{'b': {one}, 'a': {two}}}",
        f"{{'a': {two}, 'b': {one}}}",
        f"collections.OrderedDict(b={one}, a={two})",
        f"collections.OrderedDict(a={two}, b={one})",
    )
    name = _argument(g, orders)
    g.result(
        g.pick(
            (
                "nets.concatenate(list({}.values()))",
                "list({}.values())[0] * 2",
                "{k: v * 2 for k, v in {}.items()}",
                "sum(i * v for i, v in enumerate({}.values()))",
            ),
            name,
        )
    )


@kind("keywords in another order", 1)
def keywords_in_another_order(g: Generator) -> None:
    """The calls of odd numbers pass this one before the others."""
    name = _argument(g, ("np.array(2.0)", "0.5", "np.array([1.0, 2.0, 3.0])"), before=True)
    g.result(f"x - {name}")


@kind("list or tuple as an argument", 1)
def list_or_tuple_as_an_argument(g: Generator) -> None:
    one = f"np.array({g.elements('v')})"
    name = _argument(g, (f"[{one}, 1.0]", f"({one}, 1.0)", f"[{one}, 2]", f"[{one}, {one}, 3.0]"))
    g.result(f"sum(v * 0.5 for v in {name}) + (1 if isinstance({name}, list) else 2)")


@kind("array of another type as an argument", 1)
def array_of_another_type_as_an_argument(g: Generator) -> None:
    name = _argument(
        g,
        (
            "np.array([1, 2, 3])",
            "np.ones(3, np.float32)",
            "np.ones((2, 3))",
            "np.array(2.0)",
            "1.5",
        ),
    )
    g.result(f"x * {name}")


@kind("flag as an argument", 1)
def flag_as_an_argument(g: Generator) -> None:
    """Not static, but used as a number only."""
    name = _argument(g, ("True", "False"))
    g.result(g.pick(("x * {}", "nets.where({}, x, -x)"), name))
