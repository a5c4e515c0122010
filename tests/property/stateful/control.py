"""Kinds about control: nested traced functions, loops, exceptions, random numbers."""

from __future__ import annotations

from tests.property.stateful.generator import CALLS, Generator, Place, kind

# -------------------------------------------------------------------- traced functions


def _update(g: Generator, place: Place, what: str) -> str:
    return str(
        g.choice(
            (
                place.write(f"0.5 * {place.read} + {what}"),
                f"{place.read}[0] = nets.sum({what})",
                f"{place.read}.data = 0.5 * {place.read} + {what}",
            )
        )
    )


def _scope(g: Generator, *places: Place) -> str:
    names = sorted({place.name for place in places} & g.names)
    return f"@scope {' '.join(names)}\n    " if names else ""


@kind("nested traced function", 3, exports=True)
def nested_traced_function(g: Generator) -> None:
    name, place = g.fresh("f"), g.tensor("v")
    g.setup(
        f"@trace\ndef {name}(u):\n    {_scope(g, place)}{_update(g, place, 'u')}\n"
        f"    return {place.read} * 1"
    )
    for _ in range(g.choice((1, 1, 2))):
        g.result(f"{name}(y)")


@kind("plain function that updates", 3, exports=True)
def plain_function_that_updates(g: Generator) -> None:
    name, place = g.fresh("f"), g.tensor("v")
    update = _scope(g, place) + _update(g, place, "u")
    g.setup(f"def {name}(u):\n    {update}\n    return {place.read} * 1")
    g.result(f"{name}(x) + {name}(y)")
    if g.chance(0.4):
        g.outside(f"{name}(nets.Tensor({g.elements('v')}))")


@kind("two traced functions share state", 3)
def two_traced_functions_share_state(g: Generator) -> None:
    name, place = g.fresh("f"), g.tensor("v")
    g.setup(
        f"@trace\ndef {name}(u):\n    {_scope(g, place)}{_update(g, place, 'u')}\n"
        f"    return {place.read} * 2"
    )
    g.step(_update(g, place, "x"))
    for gap in g.gaps_in_order(3):
        g.outside(f"call({name}, np.array({g.elements('v')}))", gap)


_METHODS = """
class Own_{n}:
    def __init__(self):
        self.h = {v}
        self.gain = 0.5
        self.calls = 0
    {decorator}
    def f(self, u):
        {line}
        return self.h * self.gain
    def set(self, value):
        self.gain = value
{n} = Own_{n}()
other_{n} = Own_{n}()
"""


@kind("traced method", 3, resets=False)
def traced_method(g: Generator) -> None:
    """Called in the step or beside it, of two objects."""
    name = g.fresh("o")
    line = g.choice(
        (
            "self.h = 0.5 * self.h + u",
            "self.h[1] = nets.sum(u)",
            "self.h += u",
            "self.calls += 1",
            "self.h = self.h * self.gain",
        )
    )
    decorator = g.choice(("@trace", "@trace", ""))
    g.setup(
        _METHODS.strip()
        .format(n=name, v=g.new_tensor("v"), line=line, decorator=decorator)
        .replace("    \n", "")
    )
    g.watch(name, f"({name}, other_{name})")
    if g.chance(0.6):
        g.result(f"{name}.f(x) + other_{name}.f(y)")
    for gap in g.gaps_in_order(2):
        g.outside(
            g.choice(
                (
                    f"call({name}.f, np.array({g.elements('v')}))",
                    f"{name}.set(2.0)",
                    f"{name}.h = {g.new_tensor('v')}",
                    f"other_{name}.h = {name}.h",
                )
            ),
            gap,
        )


@kind("recursion", 1)
def recursion(g: Generator) -> None:
    name, depth = g.fresh("f"), g.plain("2")
    g.setup(f"def {name}(v, n):\n    return v if n == 0 else {name}(v * 0.5 + 1, n - 1)")
    g.result(f"{name}(x, {depth.read})")
    g.outside(depth.write(g.choice(("3", "1"))))


# --------------------------------------------------------------------------------- loops


@kind("Python loop", 2, exports=True)
def python_loop(g: Generator) -> None:
    place, count = g.tensor("v"), g.plain("2")
    g.step(f"for i in range({count.read}):\n    {place.write(f'0.5 * {place.read} + x * i')}")
    if g.chance(0.5):
        g.outside(count.write(g.choice(("3", "1", "0"))))


