"""Adam (Kingma and Ba, 2015) on dicts of arrays, as one writes it in nets and in JAX.

PyTorch has it: ``torch.optim.Adam``, here with ``fused=True``, its fastest form.
"""

from __future__ import annotations

import numpy as np

from benchmarks.workload import Array

RATE, BETA1, BETA2, EPSILON = 1e-3, 0.9, 0.999, 1e-8


def initial_state(params: dict[str, Array]):
    """The parameters, and both moments zero."""
    m, v = ({name: np.zeros_like(p) for name, p in params.items()} for _ in range(2))
    return {"params": params, "m": m, "v": v, "step": np.array(0, "float32")}


def update(sqrt, state, grads):
    """The state after one step; ``sqrt`` is that of the system."""
    step = state["step"] + 1
    rate, spread = RATE / (1 - BETA1**step), sqrt(1 - BETA2**step)
    params, ms, vs = {}, {}, {}
    for name, grad in grads.items():
        m = ms[name] = BETA1 * state["m"][name] + (1 - BETA1) * grad
        v = vs[name] = BETA2 * state["v"][name] + (1 - BETA2) * grad * grad
        params[name] = state["params"][name] - rate * m / (sqrt(v) / spread + EPSILON)
    return {"params": params, "m": ms, "v": vs, "step": step}
