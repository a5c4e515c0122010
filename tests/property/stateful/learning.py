"""Kinds about parameters, gradients, layers, optimisers and transforms."""

from __future__ import annotations

from tests.property.stateful.generator import Generator, Place, fill, kind

_LOSSES = (
    "nets.sum(({0} * x - 1) ** 2)",
    "nets.mean(nets.tanh({0}) * x)",
    "nets.sum({0} * {0} * 0.5 + {0} * x)",
    "((nets.sum({0} * x) - 0.5) ** 2)",
)


def _parameter(g: Generator, dtype: str = "float64") -> Place:
    """A tensor that requires a gradient, in a holder."""
    made = g.choice(("nn.Parameter({})", "nets.Tensor({}, requires_grad=True)"))
    value = fill(made, g.elements("v"))
    place = g.hold("parameter", value)
    g.reset(place.renew(value))
    return place


def _loss(g: Generator, *texts: str) -> str:
    """The lines that compute ``loss`` and go backward."""
    name = g.fresh("l")
    terms = " + ".join(g.pick(_LOSSES, text) for text in texts)
    g.step(f"{name} = {terms}")
    g.step(f"{name}.backward()")
    g.result(f"{name}.detach()")
    return name


def _parameter_changes(g: Generator, place: Place) -> None:
    if g.chance(0.5):
        return
    g.outside(
        g.choice(
            (
                f"{place.read}.data = {g.elements('v')}",
                f"{place.read}.zero_grad()",
                f"{place.read}.grad = np.ones(3)",
                place.write(f"nn.Parameter({g.elements('v')})"),
            )
        )
    )


@kind("descent", 3, by_numpy=False, exports=True)
def descent(g: Generator) -> None:
    place = _parameter(g)
    if g.chance(0.8):
        g.step(g.pick(("{}.zero_grad()", "{}.grad = None"), place.read))
    _loss(g, place.read)
    g.step(f"{place.read}.data = {place.read} - 0.1 * {place.read}.grad")
    _parameter_changes(g, place)


@kind("gradient that adds up", 2, by_numpy=False, exports=True)
def gradient_that_adds_up(g: Generator) -> None:
    place = _parameter(g)
    _loss(g, place.read)
    if g.chance(0.5):
        _loss(g, place.read)
    g.result(f"{place.read}.grad * 1")
    _parameter_changes(g, place)


@kind("momentum by hand", 3, by_numpy=False, exports=True)
def momentum_by_hand(g: Generator) -> None:
    place, speed = _parameter(g), g.tensor("v", fresh=True)
    g.step(f"{place.read}.zero_grad()")
    _loss(g, place.read)
    g.step(speed.write(f"0.9 * {speed.read} + {place.read}.grad"))
    g.step(f"{place.read}.data = {place.read} - 0.1 * {speed.read}")


@kind("Adam by hand", 2, by_numpy=False)
def adam_by_hand(g: Generator) -> None:
    """With a step count that is a Python number."""
    place, count = _parameter(g), g.plain("0")
    first, second = (g.hold("moment", "nets.zeros(3)") for _ in range(2))
    for moment in (first, second):
        g.reset(moment.renew("nets.zeros(3)"))
    g.step(f"{place.read}.zero_grad()")
    _loss(g, place.read)
    g.step(count.write(f"{count.read} + 1"))
    g.step(first.write(f"0.9 * {first.read} + 0.1 * {place.read}.grad"))
    g.step(second.write(f"0.99 * {second.read} + 0.01 * {place.read}.grad ** 2"))
    g.step(
        f"{place.read}.data = {place.read} - 0.1 * {first.read} / (1 - 0.9 ** {count.read}) "
        f"/ (nets.sqrt({second.read} / (1 - 0.99 ** {count.read})) + 0.1)"
    )


@kind("list of parameters", 2, by_numpy=False, exports=True)
def list_of_parameters(g: Generator) -> None:
    items = ", ".join(f"nn.Parameter({g.elements('v')})" for _ in range(2))
    place = g.hold("parameters", f"[{items}]")
    g.reset(place.renew(f"[{items}]"))
    g.step(f"for p in {place.read}:\n    p.zero_grad()")
    _loss(g, f"sum({place.read})")
    update = g.choice(
        ("p.data = p - 0.1 * p.grad", "with nets.no_grad():\n            p -= 0.1 * p.grad")
    )
    g.step(f"for p in {place.read}:\n    if p.requires_grad:\n        {update}")
    if g.chance(0.5):
        g.outside(
            g.choice(
                (
                    f"{place.read}.append(nn.Parameter({g.elements('v')}))",
                    f"{place.read}[0] = nn.Parameter({g.elements('v')})",
                    f"{place.read}.pop()",
                    f"{place.read}[0].requires_grad = False",
                )
            )
        )


