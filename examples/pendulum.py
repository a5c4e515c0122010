"""Fit the physics of a pendulum to noisy data: gradients through an integrator.

Length and friction enter every step of a symplectic integrator. Newton's method needs first and
second derivatives of the whole simulation: ``nets.grad``, and ``nets.grad`` of that.
Run with ``python examples/pendulum.py``.
"""

import numpy as np

import nets

STEPS, DT, GRAVITY = 20, 0.12, 9.81


def swing(length, friction):
    """The angle at every step, released at rest from one radian."""
    angle, speed = nets.full((), 1.0), nets.full((), 0.0)
    path = []
    for _ in range(STEPS):
        speed = speed - DT * (GRAVITY / length * nets.sin(angle) + friction * speed)
        angle = angle + DT * speed
        path.append(angle)
    return nets.stack(path)


def misfit(params, measured):
    """Mean squared distance of the path from the measured one."""
    return ((swing(params["length"], params["friction"]) - measured) ** 2).mean()


@nets.trace
def newton(params, measured):
    """The misfit, and the parameters after one step of Newton's method."""
    value, slope = nets.value_and_grad(misfit)(params, measured)
    a, b = hessian_row("length", params, measured)
    b, c = hessian_row("friction", params, measured)
    g, h = slope["length"], slope["friction"]
    area = a * c - b * b
    move = {"length": (c * g - b * h) / area, "friction": (a * h - b * g) / area}
    return value, {name: x - move[name] for name, x in params.items()}


def hessian_row(name, params, measured):
    """Derivatives of one entry of the gradient, by length and by friction."""
    return nets.grad(lambda p: nets.grad(misfit)(p, measured)[name])(params).values()


def main():
    noise = 0.02 * np.random.default_rng(3).normal(size=STEPS)
    measured = nets.trace(swing)(1.3, 0.25) + noise
    params = {"length": 1.25, "friction": 0.15}
    for number in range(1, 6):
        value, params = newton(params, measured)
        found = ", ".join(f"{name} {x.item():.4f}" for name, x in params.items())
        print(f"step {number}: misfit was {value.item():.2e}, now {found}")
    print("the data were made with length 1.3, friction 0.25 and noise of variance 4e-04")


if __name__ == "__main__":
    main()