@kind("loop that reads state", 2, by_numpy=False, exports=True)
def loop_that_reads_state(g: Generator) -> None:
    place, gain = g.tensor("v", fresh=True), g.plain("0.5")
    read = f"nets.astype({place.read}, 'float64')"
    g.result(
        g.choice(
            (
                f"fori_loop(0, 3, lambda i, c: c * {gain.read} + {read}, x)",
                f"scan(lambda c, v: (c * {gain.read} + v * {read}, c), x, x)[0]",
                f"cond(nets.sum(x) > 0, lambda v: v * {gain.read}, lambda v: v + {read}, x)",
                f"while_loop(lambda c: nets.sum(c) < 5.1, lambda c: c + 1 + {read} ** 2, x)",
            )
        )
    )
    if g.chance(0.5):
        g.outside(gain.write(g.choice(("0.25", "-0.5"))))
    g.step(place.write(f"{place.read} * 0.5" if place.dtype != "int64" else f"{place.read} + 1"))


@kind("loop whose result is kept", 2, by_numpy=False, exports=True)
def loop_whose_result_is_kept(g: Generator) -> None:
    place = g.hold("v", g.new_tensor("v"))
    g.reset(place.renew(g.new_tensor("v")))
    g.step(place.write(f"fori_loop(0, 2, lambda i, c: 0.5 * c + x, {place.read})"))
    if g.chance(0.5):
        g.step(f"{place.read}[...] = scan(lambda c, v: (c + v, c), nets.sum(x), x)[1]")
    g.result(f"{place.read} * 1")


@kind("write inside a loop body", 0.1, by_numpy=False)
def write_inside_a_loop_body(g: Generator) -> None:
    """Right, or refused: a body is traced once."""
    place, name = g.tensor("v", fresh=True), g.fresh("f")
    update = g.choice((f"{place.read}[0] = nets.sum(c)", place.write("c * 1")))
    g.setup(f"def {name}(i, c):\n    {_scope(g, place)}{update}\n    return c * 0.5")
    g.result(
        g.choice(
            (
                f"fori_loop(0, 2, {name}, x)",
                f"cond(nets.sum(x) > 0, lambda c: {name}(0, c), lambda c: c, x)",
            )
        )
    )


@kind("local written inside a loop body", 1, by_numpy=False, exports=True)
def local_written_inside_a_loop_body(g: Generator) -> None:
    name = g.fresh("f")
    g.setup(f"def {name}(i, c):\n    c = c * 1\n    c[1:] = c[:-1]\n    c[0] = i\n    return c")
    g.result(f"fori_loop(0, 4, {name}, x)")


# ----------------------------------------------------------------------------- exceptions


@kind("raise", 2)
def raise_in_the_middle(g: Generator) -> None:
    """Raised in the middle of a step at some call; what had been written is written anew then."""
    place = g.plain("0")
    local = g.choice(g.places[-3:]) if len(g.places) > 1 else None
    if local is not None and local.what == "v" and local.dtype == "float64":
        g.step(f"{local.read}[0] = 2")
    g.step(f"if {place.read} == 1:\n    raise Boom('planned')")
    for gap in g.gaps_in_order(g.choice((1, 2))):
        g.outside(place.write("1"), gap)
        g.failing_calls.add(gap)


@kind("raise at a count", 1)
def raise_at_a_count(g: Generator) -> None:
    """The step itself counts, and raises at its third or fifth call."""
    place, when = g.plain("0"), g.choice((2, 3, 5))
    g.step(place.write(f"{place.read} + 1"))
    g.step(f"if {place.read} == {when}:\n    raise Boom('planned')")
    g.reset(place.renew("7"))
    g.failing_calls.add(when - 1)


@kind("index out of bounds", 1, by_numpy=False)
def index_out_of_bounds(g: Generator) -> None:
    """Found by the compiled code, or by Python plainly."""
    at = g.hold("index", "nets.Tensor([0, 2])")
    g.step(f"out['{g.fresh('r')}'] = x[{at.read}]")
    gap = g.rng.randrange(1, CALLS)
    g.outside(at.write("nets.Tensor([0, 5])"), gap)
    g.failing_calls.add(gap)
    g.reset(at.renew("nets.Tensor([1, 1])"))


@kind("exception that the step catches", 2)
def exception_that_the_step_catches(g: Generator) -> None:
    place, flag = g.tensor("v"), g.plain("False")
    g.step(
        f"try:\n    {_update(g, place, '1')}\n    if {flag.read}:\n        raise Boom('caught')\n"
        f"    {place.read}[1] = 3\nexcept Boom:\n    y = y + 1"
        if place.dtype == "float64"
        else f"try:\n    if {flag.read}:\n        raise Boom('caught')\nexcept Boom:\n    y = y + 1"
    )
    for gap in g.gaps_in_order(2):
        g.outside(flag.write(g.choice(("True", "False"))), gap)


