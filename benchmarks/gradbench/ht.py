"""ht: distances of measured points to the skin of a hand, and their Jacobian (hand tracking).

22 bones hang in a tree, each turned by angles; every vertex of the skin follows the bones by its
weights. A point belongs to a vertex ("simple"), or to a place in a triangle that is free as well
("complicated"): then the Jacobian begins with two columns that move the places of all points.
"""

from __future__ import annotations

import numpy as np

from benchmarks.gradbench.evaluation import evaluation

PARENTS = (
    -1,
    *(parent for finger in range(5) for parent in (0, *range(4 * finger + 1, 4 * finger + 4))),
    0,
)
"""The wrist, five fingers of four bones, and the forearm."""

PARAMETERS, SMALLEST_TURN = 26, 1e-4


def angle_table() -> np.ndarray:
    """For each bone where its angles about x, z and y stand in θ; at its end, a zero."""
    table = np.full((len(PARENTS), 3), PARAMETERS)
    for finger in range(5):
        first = 6 + 4 * finger
        table[2 + 4 * finger : 5 + 4 * finger, 0] = first, first + 2, first + 3
        table[2 + 4 * finger, 1] = first + 1
    return table


ANGLES = angle_table()


def matrix(lib, rows):
    return lib.stack([lib.stack(row, -1) for row in rows], -2)


def in_system(lib):
    def euler(angles):
        """Turns about x, then y, then z, each a 4×4 matrix."""
        (sx, sz, sy), (cx, cz, cy) = (f(angles).swapaxes(0, 1) for f in (lib.sin, lib.cos))
        zero, one = lib.zeros_like(sx), lib.ones_like(sx)
        rows = (
            (cz * cy, cz * sy * sx - sz * cx, cz * sy * cx + sz * sx, zero),
            (sz * cy, sz * sy * sx + cz * cx, sz * sy * cx - cz * sx, zero),
            (-sy, cy * sx, cy * cx, zero),
            (zero, zero, zero, one),
        )
        return matrix(lib, rows)

    def rotation(turn):
        norm = lib.sqrt((turn**2).sum())
        turns = norm >= SMALLEST_TURN
        x, y, z = turn / lib.where(turns, norm, lib.ones_like(norm))
        s, c = lib.sin(norm), lib.cos(norm)
        zero, one = lib.zeros_like(s), lib.ones_like(s)
        rows = (
            (x * x + (1 - x * x) * c, x * y * (1 - c) - z * s, x * z * (1 - c) + y * s),
            (x * y * (1 - c) + z * s, y * y + (1 - y * y) * c, y * z * (1 - c) - x * s),
            (x * z * (1 - c) - y * s, z * y * (1 - c) + x * s, z * z + (1 - z * z) * c),
        )
        straight = matrix(lib, ((one, zero, zero), (zero, one, zero), (zero, zero, one)))
        return lib.where(turns, matrix(lib, rows), straight)

    def vertices(theta, hand):
        angles = lib.concatenate([theta, lib.zeros_like(theta[:1])])[hand["angles"]]
        relatives = hand["relatives"] @ euler(angles)
        absolutes = []
        for bone, parent in enumerate(PARENTS):
            relative = relatives[bone]
            absolutes.append(relative if parent < 0 else absolutes[parent] @ relative)
        transforms = (lib.stack(absolutes) @ hand["inverses"])[:, :3]
        blends = (hand["weights"] @ transforms.reshape(-1, 12)).reshape(-1, 3, 4)
        placed = (blends * hand["positions"][:, None]).sum(2)
        return placed @ lib.swapaxes(rotation(theta[:3]), 0, 1) + theta[3:6]

    def simple(theta, hand, points, vertex):
        return points - vertices(theta, hand)[vertex]

    def complicated(theta, places, hand, points, corners):
        u, v = places[:, :1], places[:, 1:]
        a, b, c = (vertices(theta, hand)[corners[:, i]] for i in range(3))
        return points - (u * a + v * b + (1 - u - v) * c)

    return simple, complicated


def simple_jacobian(lib):
    return lib.jacfwd(in_system(lib)[0])


def complicated_jacobian(lib):
    _, errors = in_system(lib)

    def jacobian(theta, places, *rest):
        def moved(shift, theta):
            return errors(theta, places + shift, *rest)

        parts = lib.jacfwd(moved, (0, 1))(lib.zeros_like(places[0]), theta)
        return lib.concatenate(parts, 2)

    return jacobian


def hand(rng: np.random.Generator, vertices: int) -> dict[str, np.ndarray]:
    """Bones in any place and direction, and a skin each point of which hangs on four of them."""
    bones = len(PARENTS)
    relatives = np.tile(np.eye(4), (bones, 1, 1))
    relatives[:, :3, :3] = np.linalg.qr(rng.normal(size=(bones, 3, 3)))[0]
    relatives[:, :3, 3] = rng.normal(scale=0.3, size=(bones, 3))
    absolutes: list[np.ndarray] = []
    for relative, parent in zip(relatives, PARENTS, strict=True):
        absolutes.append(relative if parent < 0 else absolutes[parent] @ relative)
    weights = np.zeros((vertices, bones))
    holds = rng.permuted(np.tile(np.arange(bones), (vertices, 1)), axis=1)[:, :4]
    np.put_along_axis(weights, holds, rng.dirichlet(np.ones(4), size=vertices), 1)
    positions = np.concatenate([rng.normal(size=(vertices, 3)), np.ones((vertices, 1))], 1)
    return {
        "relatives": relatives,
        "inverses": np.linalg.inv(np.stack(absolutes)),
        "positions": positions,
        "weights": weights,
        "angles": ANGLES,
    }


def arguments(vertices: int, points: int, free: bool):
    def make(rng: np.random.Generator):
        theta, skin = rng.normal(scale=0.5, size=PARAMETERS), hand(rng, vertices)
        seen = rng.normal(size=(points, 3))
        if not free:
            return theta, skin, seen, rng.integers(vertices, size=points)
        places = rng.dirichlet(np.ones(3), size=points)[:, :2]
        return theta, places, skin, seen, rng.integers(vertices, size=(points, 3))

    return make


def workloads(kind: str, vertices: int, points: int):
    free = kind == "complicated"
    make, size = arguments(vertices, points, free), f"{kind} v={vertices} c={points}"
    jacobian = complicated_jacobian if free else simple_jacobian
    yield evaluation("ht", "objective", size, make, lambda lib: in_system(lib)[free])
    yield evaluation("ht", "jacobian", size, make, jacobian)


SIZES = (("simple", 544, 200), ("complicated", 10_000, 100), ("complicated", 10_000, 12_800))
WORKLOADS = [workload for size in SIZES for workload in workloads(*size)]