@kind("requires_grad switched", 1, by_numpy=False)
def requires_grad_switched(g: Generator) -> None:
    one, other = _parameter(g), _parameter(g)
    _loss(g, one.read, other.read)
    for gap, value in zip(g.gaps_in_order(2), ("False", "True"), strict=True):
        g.outside(f"{one.read}.requires_grad = {value}", gap)
    g.reset(f"{one.read}.requires_grad = True")


@kind("gradient assigned in the step", 1, by_numpy=False)
def gradient_assigned_in_the_step(g: Generator) -> None:
    place = _parameter(g)
    _loss(g, place.read)
    value = g.choice((f"{place.read}.grad * 0.5", "x * 1", "np.ones(3)", "None"))
    g.step(f"{place.read}.grad = {value}")
    g.result(f"{place.read}.grad * 1")


@kind("backward from several elements", 1, by_numpy=False)
def backward_from_several_elements(g: Generator) -> None:
    place = _parameter(g)
    seed = g.choice(("np.ones(3)", "[1.0, 2.0, 3.0]", "x", "nets.ones(3)"))
    g.step(f"({place.read} * x).backward({seed})")
    g.result(f"{place.read}.grad * 1")


@kind("written between forward and backward", 1, by_numpy=False)
def written_between_forward_and_backward(g: Generator) -> None:
    place, name = _parameter(g), g.fresh("l")
    state = g.tensor("v", fresh=True)
    g.step(f"{name} = nets.sum({place.read} * {place.read} * {state.read})")
    g.step(g.choice((f"{state.read}[1] = 2", f"{state.read}.data = {state.read} * 2")))
    g.step(f"{name}.backward()")
    g.result(f"{place.read}.grad * 1")


@kind("state made of a parameter", 1, by_numpy=False, exports=True)
def state_made_of_a_parameter(g: Generator) -> None:
    """A running mean of what depends on a parameter, cut off from its gradient."""
    place, mean = _parameter(g), g.tensor("v", fresh=True)
    local = g.fresh("z")
    g.step(f"{local} = nets.tanh({place.read} * x)")
    g.step(mean.write(f"0.9 * {mean.read} + 0.1 * {local}.detach()"))
    g.step(f"nets.sum({local} * {mean.read}).backward()")
    g.result(f"{place.read}.grad * 1")


# ----------------------------------------------------------------------- layers, optimisers

_LAYERS = {
    "nn.Linear(3, 2, dtype='float64')": (),
    "nn.LayerNorm(3, dtype='float64')": ("{}.eps = 0.5",),
    "nn.RMSNorm(3, dtype='float64')": ("{}.eps = 0.5",),
    "nn.BatchNorm1d(3, dtype='float64')": (
        "{}.eps = 0.5",
        "{}.momentum = 0.5",
        "{}.momentum = None",
        "{}.running_mean.data = [0.5, 0.5, 0.5]",
        "{}.running_var = nets.Tensor([4.0, 5.0, 6.0])",
    ),
    "nn.LeakyReLU(0.1)": ("{}.negative_slope = 0.5",),
    "nn.ELU(0.5)": ("{}.alpha = 1.5",),
    "nn.Softplus()": ("{}.beta = 2.0",),
    "nn.GroupNorm(1, 3, dtype='float64')": ("{}.num_groups = 3",),
    "nn.Dropout(0.5)": ("{}.p = 0.25", "{}.p = 0.0"),
}


