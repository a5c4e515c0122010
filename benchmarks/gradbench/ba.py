"""ba: errors of points that cameras see, and their sparse Jacobian (bundle adjustment).

A camera is a rotation vector, a centre, a focal length, a principal point and two coefficients of
radial distortion. The Jacobian is given by its values, row by row: 15 in each of the two rows of an
observation, then those of the weights.
"""

from __future__ import annotations

import numpy as np

from benchmarks.gradbench.evaluation import evaluation


def in_system(lib):
    def rotated(rotation, point):
        square = (rotation**2).sum()
        turns = square != 0
        angle = lib.sqrt(lib.where(turns, square, lib.ones_like(square)))
        axis = rotation / angle
        (a, b, c), (x, y, z) = axis, point
        cross = lib.stack([b * z - c * y, c * x - a * z, a * y - b * x])
        along = (axis * point).sum() * (1 - lib.cos(angle))
        turned = point * lib.cos(angle) + cross * lib.sin(angle) + axis * along
        return lib.where(turns, turned, point + cross)

    def seen(camera, point):
        x, y, z = rotated(camera[:3], point - camera[3:6])
        flat = lib.stack([x / z, y / z])
        square = (flat**2).sum()
        distortion = 1 + camera[9] * square + camera[10] * square * square
        return flat * distortion * camera[6] + camera[7:9]

    def error(camera, point, weight, feature):
        return weight * (seen(camera, point) - feature)

    return error


def objective(lib):
    def errors(cameras, points, weights, features, camera_of, point_of):
        each = lib.vmap(in_system(lib))
        seen = each(cameras[camera_of], points[point_of], weights, features)
        return seen, 1 - weights * weights

    return errors


def jacobian(lib):
    block = lib.vmap(lib.jacfwd(in_system(lib), (0, 1, 2)))

    def values(cameras, points, weights, features, camera_of, point_of):
        by_camera, by_point, by_weight = block(
            cameras[camera_of], points[point_of], weights, features
        )
        blocks = lib.concatenate([by_camera, by_point, by_weight[:, :, None]], 2)
        return lib.concatenate([blocks.reshape(-1), -2 * weights])

    return values


def arguments(cameras: int, points: int, observations: int):
    """Points in front of cameras that look at them, each camera and point in turn."""

    def make(rng: np.random.Generator):
        poses = rng.normal(scale=0.1, size=(cameras, 11))
        poses[:, 5] -= 10
        poses[:, 6] = rng.uniform(300, 600, size=cameras)
        poses[:, 9:] *= 0.1
        order = np.arange(observations)
        features = rng.uniform(-300, 300, size=(observations, 2))
        places, weights = rng.normal(size=(points, 3)), rng.uniform(size=observations)
        return poses, places, weights, features, order % cameras, order % points

    return make


def workloads(*counts: int):
    make, size = arguments(*counts), "n={} m={} p={}".format(*counts)
    yield evaluation("ba", "objective", size, make, objective)
    yield evaluation("ba", "jacobian", size, make, jacobian)


SIZES = ((49, 7776, 31_843), (257, 65_132, 225_911))
WORKLOADS = [workload for size in SIZES for workload in workloads(*size)]
