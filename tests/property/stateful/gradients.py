"""Kinds about transforms: gradients and pull-backs of functions that read and update state."""

from __future__ import annotations

from tests.property.stateful.generator import Generator, fill, kind

_FUNCTION = """
def {f}(w):
    {line}
    return nets.sum(w * w * {gain} + w * {state})
"""


def _function(g: Generator) -> str:
    """A function to differentiate, which reads and perhaps updates state."""
    name, gain, state = g.fresh("f"), g.plain("1.5"), g.tensor("v")
    line = g.choice(
        (
            "pass",
            "pass",
            state.write(f"0.5 * {state.read} + 1"),
            f"{state.read}[0] = 0.5",
            gain.write(f"{gain.read} * 0.5"),
        )
    )
    names = [place.name for place in (gain, state) if place.name in g.names]
    scope = f"@scope {' '.join(names)}\n    " if names else ""
    text = _FUNCTION.strip().format(f=name, line=scope + line, gain=gain.read, state=state.read)
    g.setup(text)
    if g.chance(0.5):
        g.outside(gain.write(g.choice(("0.5", "2", "0.0"))))
    return name


@kind("gradient inside", 3, by_numpy=False, exports=True)
def gradient_inside(g: Generator) -> None:
    name, place = _function(g), g.tensor("v")
    local = g.fresh("z")
    if g.chance(0.5):
        g.step(f"{local} = grad({name})(nets.astype({place.read}, 'float64'))")
    else:
        g.step(f"_, {local} = value_and_grad({name})(x)")
    g.result(local)
    g.step(place.write(f"0.5 * {place.read} - 0.1 * {local}"))


@kind("pull-back inside", 2, by_numpy=False, exports=True)
def pull_back_inside(g: Generator) -> None:
    name, value, pull = _function(g), g.fresh("z"), g.fresh("z")
    g.step(f"{value}, {pull} = vjp({name}, x)")
    g.result(f"{pull}(nets.Tensor(2.0))[0]")
    g.result(value)


@kind("gradient outside", 3, by_numpy=False)
def gradient_outside(g: Generator) -> None:
    """Transforms of plain functions see Python as it is at each call."""
    name = _function(g)
    transform = g.choice(("grad", "value_and_grad"))
    for gap in g.gaps_in_order(3):
        g.outside(f"call({transform}({name}), np.array({g.elements('v')}))", gap)


@kind("gradient of a traced function", 2, by_numpy=False)
def gradient_of_a_traced_function(g: Generator) -> None:
    name, traced = _function(g), g.fresh("f")
    made = g.choice(("grad(trace({}))", "trace(grad({}))", "trace(value_and_grad({}))"))
    g.setup(f"{traced} = {fill(made, name)}")
    for gap in g.gaps_in_order(3):
        g.outside(f"call({traced}, np.array({g.elements('v')}))", gap)


@kind("gradient by an argument", 2, by_numpy=False)
def gradient_by_an_argument(g: Generator) -> None:
    """Eager autograd goes through the call of the traced function."""
    name, weight, state = g.fresh("f"), g.fresh("h"), g.tensor("v")
    g.setup(f"{weight} = nets.Tensor({g.elements('v')}, requires_grad=True)")
    g.watch(weight, weight)
    line = g.choice(("pass", f"{state.read}[1] = 0.5", state.write(f"0.5 * {state.read} + 1")))
    scope = f"@scope {state.name}\n    " if state.name in g.names else ""
    g.setup(
        f"@trace\ndef {name}(w):\n    {scope}{line}\n    return nets.sum(w * w * {state.read})\n"
        f"def through_{name}(v):\n    loss = {name}({weight} * v)\n    loss.backward()\n"
        f"    return loss.detach()"
    )
    for gap in g.gaps_in_order(3):
        g.outside(f"call(through_{name}, nets.Tensor({g.elements('v')}))", gap)


@kind("pull-back outside", 1, by_numpy=False)
def pull_back_outside(g: Generator) -> None:
    name = _function(g)
    g.setup(
        f"def pulled_{name}(v):\n    value, pull = vjp({name}, v)\n    return value, pull(2.0)[0]"
    )
    for gap in g.gaps_in_order(3):
        g.outside(f"call(pulled_{name}, nets.Tensor({g.elements('v')}))", gap)


@kind("gradient through a layer", 1, by_numpy=False)
def gradient_through_a_layer(g: Generator) -> None:
    """One with running statistics, which the transform moves on."""
    name, layer = g.fresh("f"), g.fresh("o")
    made = "nn.BatchNorm1d(3, dtype='float64')"
    g.setup(f"{layer} = {made}")
    g.watch(layer, layer)
    g.reset(f"{layer} = {made}")
    g.names.add(layer)
    g.setup(f"def {name}(w):\n    return nets.sum({layer}(nets.stack([w, w * w, w + 1])) ** 2 * w)")
    transform = g.choice(("grad({})(x)", "value_and_grad({})(x)", "vjp({}, x)[0]"))
    g.result(fill(transform, name))
    if g.chance(0.5):
        g.outside(f"{layer}.{g.choice(('eval()', 'train()', 'eps = 0.5'))}")


@kind("auxiliary result", 1, by_numpy=False)
def auxiliary_result(g: Generator) -> None:
    """New state comes out of the function beside its value, and is bound."""
    name, place, local = g.fresh("f"), g.tensor("v", fresh=True), g.fresh("z")
    g.setup(f"def {name}(w, h):\n    new = 0.5 * h + 1\n    return nets.sum(w * w * new), new * 1")
    g.step(f"{local} = grad({name}, has_aux=True)(x, {place.read})")
    g.step(place.write(f"{local}[1]"))
    g.result(f"{local}[0]")


@kind("view in a loss", 1, by_numpy=False)
def view_in_a_loss(g: Generator) -> None:
    """Elements written through a view, and gradients of what was written and what was not."""
    weight, local, part = g.hold("weight", f"nn.Parameter({g.elements('v')})"), *map(g.fresh, "zz")
    g.reset(weight.renew(f"nn.Parameter({g.elements('v')})"))
    write = g.choice(("{} *= 2", "{}[0] = 3", "{}[...] = x[:2]", "{} += x[1:]"))
    g.step(f"{local} = {weight.read} * x\n{part} = {local}[1:]\n{fill(write, part)}")
    g.step(f"nets.sum({local} * {local}).backward()")
    g.result(f"{weight.read}.grad * 1")