def _layer(g: Generator) -> tuple[str, str]:
    """The name of a layer, and its class."""
    text = g.choice(list(_LAYERS))
    name = g.fresh("o")
    g.setup(f"nets.manual_seed(3)\n{name} = {text}")
    g.watch(name, name)
    g.reset(f"nets.manual_seed(3)\n{name} = {text}")
    g.names.add(name)
    changes = [*_LAYERS[text], "{}.eval()", "{}.train()"]
    if "Linear" in text or "Norm" in text:
        changes += [
            "{}.weight.data = {}.weight * 0.5",
            "{}.weight = nn.Parameter({}.weight.numpy() * 2)",
            "{}.bias = None",
            "{0}.load_state_dict({k: v * 0.5 for k, v in {0}.state_dict().items()})",
            "{}.requires_grad_(False)",
        ]
    for gap in g.gaps_in_order(g.choice((1, 2, 3))):
        g.outside(g.pick(changes, name, name), gap)
    return name, text


def _batch(text: str) -> str:
    return "nets.stack([x, x * x])"


@kind("layer", 4, by_numpy=False, exports=True)
def layer(g: Generator) -> None:
    name, text = _layer(g)
    g.result(f"{name}({_batch(text)}).detach()")


@kind("mode switched in the step", 1, by_numpy=False)
def mode_switched_in_the_step(g: Generator) -> None:
    name, text = _layer(g)
    g.step(f"{name}.eval()")
    g.result(f"{name}({_batch(text)}).detach()")
    g.step(f"{name}.train()")
    g.result(f"{name}({_batch(text)}).detach()")


_MODULE = """
class Own_{n}(nn.Module):
    def __init__(self):
        super().__init__()
        self.w = nn.Parameter({v})
        self.scale = 2.0
        self.register_buffer("mean", nets.zeros(3))
        self.steps = 0
    def forward(self, x):
        {line}
        return x * self.w * self.scale + self.mean
{n} = Own_{n}()
"""


@kind("module of one's own", 3, by_numpy=False, resets=False)
def module_of_ones_own(g: Generator) -> None:
    name = g.fresh("o")
    line = g.choice(
        (
            "self.mean = 0.9 * self.mean + 0.1 * x",
            "self.mean[...] = 0.9 * self.mean + 0.1 * x",
            "self.mean.data = 0.9 * self.mean + 0.1 * x",
            "self.steps += 1",
            "if self.training:\n            self.mean = 0.5 * self.mean + x",
            "self.last = x * 1",
            "pass",
        )
    )
    g.setup(_MODULE.strip().format(n=name, v=g.elements("v"), line=line))
    g.watch(name, name)
    if g.chance(0.5):
        g.step(f"nets.sum({name}(x)).backward()")
    else:
        g.result(f"{name}(x).detach()")
    changes = (
        f"{name}.scale = 0.5",
        f"{name}.scale = np.float64(1.5)",
        f"{name}.scale = nets.Tensor([1.0, 2.0, 3.0])",
        f"{name}.mean = nets.Tensor([1.0, 2.0, 3.0])",
        f"{name}.w = nn.Parameter([1.0, 2.0, 3.0])",
        f"{name}.w.data = [0.5, 0.5, 0.5]",
        f"{name}.eval()",
        f"{name}.load_state_dict({{'w': np.ones(3), 'mean': np.ones(3)}})",
        f"{name}.forward = lambda x: x * 3 + {name}.w",
        f"Own_{name}.forward = lambda self, x: x * self.scale + self.w",
    )
    for gap in g.gaps_in_order(2):
        g.outside(g.choice(changes), gap)


_OPTIMISERS = (
    "optim.SGD({}, lr=0.1)",
    "optim.SGD({}, lr=0.1, momentum=0.9)",
    "optim.SGD({}, lr=0.1, momentum=0.9, nesterov=True, weight_decay=0.1)",
    "optim.Adam({}, lr=0.1, eps=0.01)",
    "optim.AdamW({}, lr=0.1, eps=0.01)",
    "optim.RMSprop({}, lr=0.01, eps=0.01)",
    "optim.Adagrad({}, lr=0.1, eps=0.01)",
)


@kind("optimiser", 4, by_numpy=False, resets=False, exports=True)
def optimiser(g: Generator) -> None:
    place, name = _parameter(g), g.fresh("o")
    g.setup(f"{name} = {g.pick(_OPTIMISERS, f'[{place.read}]')}")
    g.watch(name, name)
    g.step(f"{name}.zero_grad()")
    _loss(g, place.read)
    g.step(f"{name}.step()")
    changes = [
        f"{name}.lr = 0.05",
        f'{name}.param_groups[0]["weight_decay"] = 0.25',
        f'{name}.param_groups[0]["lr"] *= 0.5',
        f"{place.read}.data = {g.elements('v')}",
        f"{name}.load_state_dict({name}.state_dict())",
        f"{name}.add_param_group({{'params': [nn.Parameter([1.0, 2.0])]}})",
    ]
    for gap in g.gaps_in_order(g.choice((0, 1, 2))):
        g.outside(g.choice(changes), gap)


