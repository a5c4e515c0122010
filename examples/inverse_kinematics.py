"""Bend a robot arm until its hand is where it should be: eager tensors, no compilation.

``requires_grad=True``, arithmetic, ``backward()``, ``.grad``: a tensor remembers how it was made.
The same function is then traced: the same angles, sooner.
Run with ``python examples/inverse_kinematics.py``.
"""

import time

import numpy as np

import nets

LENGTHS = np.array([1.0, 0.8, 0.6, 0.4])


def hand(angles):
    """Where the arm ends; each angle counts from the link before."""
    heading = nets.cumsum(angles, axis=0)
    return nets.stack([(LENGTHS * nets.cos(heading)).sum(), (LENGTHS * nets.sin(heading)).sum()])


def distance(angles, target):
    """Squared distance of the hand from the target."""
    return ((hand(angles) - target) ** 2).sum()


def reach(measure, target, steps=200):
    """The angles that gradient descent finds, and the seconds it took."""
    start = time.perf_counter()
    angles = nets.Tensor(np.full(4, 0.3), requires_grad=True)
    for _ in range(steps):
        angles.zero_grad()
        measure(angles, target).backward()
        angles.data = angles.data - 0.05 * angles.grad.numpy()
    return angles, time.perf_counter() - start


def main():
    traced = nets.trace(distance)
    reach(traced, np.zeros(2), steps=1)  # compiles
    for target in ([1.5, 1.5], [-0.5, 1.2], [0.3, -2.0]):
        angles, seconds = reach(distance, np.array(target))
        again, native = reach(traced, np.array(target))
        x, y = hand(angles.detach()).numpy()
        degrees = ", ".join(f"{a:.0f}" for a in np.degrees(angles.numpy()))
        apart = np.abs(angles.numpy() - again.numpy()).max()
        print(f"target {target}: hand at ({x:.3f}, {y:.3f}) with angles {degrees} degrees")
        print(f"  eager {seconds * 1e3:.0f} ms, traced {native * 1e3:.0f} ms; apart {apart:.0e}")


if __name__ == "__main__":
    main()
