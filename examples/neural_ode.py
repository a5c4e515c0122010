"""Learn a differential equation from points of its path, with gradients in little memory.

The truth is a spiral, y' = A y³; in its place stands a small network (Chen et al., "Neural ordinary
differential equations", 2018), which learns from pieces of the path. Gradients go back through 100
Runge-Kutta steps of a scan; with ``checkpoints=`` it keeps eight states and runs the steps between
again: the same bits in a fraction of the memory. Run with ``python examples/neural_ode.py``.
"""

import time

import numpy as np

import nets
from nets import nn, optim

POINTS, BETWEEN, STEP = 200, 5, 0.008
PIECE, PIECES = 20, 19
CHECKPOINTS, EPOCHS = 8, 600
TRUTH = np.array([[-0.1, -2.0], [2.0, -0.1]]) / 4


def runge_kutta(slope, y, h):
    """The state after one step, by the classic method of four slopes."""
    k1 = slope(y)
    k2 = slope(y + h / 2 * k1)
    k3 = slope(y + h / 2 * k2)
    k4 = slope(y + h * k3)
    return y + h / 6 * (k1 + 2 * k2 + 2 * k3 + k4)


def path(slope, start, points, checkpoints=None):
    """The points after the start, BETWEEN steps from one to the next: (points, …, 2)."""

    def step(y, _):
        y = runge_kutta(slope, y, STEP)
        return y, y

    _, ys = nets.scan(step, start, None, length=points * BETWEEN, checkpoints=checkpoints)
    return ys[BETWEEN - 1 :: BETWEEN]


def spiral():
    """The true path from (2, 0) on: (POINTS + 1, 2)."""
    start = np.array([2.0, 0.0])
    ys = nets.trace(lambda y: path(lambda y: y**3 @ TRUTH, y, POINTS))(start).numpy()
    return np.concatenate([start[None], ys]).astype("float32")


def gradients(network, loss, checkpoints):
    """The gradient by each parameter, and the bytes that a native call of it needs at most."""

    @nets.trace
    def backward():
        network.zero_grad()
        loss(checkpoints).backward()
        return [p.grad for p in network.parameters()]

    lowered = backward.lower()
    return [g.numpy() for g in lowered.compile()()], lowered.cost()["peak_bytes"]


def main():
    truth = spiral()
    first = np.arange(PIECES) * ((POINTS - PIECE) // (PIECES - 1))
    starts, seen = truth[first], truth[first + np.arange(1, PIECE + 1)[:, None]]

    nets.manual_seed(0)
    network = nn.Sequential(nn.Linear(2, 32), nn.Tanh(), nn.Linear(32, 2))

    def loss(checkpoints):
        """Mean squared distance from the points of all pieces."""
        return ((path(network, starts, PIECE, checkpoints) - seen) ** 2).mean()

    everything, most = gradients(network, loss, None)
    few, least = gradients(network, loss, CHECKPOINTS)
    same = all(map(np.array_equal, everything, few))
    print(f"gradients keep {most} bytes, with {CHECKPOINTS} checkpoints {least}")
    print(f"their bits are {'the same' if same else 'OTHER ONES'}")
    assert same
    assert least < most / 20

    optimizer = optim.Adam(network.parameters(), lr=0.03)
    schedule = optim.CosineAnnealingLR(optimizer, EPOCHS)

    @nets.trace
    def train_step():
        optimizer.zero_grad()
        value = loss(CHECKPOINTS)
        value.backward()
        optimizer.step()
        return value

    train_step()  # compiles
    began = time.perf_counter()
    for epoch in range(1, EPOCHS + 1):
        value = train_step().item()
        schedule.step()
        if epoch % 100 == 0:
            print(f"step {epoch}: mean squared distance {value:.1e}")
    print(f"{1e3 * (time.perf_counter() - began) / EPOCHS:.2f} ms per step")

    found = nets.trace(lambda: path(network, truth[0], POINTS))().numpy()
    away = np.abs(found - truth[1:]).max()
    print(f"from the start alone, the path of {POINTS} points is at most {away:.2f} away")
    assert away < 0.2


if __name__ == "__main__":
    main()
