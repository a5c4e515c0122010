"""Solve a differential equation with a network that has never seen the solution.

Burgers' equation u_t + u u_x = ν u_xx, where a wave becomes a travelling front. The network is told
what the equation is, and values at the start and at both ends (Raissi, Perdikaris and Karniadakis,
"Physics-informed neural networks", 2019). Its derivatives by t and x, twice by x, are forward mode
along these directions; their gradient by the weights is reverse mode over that, and vmap takes all
points at once. Run with ``python examples/physics_informed.py``.
"""

import time

import numpy as np

import nets
from nets import nn, optim

VISCOSITY, STEPS, INSIDE, EDGE = 0.05, 1500, 400, 60
ALONG_T, ALONG_X = np.eye(2, dtype="float32")


def exact(points):
    """A front that moves at the speed ½: a solution on the whole line."""
    t, x = points[:, 0], points[:, 1]
    return 0.5 - 0.5 * np.tanh((x - t / 2) / (4 * VISCOSITY))


def burgers(u, point):
    """What u lacks to be a solution at (t, x)."""

    def slope(point):
        return nets.jvp(u, (point,), (ALONG_X,))

    (value, u_x), (_, u_xx) = nets.jvp(slope, (point,), (ALONG_X,))
    _, u_t = nets.jvp(u, (point,), (ALONG_T,))
    return u_t + value * u_x - VISCOSITY * u_xx


def places(rng):
    """Points (t, x) inside of [0, 1] × [-1, 1], and on its edges where the solution is given."""
    inside = rng.uniform([0, -1], [1, 1], (INSIDE, 2))
    start = rng.uniform([0, -1], [0, 1], (EDGE, 2))
    left, right = rng.uniform([0, -1], [1, -1], (EDGE, 2)), rng.uniform([0, 1], [1, 1], (EDGE, 2))
    edges = np.concatenate([start, left, right])
    return inside.astype("float32"), edges.astype("float32")


def main():
    inside, edges = places(np.random.default_rng(0))
    given = exact(edges).astype("float32")
    nets.manual_seed(1)
    network = nn.Sequential(
        nn.Linear(2, 24), nn.Tanh(), nn.Linear(24, 24), nn.Tanh(), nn.Linear(24, 1)
    )
    optimizer = optim.Adam(network.parameters(), lr=0.01)
    schedule = optim.CosineAnnealingLR(optimizer, STEPS)

    def u(point):
        return network(point)[0]

    @nets.trace
    def train_step():
        optimizer.zero_grad()
        lacking = nets.vmap(lambda point: burgers(u, point))(inside)
        loss = (lacking**2).mean() + ((network(edges)[:, 0] - given) ** 2).mean()
        loss.backward()
        optimizer.step()
        return loss

    began = time.perf_counter()
    train_step()
    print(f"first step, compilation included: {time.perf_counter() - began:.1f} s")
    began = time.perf_counter()
    for step in range(1, STEPS + 1):
        value = train_step().item()
        schedule.step()
        if step % 300 == 0:
            print(f"step {step}: loss {value:.1e}")
    print(f"{1e3 * (time.perf_counter() - began) / STEPS:.2f} ms per step")

    t, x = np.meshgrid(np.linspace(0, 1, 41), np.linspace(-1, 1, 81))
    grid = np.stack([t.ravel(), x.ravel()], axis=1).astype("float32")
    away = np.abs(network(grid).numpy()[:, 0] - exact(grid)).max()
    print(f"largest error on a grid of {len(grid)} points: {away:.4f}")
    assert away < 0.02


if __name__ == "__main__":
    main()
