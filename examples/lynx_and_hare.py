"""Fit a differential equation to a hundred years old data, by gradients through ``nets.scan``.

The furs of hares and lynxes that the Hudson's Bay Company bought, in thousands, 1900 to 1920 (Elton
and Nicholson, 1942; Howard, 2009), and the equations of Lotka and Volterra:
u' = (a − b v) u, v' = (d u − c) v. A scan of 400 Runge-Kutta steps makes the years; the step
of Adam, its gradient through the scan included, is one native call. Run with
``python examples/lynx_and_hare.py [folder]``; with matplotlib, ``lynx_and_hare.png`` in the folder
shows data and fit.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

import numpy as np

import nets
from nets import nn, optim

HARES = [30, 47.2, 70.2, 77.4, 36.3, 20.6, 18.1, 21.4, 22, 25.4, 27.1]
HARES += [40.3, 57, 76.6, 52.3, 19.5, 11.2, 7.6, 14.6, 16.2, 24.7]
LYNXES = [4, 6.1, 9.8, 35.2, 59.4, 41.7, 19, 13, 8.3, 9.1, 7.4]
LYNXES += [8, 12.3, 19.5, 45.7, 51.1, 29.7, 15.8, 9.7, 10.1, 8.6]
FURS = np.array([HARES, LYNXES]).T
PER_YEAR, STEPS = 20, 600


class Nature(nn.Module):
    """Four rates and the furs of 1900, all kept as logarithms, for none is negative."""

    def __init__(self):
        super().__init__()
        self.rates = nn.Parameter(np.log([0.5, 0.025, 0.8, 0.025]))
        self.start = nn.Parameter(np.log(FURS[0]))

    def forward(self):
        """Hares and lynxes at every step: (years · PER_YEAR, 2)."""
        a, b, c, d = (nets.exp(self.rates)[i] for i in range(4))
        h = 1 / PER_YEAR

        def slope(y):
            u, v = y[0], y[1]
            return nets.stack([(a - b * v) * u, (d * u - c) * v])

        def runge_kutta(y, _):
            k1 = slope(y)
            k2 = slope(y + h / 2 * k1)
            k3 = slope(y + h / 2 * k2)
            k4 = slope(y + h * k3)
            return y + h / 6 * (k1 + 2 * k2 + 2 * k3 + k4), y

        steps = (len(FURS) - 1) * PER_YEAR + 1
        _, path = nets.scan(runge_kutta, nets.exp(self.start), None, length=steps)
        return path


def main(folder):
    nature = Nature()
    optimizer = optim.Adam(nature.parameters(), lr=0.02)
    schedule = optim.CosineAnnealingLR(optimizer, STEPS)

    @nets.trace
    def train_step():
        optimizer.zero_grad()
        loss = nets.mean((nets.log(nature()[::PER_YEAR]) - np.log(FURS)) ** 2)
        loss.backward()
        optimizer.step()
        return loss

    train_step()
    started = time.perf_counter()
    for step in range(1, STEPS):
        loss = train_step().item()
        schedule.step()
        if step % 100 == 0:
            print(f"step {step}: mean squared distance of logarithms {loss:.4f}")
    print(f"{1e3 * (time.perf_counter() - started) / STEPS:.2f} ms per step")
    a, b, c, d = np.exp(nature.rates.numpy())
    print(f"u' = ({a:.3f} - {b:.4f} v) u, v' = ({d:.4f} u - {c:.3f}) v")
    draw(nets.trace(nature)().numpy(), folder / "lynx_and_hare.png")
    # Carpenter's Bayesian study of 2018 found 0.55, 0.028, 0.80, 0.024.
    if not np.allclose([a, b, c, d], [0.55, 0.028, 0.80, 0.024], rtol=0.15):
        sys.exit("the rates are not those that others have found")


def draw(path, file):
    """Furs, and the populations that fit them."""
    try:
        from matplotlib.figure import Figure
    except ImportError:
        print('no picture without matplotlib: pip install "nets-compiler[plot]"')
        return
    figure = Figure(figsize=(6, 3), dpi=72, layout="tight")
    axes = figure.subplots()
    years = 1900 + np.arange(len(path)) / PER_YEAR
    for i, name in enumerate(("hares", "lynxes")):
        (line,) = axes.plot(years, path[:, i])
        axes.plot(years[::PER_YEAR], FURS[:, i], "o", color=line.get_color(), label=name)
    axes.set(xticks=range(1900, 1921, 5), ylabel="thousands of furs")
    axes.legend()
    figure.savefig(file)
    print(f"wrote {file.name}")


if __name__ == "__main__":
    where = Path(sys.argv[1] if len(sys.argv) > 1 else "build/lynx_and_hare").resolve()
    where.mkdir(parents=True, exist_ok=True)
    main(where)
