"""Find cameras and points in space from pictures of them: bundle adjustment.

Eight cameras (rotation, place, focal length, two terms of distortion) see 200 points, with half a
pixel of noise. The method of Levenberg and Marquardt takes as many steps as it needs in one native
call: blocks of the Jacobian by ``jacfwd`` and ``vmap``, points eliminated by Schur's complement.
``sparse_jacobian`` finds the same blocks by itself.
Run with ``python examples/bundle_adjustment.py``.
"""

import time

import numpy as np

import nets

CAMERAS, POINTS, NOISE = 8, 200, 0.5
OF_CAMERAS = 9 * CAMERAS
PARTS = (3, 3, 1, 2)


def cross(a, b):
    """The vector product."""
    x = a[1] * b[2] - a[2] * b[1]
    y = a[2] * b[0] - a[0] * b[2]
    z = a[0] * b[1] - a[1] * b[0]
    return nets.stack([x, y, z])


def rotate(axis, v):
    """v turned about an axis, by as many radians as that is long (Rodrigues' formula)."""
    angle = nets.norm(axis)
    k = axis / angle
    along = k * (k * v).sum()
    return nets.cos(angle) * (v - along) + nets.sin(angle) * cross(k, v) + along


def project(camera, point):
    """Where a camera sees a point, in pixels."""
    p = rotate(camera[:3], point) + camera[3:6]
    p = p[:2] / p[2]
    r = (p**2).sum()
    return camera[6] * (1 + camera[7] * r + camera[8] * r * r) * p


def miss(camera, point, seen):
    """How far that is from where the point was seen."""
    return project(camera, point) - seen


def everywhere(function):
    """The function of each camera and each point, and of what was seen there."""
    return nets.vmap(nets.vmap(function, in_axes=(None, 0, 0)), in_axes=(0, None, 0))


def solve(a, b):
    """a⁻¹ b for a positive definite a: Gauss and Jordan's elimination, which needs no pivots."""
    n = len(a)

    def eliminate(i, rows):
        row = nets.dynamic_slice(rows, (i, 0), (1, rows.shape[1]))
        column = nets.dynamic_slice(rows, (0, i), (n, 1))
        pivot = nets.dynamic_slice(row, (0, i), (1, 1))
        return rows - (column - (np.arange(n)[:, None] == i)) * (row / pivot)

    return nets.fori_loop(0, n, eliminate, nets.concatenate([a, b], axis=1))[:, n:]


def normal_equations(cameras, points, seen, damping):
    """Blocks of JᵀJ for cameras, points and pairs of them, and the two halves of Jᵀ miss."""
    m = everywhere(miss)(cameras, points, seen)
    jc, jp = everywhere(nets.jacfwd(miss, argnums=(0, 1)))(cameras, points, seen)
    u = nets.einsum("cpri,cprj->cij", jc, jc) * (1 + damping * np.eye(9))
    v = nets.einsum("cpri,cprj->pij", jp, jp) * (1 + damping * np.eye(3))
    w = nets.einsum("cpri,cprj->cipj", jc, jp)
    return u, v, w, nets.einsum("cpri,cpr->ci", jc, m), nets.einsum("cpri,cpr->pi", jp, m)


def change(cameras, points, seen, damping):
    """What to add to cameras and points: the equations of the cameras alone, then each point's."""
    u, v, w, gc, gp = normal_equations(cameras, points, seen, damping)
    inverse = nets.vmap(lambda block: solve(block, np.eye(3)))(v)
    y = nets.einsum("cipj,pjk->cipk", w, inverse)
    s = nets.einsum("cij,cd->cidj", u, np.eye(CAMERAS)) - nets.einsum("cipk,djpk->cidj", y, w)
    right = nets.einsum("cipk,pk->ci", y, gp) - gc
    of_cameras = solve(s.reshape(OF_CAMERAS, OF_CAMERAS), right.reshape(OF_CAMERAS, 1))
    of_cameras = of_cameras.reshape(CAMERAS, 9)
    rest = gp + nets.einsum("cipj,ci->pj", w, of_cameras)
    return of_cameras, -nets.einsum("pij,pj->pi", inverse, rest)


