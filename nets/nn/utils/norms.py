"""weight_norm and spectral_norm as PyTorch had them first, with ``weight_g``, ``weight_orig``, …

Those of ``nets.nn.utils.parametrizations`` are the newer ones; state dicts differ in the names.
"""

from __future__ import annotations

from typing import Any

import nets
from nets.nn.functional import normalize
from nets.nn.functional.arguments import check, check_count
from nets.nn.module import Module, Parameter
from nets.nn.utils.computed import NORMS, Norm, give_class, norms
from nets.nn.utils.parametrizations import as_rows, lengths, outputs_axis, tensor_of


class _Lengths:
    """g v / ‖v‖ of ``weight_g`` and ``weight_v``."""

    def __init__(self, name: str, dim: int | None) -> None:
        self.name, self.dim = name, dim

    def weight(self, module: Any) -> nets.Tensor:
        v: nets.Tensor = getattr(module, f"{self.name}_v")
        g: nets.Tensor = getattr(module, f"{self.name}_g")
        return v * (g / lengths(v, self.dim))

    def before_forward(self, module: Any) -> None:
        """Nothing."""


class _Largest:
    """``weight_orig`` by its largest singular value, from ``weight_u`` and ``weight_v``."""

    def __init__(self, name: str, steps: int, eps: float, dim: int) -> None:
        self.name, self.steps, self.eps, self.dim = name, steps, eps, dim

    def _vectors(self, module: Any) -> tuple[nets.Tensor, nets.Tensor]:
        return getattr(module, f"{self.name}_u"), getattr(module, f"{self.name}_v")

    def weight(self, module: Any) -> nets.Tensor:
        stored: nets.Tensor = getattr(module, f"{self.name}_orig")
        u, v = map(nets.stop_gradient, self._vectors(module))
        return stored / (u @ (as_rows(stored, self.dim) @ v))

    def before_forward(self, module: Any) -> None:
        """Power iterations in training, whose vectors are kept."""
        if not module.training:
            return
        kept_u, kept_v = self._vectors(module)
        with nets.no_grad():
            matrix = nets.stop_gradient(as_rows(getattr(module, f"{self.name}_orig"), self.dim))
            u, v = kept_u, kept_v
            for _ in range(self.steps):
                v = normalize(matrix.T @ u, dim=0, eps=self.eps)
                u = normalize(matrix @ v, dim=0, eps=self.eps)
            kept_u.data, kept_v.data = u, v


def _begin(module: Module, name: str, norm: Norm) -> Parameter:
    """Take a parameter out of the module, to be computed from now on."""
    check(name not in norms(module), f"{name} of this {type(module).__name__} has a norm already")
    found = tensor_of(module, name)
    check(
        isinstance(vars(module).get(name), Parameter),
        f"{name} of this {type(module).__name__} is no parameter",
    )
    delattr(module, name)
    vars(module).setdefault(NORMS, {})[name] = norm
    give_class(module)
    return found  # type: ignore[return-value]  # as checked


def _end(module: Module, name: str, kind: type, *parts: str) -> Module:
    """Store again what was computed."""
    found = norms(module).get(name)
    check(
        isinstance(found, kind),
        f"{name} of this {type(module).__name__} is not computed by what is to be removed",
    )
    with nets.no_grad():
        value = getattr(module, name).numpy()
    wanted = getattr(module, f"{name}_{parts[0]}").requires_grad
    for part in parts:
        delattr(module, f"{name}_{part}")
        module._buffers -= {f"{name}_{part}"}
    del norms(module)[name]
    if not norms(module):
        delattr(module, NORMS)
    give_class(module)
    setattr(module, name, Parameter(value, wanted))
    return module


def weight_norm(module: Module, name: str = "weight", dim: int | None = 0) -> Module:
    """Let a weight be ``weight_g``, its lengths, times the direction ``weight_v``; the module.

    As ``parametrizations.weight_norm``, but for the names. ArgumentError where the module has no
    parameter ``name``, or one with a norm; AxisError where it has no axis ``dim``.
    """
    before = lengths(tensor_of(module, name).detach(), dim).numpy()
    weight = _begin(module, name, _Lengths(name, dim))
    setattr(module, f"{name}_g", Parameter(before, weight.requires_grad))
    setattr(module, f"{name}_v", weight)
    return module


def remove_weight_norm(module: Module, name: str = "weight") -> Module:
    """Let the weight ``name`` be a parameter again, as it is now; the module.

    ArgumentError where ``weight_norm`` has not been called for it.
    """
    return _end(module, name, _Lengths, "v", "g")


def spectral_norm(
    module: Module,
    name: str = "weight",
    n_power_iterations: int = 1,
    eps: float = 1e-12,
    dim: int | None = None,
) -> Module:
    """Divide a weight by its largest singular value, of power iterations; the module.

    As ``parametrizations.spectral_norm``, but that iterations are done by each forward in training,
    ``n_power_iterations`` of them, from vectors ``weight_u`` and ``weight_v`` of chance; ``dim`` is
    the axis of rows and ``eps`` the least length that is divided by. ``weight_orig`` is trained.

    ArgumentError where the module has no parameter ``name``, or one with a norm, and for no
    iterations; AxisError where it has no axis ``dim``.
    """
    check_count("n_power_iterations", n_power_iterations)
    axis = outputs_axis(module) if dim is None else dim
    with nets.no_grad():
        rows = as_rows(tensor_of(module, name), axis)
    weight = _begin(module, name, _Largest(name, n_power_iterations, eps, axis))
    setattr(module, f"{name}_orig", weight)
    for part, size in zip("uv", rows.shape, strict=True):
        drawn = nets.random.normal((size,), dtype=weight.dtype)
        module.register_buffer(f"{name}_{part}", normalize(drawn, dim=0, eps=eps))
    return module


def remove_spectral_norm(module: Module, name: str = "weight") -> Module:
    """Let the weight ``name`` be a parameter again, divided as it is now; the module.

    ArgumentError where ``spectral_norm`` has not been called for it.
    """
    return _end(module, name, _Largest, "orig", "u", "v")
