"""XOR: a network of eight hidden units bends the plane until four points fall into two classes.

The step is written as with PyTorch and captured whole: one native call does forward pass, gradient
and update. Run with ``python examples/xor.py [folder]``; with matplotlib, ``xor.gif`` in the folder
shows the decision boundary in the course of training.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

import nets
from nets import nn, optim

STEPS, EVERY = 150, 15
POINTS = np.array([[0, 0], [0, 1], [1, 0], [1, 1]], "float32")
CLASSES = np.array([[0], [1], [1], [0]], "float32")
SIDE = np.linspace(-0.5, 1.5, 81, dtype="float32")


def main(folder):
    nets.manual_seed(1)
    model = nn.Sequential(nn.Linear(2, 8), nn.Tanh(), nn.Linear(8, 1))
    criterion = nn.BCEWithLogitsLoss()
    optimizer = optim.Adam(model.parameters(), lr=0.05)

    @nets.trace
    def train_step():
        optimizer.zero_grad()
        loss = criterion(model(POINTS), CLASSES)
        loss.backward()
        optimizer.step()
        return loss

    @nets.trace
    def chance(points):
        """How likely each point is of class 1."""
        return nets.sigmoid(model(points))

    plane = np.stack(np.meshgrid(SIDE, SIDE), axis=-1).reshape(-1, 2)
    frames = []
    for step in range(STEPS + 1):
        if step % EVERY == 0:
            frames.append((step, chance(plane).numpy().reshape(SIDE.size, SIDE.size)))
        loss = train_step().item()
        if step % 50 == 0:
            print(f"step {step:3}: loss {loss:.4f}")
    found = chance(POINTS).numpy()
    for point, p in zip(POINTS, found, strict=True):
        print(f"{point[0]:.0f} xor {point[1]:.0f} = {p[0]:.3f}")
    if not np.array_equal(found > 0.5, CLASSES > 0.5):
        sys.exit("XOR was not learnt")
    animate(frames, folder / "xor.gif")


def animate(frames, path):
    """The decision boundary, frame by frame, as a GIF."""
    try:
        from matplotlib.animation import FuncAnimation, PillowWriter
        from matplotlib.figure import Figure
    except ImportError:
        print('no picture without matplotlib: pip install "nets-compiler[plot]"')
        return
    figure = Figure(figsize=(3, 3), dpi=72, layout="tight")
    axes = figure.subplots()

    def draw(frame):
        step, chances = frame
        axes.clear()
        axes.contourf(SIDE, SIDE, chances, levels=np.linspace(0, 1, 11), cmap="RdBu")
        axes.contour(SIDE, SIDE, chances, levels=[0.5], colors="black")
        axes.scatter(*POINTS.T, c=CLASSES[:, 0], cmap="RdBu", edgecolors="black", s=80)
        axes.set(title=f"step {step}", xticks=[0, 1], yticks=[0, 1])

    FuncAnimation(figure, draw, frames, init_func=lambda: None).save(path, PillowWriter(fps=8))
    print(f"wrote {path.name}")


if __name__ == "__main__":
    where = Path(sys.argv[1] if len(sys.argv) > 1 else "build/xor").resolve()
    where.mkdir(parents=True, exist_ok=True)
    main(where)
