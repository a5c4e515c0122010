"""Fly a quadrotor by nonlinear model predictive control, from a C program without Python.

Twenty times a second the controller plans the next 1.2 s: it linearises the flight along its last
plan, solves the quadratic program that this gives, limits of thrust included, and takes a step
that makes the plan better. All of that is one traced function, which ``quadrotor_mpc.c`` has as a
library. Run with ``python examples/quadrotor_mpc.py [folder]``; needs a C compiler.
"""

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

import nets

HORIZON, DT = 24, 0.05
GRAVITY, MASS, ARM, DRAG = 9.81, 0.8, 0.17, 0.016
INERTIA = np.array([0.0045, 0.0045, 0.008])
HOVER, LOW, HIGH = MASS * GRAVITY / 4, 0.1, 3.5
TORQUES = np.array([[-ARM, ARM, ARM, -ARM], [-ARM, ARM, -ARM, ARM], [-DRAG, -DRAG, DRAG, DRAG]])
WEIGHTS = np.repeat([3, 1.0, 0.7, 0.15, 0.2], [3, 3, 3, 3, 4])
AT_THE_END = np.repeat([3.0, 0.0], [12, 4])
STEPS = 160


def cross(a, b):
    """The vector product."""
    x = a[1] * b[2] - a[2] * b[1]
    y = a[2] * b[0] - a[0] * b[2]
    z = a[0] * b[1] - a[1] * b[0]
    return nets.stack([x, y, z])


def slope(x, thrusts, wind):
    """How fast position, attitude (a quaternion), velocity and body rates change."""
    w, axis, v, rates = x[3], x[4:7], x[7:10], x[10:13]
    i, j, k = axis
    up = nets.stack([2 * (i * k + w * j), 2 * (j * k - w * i), 1 - 2 * (i * i + j * j)])
    turn = nets.concatenate([-(axis * rates).sum()[None], w * rates + cross(axis, rates)]) / 2
    acceleration = up * (thrusts.sum() / MASS) + wind - np.array([0, 0, GRAVITY])
    spin = (TORQUES @ thrusts - cross(rates, INERTIA * rates)) / INERTIA
    return nets.concatenate([v, turn, acceleration, spin])


def runge_kutta(x, thrusts, wind, h):
    """The state after h seconds, by the classic method of four slopes."""

    def stage(state, parts):
        k, total = state
        k = slope(x + parts[0] * h * k, thrusts, wind)
        return (k, total + parts[1] * h * k), None

    parts = np.array([[0, 1 / 6], [1 / 2, 1 / 3], [1 / 2, 1 / 3], [1, 1 / 6]])
    (_, total), _ = nets.scan(stage, (nets.zeros(13), x), parts)
    return total


def model(x, thrusts):
    """What the controller believes: one step, and no wind."""
    return runge_kutta(x, thrusts, np.zeros(3), DT)


@nets.trace
def fly(x, thrusts, wind):
    """What the quadrotor does: four shorter steps, in the wind."""
    x = nets.fori_loop(0, 4, lambda _, x: runge_kutta(x, thrusts, wind, DT / 4), x)
    q = x[3:7]
    return nets.concatenate([x[:3], q / nets.norm(q), x[7:]])


def miss(x, thrusts, goal):
    """What should be zero, weighted; half its square is the cost of a moment."""
    level = x[4:7] * nets.sign(x[3])
    return WEIGHTS * nets.concatenate([x[:3] - goal, level, x[7:], thrusts - HOVER])


def path(start, plan):
    """The states that a plan leads through, from the start on: (HORIZON + 1, 13)."""

    def step(x, thrusts):
        x = model(x, thrusts)
        return x, x

    _, states = nets.scan(step, start, plan)
    return nets.concatenate([start[None], states])


def cost(states, plan, goal):
    ways = nets.vmap(miss, in_axes=(0, 0, None))(states[:-1], plan, goal)
    end = AT_THE_END * miss(states[-1], plan[-1], goal)
    return ((ways**2).sum() + (end**2).sum()) / 2


def solve(f, g):
    """f⁻¹ g for a positive definite f: Gauss and Jordan's elimination, which needs no pivots."""
    rows = list(nets.concatenate([f, g], axis=1))
    for i in range(len(rows)):
        rows[i] = rows[i] / rows[i][i]
        for j in range(len(rows)):
            if j != i:
                rows[j] = rows[j] - rows[j][i] * rows[i]
    return nets.stack(rows)[:, len(rows) :]


def riccati(stages, end):
    """The changes of thrusts that minimise the quadratic cost along the linear model."""

    def back(value, stage):
        p, slopes = value
        a, b, q, r, s, qs, rs = stage
        g = s + b.T @ p @ a
        gains = solve(r + b.T @ p @ b, nets.concatenate([g, (rs + b.T @ slopes)[:, None]], axis=1))
        k, k0 = gains[:, :-1], gains[:, -1]
        return (q + a.T @ p @ a - g.T @ k, qs + a.T @ slopes - g.T @ k0), (a, b, k, k0)

    def forth(dx, gains):
        a, b, k, k0 = gains
        du = -k0 - k @ dx
        return a @ dx + b @ du, du

    _, gains = nets.scan(back, end, stages, reverse=True)
    return nets.scan(forth, nets.zeros(13), gains)[1]


