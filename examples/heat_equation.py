"""Recover where a rod was hot: gradient descent through a heat-flow simulation.

Twenty explicit steps of u_t = u_xx run on slices of an array; ``value_and_grad`` differentiates the
whole simulation. From the final temperature alone, which has spread, the initial one is found
again. Run with ``python examples/heat_equation.py``.
"""

import numpy as np

import nets

POINTS, STEPS, FLOW = 64, 20, 0.45


def simulate(start):
    """The temperature after all steps; both ends of the rod are kept at zero."""
    inside = start[1:-1]
    for _ in range(STEPS):
        rod = nets.pad(inside, 1)
        inside = inside + FLOW * (rod[2:] - 2 * inside + rod[:-2])
    return nets.pad(inside, 1)


def misfit(start, measured):
    """How far a guess of the initial temperature ends from what was measured."""
    return ((simulate(start) - measured) ** 2).sum()


@nets.trace
def descend(start, speed, measured):
    """One step of gradient descent with momentum: simulation, gradient and update in one call."""
    loss, slope = nets.value_and_grad(misfit)(start, measured)
    speed = 0.95 * speed - 0.1 * slope
    return loss, start + speed, speed


def draw(temperature):
    """A line of characters, the hotter the darker."""
    return "".join(" .:-=+*#%@"[int(9.99 * t)] for t in np.clip(temperature, 0, 1))


def main():
    place = np.linspace(0, 1, POINTS)
    truth = np.exp(-(((place - 0.3) / 0.08) ** 2)) + 0.7 * np.exp(-(((place - 0.7) / 0.1) ** 2))
    measured = nets.trace(simulate)(truth)

    guess = speed = nets.zeros(POINTS)
    for step in range(1, 501):
        loss, guess, speed = descend(guess, speed, measured)
        if step in (1, 10, 100, 500):
            print(f"step {step:3}: misfit {loss.item():.2e}")

    print(f"initial   |{draw(truth)}|")
    print(f"final     |{draw(measured.numpy())}|")
    print(f"recovered |{draw(guess.numpy())}|")
    print(f"largest error {np.abs(guess.numpy() - truth).max():.3f}")


if __name__ == "__main__":
    main()
