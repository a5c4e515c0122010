"""Minimise the three-hump camel function with six optimisers, from one starting point.

f(x, y) = 2x² − 1.05x⁴ + x⁶/6 + xy + y² has three valleys; the lowest point is 0 at (0, 0), and a
hill lies between it and the start. Each optimiser's step is one native call. Run with ``python
examples/three_hump_camel.py [folder]``; with matplotlib, ``three_hump_camel.png`` in the folder
shows the paths.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

import nets
from nets import nn, optim

START, STEPS = (-2.1, 1.9), 200

OPTIMISERS = {
    "SGD": lambda p: optim.SGD(p, lr=0.01),
    "momentum": lambda p: optim.SGD(p, lr=0.01, momentum=0.95),
    "Adagrad": lambda p: optim.Adagrad(p, lr=0.3),
    "RMSprop": lambda p: optim.RMSprop(p, lr=0.02),
    "Adam": lambda p: optim.Adam(p, lr=0.5),
    "Lion": lambda p: optim.Lion(p, lr=0.03),
}


def camel(x, y):
    """The three-hump camel function."""
    return 2 * x**2 - 1.05 * x**4 + x**6 / 6 + x * y + y**2


def descend(make):
    """The points an optimiser goes through: (STEPS + 1, 2)."""
    point = nn.Parameter(np.array(START))
    optimizer = make([point])

    @nets.trace
    def step():
        optimizer.zero_grad()
        value = camel(point[0], point[1])
        value.backward()
        optimizer.step()
        return value

    path = [point.numpy()]
    for _ in range(STEPS):
        step()
        path.append(point.numpy())
    return np.array(path)


def main(folder):
    paths = {name: descend(make) for name, make in OPTIMISERS.items()}
    for name, path in paths.items():
        x, y = path[-1]
        print(f"{name:9} ends at ({x:+.3f}, {y:+.3f}), where f = {camel(x, y):.4f}")
    if not any(camel(*path[-1]) < 1e-4 for path in paths.values()):
        sys.exit("nobody found the lowest point")
    draw(paths, folder / "three_hump_camel.png")


def draw(paths, file):
    """The paths over lines of equal height."""
    try:
        from matplotlib.figure import Figure
    except ImportError:
        print('no picture without matplotlib: pip install "nets-compiler[plot]"')
        return
    figure = Figure(figsize=(5.6, 4), dpi=72, layout="tight")
    axes = figure.subplots()
    x, y = np.meshgrid(np.linspace(-2.2, 2.2, 201), np.linspace(-2, 2, 201))
    axes.contour(x, y, np.log1p(camel(x, y)), 18, cmap="Greys", linewidths=0.8)
    for name, path in paths.items():
        axes.plot(*path.T, label=name, linewidth=1.5)
        axes.plot(*path[-1], "o", color=axes.lines[-1].get_color())
    axes.plot(0, 0, "k*", markersize=10)
    axes.set(xlabel="x", ylabel="y", xlim=(-2.2, 2.2), ylim=(-2, 2))
    axes.legend()
    figure.savefig(file)
    print(f"wrote {file.name}")


if __name__ == "__main__":
    where = Path(sys.argv[1] if len(sys.argv) > 1 else "build/three_hump_camel").resolve()
    where.mkdir(parents=True, exist_ok=True)
    main(where)