def squares(cameras, points, seen):
    return (everywhere(miss)(cameras, points, seen) ** 2).sum()


@nets.trace
def adjust(cameras, points, seen):
    """Cameras and points that fit best, their sum of squares, and the number of steps."""

    def goes_on(state):
        return (state["steps"] < 50) & (state["gain"] > 1e-9)

    def step(state):
        dc, dp = change(state["cameras"], state["points"], seen, state["damping"])
        cameras, points = state["cameras"] + dc, state["points"] + dp
        total = squares(cameras, points, seen)
        better = {"cameras": cameras, "points": points, "sum": total}
        better |= {"gain": 1 - total / state["sum"], "damping": state["damping"] / 10}
        worse = state | {"damping": state["damping"] * 10}
        is_better = total < state["sum"]
        chosen = {name: nets.where(is_better, x, worse[name]) for name, x in better.items()}
        return chosen | {"steps": state["steps"] + 1}

    start = {"cameras": cameras, "points": points, "sum": squares(cameras, points, seen)}
    start |= {"gain": 1.0, "damping": 1e-3, "steps": 0}
    last = nets.while_loop(goes_on, step, start)
    return last["cameras"], last["points"], last["sum"], last["steps"]


def scene(rng):
    """Cameras on an arc around a cloud of points."""
    cameras = np.zeros((CAMERAS, 9))
    cameras[:, 1] = np.linspace(-0.8, 0.8, CAMERAS)
    cameras[:, 3:6] = [0, 0, 8]
    cameras[:, 6:] = [800, -0.1, 0.02]
    cameras += rng.normal(size=cameras.shape) * np.repeat([0.1, 0.3, 20, 0.005], PARTS)
    return cameras, rng.normal(size=(POINTS, 3))


def guess(rng, cameras, points):
    """What somebody might know before."""
    cameras = cameras + rng.normal(size=cameras.shape) * np.repeat([0.03, 0.2, 40, 0.05], PARTS)
    return cameras, points + 0.2 * rng.normal(size=points.shape)


def sparse(cameras, points, seen):
    """The same Jacobian by ``sparse_jacobian``: of all misses, by all unknowns as one vector."""

    def misses(x):
        cameras, points = x[:OF_CAMERAS], x[OF_CAMERAS:]
        return everywhere(miss)(cameras.reshape(-1, 9), points.reshape(-1, 3), seen).flatten()

    return nets.trace(nets.sparse_jacobian(misses))(np.append(cameras, points))


def main():
    rng = np.random.default_rng(0)
    cameras, points = scene(rng)
    seen = nets.trace(everywhere(miss))(cameras, points, np.zeros((CAMERAS, POINTS, 2))).numpy()
    seen += NOISE * rng.normal(size=seen.shape)
    cameras, points = guess(rng, cameras, points)

    before = nets.trace(squares)(cameras, points, seen).item()
    adjust(cameras, points, seen)  # compiles
    began = time.perf_counter()
    cameras, points, after, steps = adjust(cameras, points, seen)
    took = time.perf_counter() - began
    print(f"off by {np.sqrt(before / seen.size):.1f} pixels before, ", end="")
    print(
        f"{np.sqrt(after.item() / seen.size):.3f} after {steps.item()} steps in {1e3 * took:.1f} ms"
    )
    # Place, direction and size of the whole scene are seven numbers that pictures do not tell.
    freedom = seen.size - cameras.size - points.size + 7
    noise = np.sqrt(after.item() / freedom)
    print(f"noise per coordinate, as it seems from the misses: {noise:.3f} pixels")
    assert abs(noise / NOISE - 1) < 0.05

    jacobian = sparse(cameras.numpy(), points.numpy(), seen)
    print(f"Jacobian: {jacobian.shape[0]} x {jacobian.shape[1]}, {len(jacobian.values)} not zero")
    blocks = everywhere(nets.jacfwd(miss, argnums=(0, 1)))
    blocks = nets.concatenate(nets.trace(blocks)(cameras, points, seen), axis=3)
    same = np.array_equal(jacobian.values.numpy(), blocks.numpy().ravel())
    print(f"its values and the blocks: {'the same bits' if same else 'OTHER BITS'}")
    assert same


if __name__ == "__main__":
    main()
