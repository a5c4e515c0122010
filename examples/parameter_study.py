"""A parameter study on Dask: how soon can one tell how contagious a disease is?

An epidemic (Kermack and McKendrick, 1927: s' = −b s i, i' = b s i − g i) is simulated for 300 sets
of parameters: its reproduction number b / g, how noisy counts are, and for how many days there are
any. From these counts b and g are fitted by least squares. Simulation, noise and fit are one native
program, which each worker traces once; the object cache has its code from the first.

Two of the sets are mistakes of a kind that tables have. Their errors come back from the workers
with the line where they arose, and the other sets go on. What comes out has the same bits whatever
the number of workers, for each set draws its noise with a key of its own.

Run with ``python examples/parameter_study.py [workers]``; it needs Dask: ``pip install
"nets-compiler[sweeps]"``.
"""

from __future__ import annotations

import hashlib
import itertools
import os
import sys

import numpy as np

import nets

STEPS = 4  # of Runge and Kutta's method, per day
INFECTED, RECOVERY = 1e-3, 0.2  # on the first day; per day
KEY = 2026


def epidemic(contagion, recovery, days):
    """The share of people who are infected on each day."""
    h = 1 / STEPS

    def slope(y):
        s, i = y[0], y[1]
        caught = contagion * s * i
        return nets.stack([-caught, caught - recovery * i])

    def step(y, _):
        k1 = slope(y)
        k2 = slope(y + h / 2 * k1)
        k3 = slope(y + h / 2 * k2)
        k4 = slope(y + h * k3)
        return y + h / 6 * (k1 + 2 * k2 + 2 * k3 + k4), y[1]

    start = nets.stack([1 - INFECTED, INFECTED])
    _, infected = nets.scan(step, start, None, length=days * STEPS)
    return infected[::STEPS]


@nets.trace(static_argnames="days", threads=1)
def estimate(reproduction, noise, key, days):
    """The reproduction number that is found in noisy counts, and the root of the mean square of
    what the fit leaves."""
    contagion = nets.check_range(reproduction, 0, 20, "a reproduction number") * RECOVERY
    drawn = nets.random.normal((days,), dtype="float64", key=key)
    counts = nets.log(epidemic(contagion, RECOVERY, days)) + noise * drawn

    def residuals(rates):
        found = nets.exp(rates)
        return nets.log(epidemic(found[0], found[1], days)) - counts

    guess = nets.log(nets.stack([0.5, 0.3]))
    found = nets.optimize.least_squares(residuals, guess)
    return nets.exp(found.x[0] - found.x[1]), nets.sqrt(2 * found.cost / days)


def one(number, reproduction, noise, days):
    """What one task does: a set of parameters, to a row of the result."""
    key = nets.random.fold_in(nets.random.key(KEY), number)
    return np.array([x.item() for x in estimate(reproduction, noise, key, days)])


def parameter_sets():
    """(reproduction number, noise, days) of each set; two are wrong."""
    sets = list(
        itertools.product(np.linspace(1.2, 4, 15), [0.01, 0.05, 0.1, 0.2], range(20, 70, 10))
    )
    sets[77] = (-1.5, 0.05, 30)
    sets[222] = (2.5, 0.05, 1)  # two rates cannot be found in the count of one day
    return sets


def run(client, sets, retries=1):
    """The rows of all sets, NaN for those that fail, and the errors of these by number.

    A set whose worker is lost runs on another one; one that raises is tried again ``retries``
    times.
    """
    from distributed import as_completed

    columns = (range(len(sets)), *zip(*sets, strict=True))
    asked = client.map(one, *columns, retries=retries, pure=False)
    number_of = {future.key: number for number, future in enumerate(asked)}
    rows, errors = np.full((len(sets), 2), np.nan), {}
    for done, future in enumerate(as_completed(asked), 1):
        number = number_of[future.key]
        if future.status == "finished":
            rows[number] = future.result()
        else:
            errors[number] = future.exception()
        if done % 50 == 0 or done == len(sets):
            print(f"{done} of {len(sets)} sets, {len(errors)} failed", flush=True)
    return rows, errors


def main(workers):
    try:
        from distributed import Client, LocalCluster
    except ImportError:
        sys.exit('this example needs Dask: pip install "nets-compiler[sweeps]"')
    sets = parameter_sets()
    with (
        LocalCluster(n_workers=workers, threads_per_worker=1, dashboard_address=None) as cluster,
        Client(cluster) as client,
    ):
        rows, errors = run(client, sets)
    for number, error in sorted(errors.items()):
        print(f"set {number}, {sets[number]}: {type(error).__name__}: {error}")
    print("how far estimates are off, per cent, by days (down) and noise (across):")
    true = np.array([reproduction for reproduction, _, _ in sets])
    off = (100 * np.abs(rows[:, 0] / true - 1)).reshape(15, 4, 5)
    for days, line in zip(range(20, 70, 10), np.nanmedian(off, axis=0).T, strict=True):
        print(f"{days:6}  " + "".join(f"{x:8.2f}" for x in line))
    some = [number for number in range(0, len(sets), 30) if number not in errors]
    here = np.array([one(number, *sets[number]) for number in some])
    same = here.tobytes() == rows[some].tobytes()
    print(f"{len(some)} sets without Dask: {'the same bits' if same else 'OTHER BITS'}")
    print(f"SHA-256 of all rows: {hashlib.sha256(rows.tobytes()).hexdigest()}")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else min(2, os.cpu_count() or 1))