@kind("schedule", 2, by_numpy=False, resets=False)
def schedule(g: Generator) -> None:
    place, name, plan = _parameter(g), g.fresh("o"), g.fresh("o")
    g.setup(f"{name} = optim.SGD([{place.read}], lr=0.1)")
    made = g.choice(
        (
            "optim.StepLR({}, 2, 0.5)",
            "optim.ExponentialLR({}, 0.9)",
            "optim.CosineAnnealingLR({}, 5)",
        )
    )
    g.setup(f"{plan} = {fill(made, name)}")
    g.watch(name, name)
    g.step(f"{name}.zero_grad()")
    _loss(g, place.read)
    g.step(f"{name}.step()")
    if g.chance(0.15):
        g.step(f"{plan}.step()")
    else:
        for gap in range(1, 6):
            g.outside(f"{plan}.step()", gap)


@kind("layers in order", 2, by_numpy=False)
def layers_in_order(g: Generator) -> None:
    """A Sequential or a ModuleList, whose layers are replaced and added."""
    name, is_list = g.fresh("o"), g.chance(0.4)
    layers = "nn.LayerNorm(3, dtype='float64'), nn.Tanh(), nn.LeakyReLU(0.1)"
    made = f"nn.ModuleList([{layers}])" if is_list else f"nn.Sequential({layers})"
    g.setup(f"{name} = {made}")
    g.watch(name, name)
    g.reset(f"{name} = {made}")
    g.names.add(name)
    if is_list:
        g.step(f"for layer in {name}:\n    y = layer(nets.stack([y, x])).detach()[0]")
    else:
        g.result(f"{name}(nets.stack([y, x])).detach()")
    changes = (
        f"{name}.append(nn.ELU(0.5))",
        f'setattr({name}, "1", nn.Softplus())',
        f"{name}[2].negative_slope = 0.5",
        f"{name}[0].weight.data = [1.0, 2.0, 3.0]",
        f"{name}[0].eps = 0.5",
        f"{name}[0].bias = nn.Parameter([1.0, 2.0, 3.0])",
    )
    for gap in g.gaps_in_order(2):
        g.outside(g.choice(changes), gap)


@kind("norm by hand", 2, by_numpy=False, resets=False)
def norm_by_hand(g: Generator) -> None:
    """A batch norm as people write it, in an object of their own."""
    name = g.fresh("o")
    base = g.choice(("nn.Module", "object"))
    update = g.choice(
        (
            "self.mean = 0.9 * self.mean + 0.1 * batch.mean(axis=0)",
            "self.mean *= 0.9\n            self.mean += 0.1 * batch.mean(axis=0)",
            "self.mean = self.momentum * self.mean + (1 - self.momentum) * batch.mean(axis=0)",
        )
    )
    g.setup(
        f"class Own_{name}({base}):\n    def __init__(self):\n        super().__init__()\n"
        f"        self.mean = nets.zeros(3)\n        self.momentum, self.learning = 0.9, True\n"
        f"    def forward(self, batch):\n        if self.learning:\n            {update}\n"
        f"        return batch - self.mean\n{name} = Own_{name}()"
    )
    g.watch(name, name)
    g.result(f"{name}.forward(nets.stack([x, y]))")
    changes = ("{}.learning = False", "{}.learning = True", "{}.momentum = 0.5", "{}.mean[0] = 2")
    for gap in g.gaps_in_order(2):
        g.outside(g.pick(changes, name), gap)


@kind("clipped gradients", 1, by_numpy=False, resets=False)
def clipped_gradients(g: Generator) -> None:
    place, name = _parameter(g), g.fresh("o")
    g.setup(f"{name} = optim.SGD([{place.read}], lr=0.1)")
    g.watch(name, name)
    g.step(f"{name}.zero_grad()")
    _loss(g, place.read)
    g.step(f"nn.utils.clip_grad_norm_([{place.read}], 0.5)\n{name}.step()")
    if g.chance(0.5):
        g.outside(f"{name}.lr = 0.05")
