"""nets: NumPy-style tensor programs and their gradients, compiled ahead of time to native code.

This room holds the public names and nothing else. What traces and compiles is imported when it is
first used, so that eager programs start at once.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from nets import errors, tracebacks
from nets.frontend.tensor import functions
from nets.frontend.tensor.functions import *  # noqa: F403 (named by __all__ there)
from nets.frontend.tensor.order import NAMES as _ORDER
from nets.frontend.tensor.other_names import add_functions, missing
from nets.frontend.tensor.pytorch.delegates import set_lookup
from nets.frontend.tensor.scope import suspended
from nets.frontend.tensor.tensor import Tensor
from nets.frontend.tensor.variable import enable_grad, is_grad_enabled, no_grad
from nets.frontend.tensor.words import NAMES as _WORDS
from nets.locks import imports as _imports
from nets.version import __version__

if TYPE_CHECKING:
    from nets import data, datasets, distributed, linalg, nn, optim, optimize, random, special
    from nets.backend.library.loader import load
    from nets.frontend.calls.lowered import evaluate, parse_ir
    from nets.frontend.calls.trace import trace
    from nets.frontend.derived import checkpoint_policies
    from nets.frontend.derived.checking import check_grads
    from nets.frontend.derived.checkpoint import checkpoint
    from nets.frontend.derived.custom import custom_jvp, custom_vjp
    from nets.frontend.derived.forward import hvp, jvp, linearize
    from nets.frontend.derived.implicit import implicit
    from nets.frontend.derived.jacobians import hessian, jacfwd, jacobian, jacrev
    from nets.frontend.derived.pullback import vjp
    from nets.frontend.derived.sparse import sparse_hessian, sparse_jacobian, sparsity
    from nets.frontend.derived.sparse_matrix import SparseMatrix, SparsityPattern
    from nets.frontend.derived.transforms import grad, value_and_grad
    from nets.frontend.derived.vectorized import vmap
    from nets.frontend.library.export import export
    from nets.frontend.tracing.associative import associative_scan
    from nets.frontend.tracing.control_flow import cond, fori_loop, map, scan, while_loop  # noqa: A004
    from nets.frontend.tracing.debug import debug_print
    from nets.frontend.tracing.open_sizes import dim
    from nets.frontend.tracing.spec import spec
    from nets.ir.location import user_location
    from nets.random import manual_seed
    from nets.solver import Solver

_LATER = {
    "trace": "nets.frontend.calls.trace",
    "grad": "nets.frontend.derived.transforms",
    "value_and_grad": "nets.frontend.derived.transforms",
    "vjp": "nets.frontend.derived.pullback",
    "sparsity": "nets.frontend.derived.sparse",
    "sparse_jacobian": "nets.frontend.derived.sparse",
    "sparse_hessian": "nets.frontend.derived.sparse",
    "SparseMatrix": "nets.frontend.derived.sparse_matrix",
    "SparsityPattern": "nets.frontend.derived.sparse_matrix",
    "check_grads": "nets.frontend.derived.checking",
    "implicit": "nets.frontend.derived.implicit",
    "custom_jvp": "nets.frontend.derived.custom",
    "custom_vjp": "nets.frontend.derived.custom",
    "vmap": "nets.frontend.derived.vectorized",
    "jvp": "nets.frontend.derived.forward",
    "linearize": "nets.frontend.derived.forward",
    "hvp": "nets.frontend.derived.forward",
    "jacfwd": "nets.frontend.derived.jacobians",
    "jacrev": "nets.frontend.derived.jacobians",
    "jacobian": "nets.frontend.derived.jacobians",
    "hessian": "nets.frontend.derived.jacobians",
    "checkpoint": "nets.frontend.derived.checkpoint",
    "checkpoint_policies": "nets.frontend.derived.checkpoint",
    "associative_scan": "nets.frontend.tracing.associative",
    "scan": "nets.frontend.tracing.control_flow",
    "fori_loop": "nets.frontend.tracing.control_flow",
    "while_loop": "nets.frontend.tracing.control_flow",
    "cond": "nets.frontend.tracing.control_flow",
    "map": "nets.frontend.tracing.control_flow",
    "debug_print": "nets.frontend.tracing.debug",
    "spec": "nets.frontend.tracing.spec",
    "dim": "nets.frontend.tracing.open_sizes",
    "evaluate": "nets.frontend.calls.lowered",
    "parse_ir": "nets.frontend.calls.lowered",
    "export": "nets.frontend.library.export",
    "load": "nets.backend.library.loader",
    "user_location": "nets.frontend.tensor.scope",
    "manual_seed": "nets.random",
    "Solver": "nets.solver",
    **_WORDS,
    **_ORDER,
}
"""Public name → the module that has it."""

_ROOMS = (
    "linalg",
    "nn",
    "optim",
    "optimize",
    "data",
    "datasets",
    "random",
    "special",
    "distributed",
)
"""What is a room of its own, imported when it is first used."""

__all__ = [
    "Tensor",
    "no_grad",
    "enable_grad",
    "is_grad_enabled",
    "suspended",
    "user_location",
    "manual_seed",
    "Solver",
    "linalg",
    "nn",
    "optim",
    "optimize",
    "data",
    "datasets",
    "random",
    "special",
    "distributed",
    "trace",
    "grad",
    "value_and_grad",
    "vjp",
    "sparsity",
    "sparse_jacobian",
    "sparse_hessian",
    "SparseMatrix",
    "SparsityPattern",
    "jvp",
    "linearize",
    "vmap",
    "jacfwd",
    "jacrev",
    "jacobian",
    "hessian",
    "hvp",
    "custom_jvp",
    "custom_vjp",
    "implicit",
    "check_grads",
    "checkpoint",
    "checkpoint_policies",
    "scan",
    "fori_loop",
    "while_loop",
    "cond",
    "map",
    "associative_scan",
    "debug_print",
    "spec",
    "dim",
    "evaluate",
    "parse_ir",
    "export",
    "load",
    "errors",
    "__version__",
]
__all__ += functions.__all__
__all__ += [name for name in (*_WORDS, *_ORDER) if name not in __all__]

add_functions([*functions.__all__, *_WORDS, *_ORDER], Tensor)
set_lookup(lambda path: _function_at(path))
tracebacks.install()


def __getattr__(name: str) -> Any:
    if name in _ROOMS:
        return _imported(f"nets.{name}")
    module = _LATER.get(name)
    if module is None:
        paths = (*_ROOMS, "nn.functional", "nn.init") if not name.startswith("_") else ()
        missing(name, __all__, [(f"nets.{x}", _imported(f"nets.{x}")) for x in paths])
    value = getattr(_imported(module), name)
    globals()[name] = value
    return value


def _function_at(path: str) -> Any:
    """What stands at a path below this module; None where nothing does."""
    first, *rest = path.split(".")
    if first not in __all__:
        return None
    found = globals()[first] if first in globals() else __getattr__(first)
    for word in rest:
        found = getattr(found, word, None)
    return found


def _imported(module: str) -> Any:
    """The module, imported outside every trace: what it makes then is no part of one."""
    with suspended(), _imports.inside():
        return import_module(module)


def __dir__() -> list[str]:
    return sorted(set(globals()) | set(__all__))