@kind("context manager", 1)
def context_manager(g: Generator) -> None:
    place, name = g.plain("1.0"), g.fresh("f")
    g.setup(
        f"@contextlib.contextmanager\ndef {name}(value):\n    {_scope(g, place)}"
        f"before = {place.read}\n    {place.write('value')}\n    try:\n        yield\n"
        f"    finally:\n        {place.write('before')}"
    )
    g.step(f"with {name}(3.0):\n    y = y * {place.read}")
    g.result(f"x * {place.read}")
    if g.chance(0.5):
        g.outside(place.write("0.5"))


# ------------------------------------------------------------------------- random numbers

_DRAWS = (
    "nets.random.normal((3,))",
    'nets.random.uniform((3,), dtype="float64")',
    "nets.random.randint(0, 9, (3,))",
    "nets.random.bernoulli(0.5, (3,))",
    "F.dropout(x, 0.5)",
    "nets.random.permutation(3)",
)


@kind("draw", 2, by_numpy=False, exports=True)
def draw(g: Generator) -> None:
    g.reset("nets.manual_seed(11)")
    for _ in range(g.choice((1, 1, 2))):
        g.result(g.choice(_DRAWS))
    if g.chance(0.5):
        g.outside(g.choice((f"nets.manual_seed({g.rng.randrange(9)})", "nets.random.normal((2,))")))


@kind("seed in the step", 0.5, by_numpy=False)
def seed_in_the_step(g: Generator) -> None:
    g.reset("nets.manual_seed(11)")
    g.step("nets.manual_seed(5)")
    g.result(g.choice(_DRAWS))
    if g.chance(0.5):
        g.outside("nets.random.normal((2,))")


@kind("generator of one's own", 1, by_numpy=False)
def generator_of_ones_own(g: Generator) -> None:
    place = g.plain("nets.random.Generator(3)")
    g.result(f"nets.random.normal((3,), key={place.read}.next_key())")
    if g.chance(0.6):
        g.outside(
            g.choice(
                (
                    f"{place.read}.manual_seed(4)",
                    place.write("nets.random.Generator(8)"),
                    f"{place.read}.next_key()",
                    f"{place.read}.load_state_dict(nets.random.Generator(5).state_dict())",
                )
            )
        )


@kind("key that is kept", 0.5, by_numpy=False, exports=True)
def key_that_is_kept(g: Generator) -> None:
    place, local = g.plain("nets.random.key(1)"), g.fresh("z")
    g.step(f"{local} = nets.random.split({place.read})\n{place.write(f'{local}[0]')}")
    g.result(f"nets.random.uniform((3,), key={local}[1])")


@kind("draw inside a loop", 0.5, by_numpy=False)
def draw_inside_a_loop(g: Generator) -> None:
    g.reset("nets.manual_seed(11)")
    g.result(
        g.choice(
            (
                "fori_loop(0, 3, lambda i, c: c + F.dropout(x, 0.5), x)",
                "scan(lambda c, v: (c + nets.random.uniform(()) * v, c), nets.sum(x), x)[1]",
                "cond(nets.sum(x) > 0, lambda v: F.dropout(v, 0.5), lambda v: v, x)",
            )
        )
    )


@kind("draw inside a transform", 0.5, by_numpy=False)
def draw_inside_a_transform(g: Generator) -> None:
    g.reset("nets.manual_seed(11)")
    name = g.fresh("f")
    g.setup(f"def {name}(w):\n    return nets.sum(F.dropout(w * x_of_{name}, 0.5))")
    g.setup(f"x_of_{name} = nets.Tensor({g.elements('v')})")
    g.result(g.choice((f"grad({name})(x)", f"value_and_grad({name})(x)", f"vjp({name}, x)[0]")))


# ----------------------------------------------- what Python itself keeps, when asked for


@kind("iterator", 0)
def iterator(g: Generator) -> None:
    place = g.plain("iter(range(1, 100))")
    g.result(f"x * next({place.read})")


@kind("NumPy's random numbers", 0)
def numpys_random_numbers(g: Generator) -> None:
    place = g.plain("np.random.default_rng(0)")
    g.result(f"x * {place.read}.normal()")


@kind("cached function", 0)
def cached_function(g: Generator) -> None:
    """What functools keeps cannot be seen."""
    name, place = g.fresh("f"), g.tensor("v")
    g.setup(f"@functools.lru_cache\ndef {name}(n):\n    return {place.read} * n")
    g.result(f"{name}(2) + x")


@kind("graph that goes on", 0, by_numpy=False)
def graph_that_goes_on(g: Generator) -> None:
    """State that is still connected with the parameters of earlier calls."""
    place, weight = g.tensor("v", fresh=True), g.fresh("h")
    g.setup(f"{weight} = nn.Parameter({g.elements('v')})")
    g.watch(weight, weight)
    g.step(place.write(f"0.5 * {place.read} + {weight} * x"))
    g.step(f"nets.sum({place.read} ** 2).backward()")
    g.result(f"{weight}.grad * 1")