def quadratic(states, plan, goal):
    """Model and cost around a plan: matrices for each step, and for the end."""

    def moment(x, thrusts):
        a, b = nets.jacfwd(model, argnums=(0, 1))(x, thrusts)
        m = miss(x, thrusts, goal)
        mx, mu = nets.jacfwd(miss, argnums=(0, 1))(x, thrusts, goal)
        return a, b, mx.T @ mx, mu.T @ mu, mu.T @ mx, mx.T @ m, mu.T @ m

    end = AT_THE_END * miss(states[-1], plan[-1], goal)
    ends = AT_THE_END[:, None] * nets.jacfwd(miss)(states[-1], plan[-1], goal)
    return nets.vmap(moment)(states[:-1], plan), (ends.T @ ends, ends.T @ end)


def share(x, dx):
    """How much of dx may be added to x > 0 such that some of it is left."""
    return nets.minimum(1.0, 0.99 * nets.min(nets.where(dx < 0, -x / dx, np.inf)))


def within_limits(stages, end, plan):
    """The best changes with LOW ≤ thrusts ≤ HIGH, by a primal-dual interior-point method.

    z are the limits' multipliers; each step solves the program with z / slack as a further weight,
    and goes nearly as far as slacks and multipliers stay positive.
    """
    a, b, q, r, s, qs, rs = stages
    signs = np.array([1.0, -1.0])[:, None, None]

    def slack(du):
        return nets.stack([plan + du - LOW, HIGH - plan - du])

    def step(state):
        count, du, z, gap = state
        t, mu = slack(du), gap / 10
        weight = (z / t).sum(axis=0)
        slopes = rs - (signs * mu / t).sum(axis=0) - weight * du
        ddu = riccati((a, b, q, r + weight[:, :, None] * np.eye(4), s, qs, slopes), end) - du
        dz = (mu - z * signs * ddu) / t - z
        du, z = du + share(t, signs * ddu) * ddu, z + share(z, dz) * dz
        return count + 1, du, z, (slack(du) * z).mean()

    def goes_on(state):
        return (state[0] < 30) & (state[3] > 1e-8)

    du = nets.zeros_like(plan)
    z = 0.1 / slack(du)
    count, du, _, _ = nets.while_loop(goes_on, step, (0, du, z, 0.1))
    return du, count


@nets.trace
def control(x, goal, plan):
    """A step of sequential quadratic programming: thrusts for now, a plan for later, its cost."""
    states = path(x, plan)
    du, count = within_limits(*quadratic(states, plan, goal), plan)
    before = cost(states, plan, goal)

    def too_far(search):
        length, now = search
        return (now > before) & (length > 1e-3)

    def nearer(search):
        tried = plan + search[0] / 2 * du
        return search[0] / 2, cost(path(x, tried), tried, goal)

    length, now = nets.while_loop(too_far, nearer, nearer((2.0, before)))
    plan = plan + length * du
    return plan[0], nets.concatenate([plan[1:], plan[-1:]]), now, count


def fly_in_python(start, goals, wind):
    """The states of a flight to one goal after the other, and the thrusts."""
    x, plan, states, used = start, np.full((HORIZON, 4), HOVER), [], []
    for goal in np.repeat(goals, STEPS // len(goals), axis=0):
        thrusts, plan, _, _ = control(x, goal, plan)
        x = fly(x, thrusts, wind)
        states.append(x.numpy())
        used.append(thrusts.numpy())
    return np.array(states), np.array(used)


def fly_in_c(folder, start, goals, wind):
    """The same flight by a C program that has the library and no Python."""
    plan = np.full((HORIZON, 4), HOVER)
    functions = {"control": control.lower(start, goals[0], plan)}
    functions["fly"] = fly.lower(start, plan[0], wind)
    exported = nets.export(folder / "mpc", **functions, formats=("a", "h"), cpu="native")
    for file in exported.files:
        print(f"wrote {file.name} ({file.stat().st_size / 1024:.0f} KB)")
    program, flight = folder / "quadrotor_mpc_c", folder / "flight.bin"
    compiler = os.environ.get("CC") or shutil.which("cc") or "gcc"
    command = [compiler, "-std=c11", "-O2", "-Wall", "-Wextra", "-Werror", "-pedantic"]
    command += [f"-DSTEPS={STEPS}", f"-DGOALS={len(goals)}", f"-I{folder}"]
    source = Path(__file__).with_suffix(".c")
    subprocess.run([*command, source, folder / "mpc.a", "-o", program], check=True)
    flight.write_bytes(b"".join(array.tobytes() for array in (start, wind, goals, plan)))
    sys.stdout.flush()
    subprocess.run([program, flight], check=True)
    return np.fromfile(flight).reshape(STEPS, len(start))


def main(folder):
    start = np.array([0.0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0])
    goals, wind = np.array([[2.0, -1.0, 1.5], [0.0, 0.0, 1.0]]), np.array([0.4, 0.3, 0.0])
    began = time.perf_counter()
    states, used = fly_in_python(start, goals, wind)
    print(f"Python: {STEPS} steps in {time.perf_counter() - began:.1f} s, compilation included")
    for number, goal in enumerate(goals, 1):
        there = states[STEPS * number // len(goals) - 1]
        away = np.linalg.norm(there[:3] - goal)
        print(
            f"goal {goal}: {away:.3f} m away in the end, at {np.linalg.norm(there[7:10]):.4f} m/s"
        )
        assert away < 0.1
    print(f"thrusts: {used.min():.3f} to {used.max():.3f} N, allowed are {LOW} to {HIGH} N")
    assert used.min() >= LOW
    assert used.max() <= HIGH
    same = np.array_equal(states, fly_in_c(folder, start, goals, wind))
    print(f"the flights of Python and C: {'the same bits' if same else 'OTHER BITS'}")
    assert same


if __name__ == "__main__":
    where = Path(sys.argv[1] if len(sys.argv) > 1 else "build/quadrotor_mpc").resolve()
    where.mkdir(parents=True, exist_ok=True)
    main(where)
