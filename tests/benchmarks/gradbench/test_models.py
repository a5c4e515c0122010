"""gmm, lstm, ba and ht: plain NumPy, element by element, with derivatives by a complex step."""

import math
from itertools import pairwise

import numpy as np
import pytest

from benchmarks.gradbench import ba, gmm, ht, lstm
from tests.benchmarks.gradbench.reference import close, draw, run, slopes


def log_posterior(alpha, mu, q, l, x):  # noqa: E741
    """By the densities of the distributions."""
    (k, d), n = mu.shape, mu.shape[1] + gmm.FREEDOM + 1
    shares, densities, prior = np.exp(alpha) / np.exp(alpha).sum(), 0, 0
    scale = np.eye(d) / gmm.PRECISION**2
    for i in range(k):
        factor = np.diag(np.exp(q[i])).astype(np.result_type(q, l))
        columns, rows = np.triu_indices(d, 1)
        factor[rows, columns] = l[i]
        precision = factor.T @ factor
        far = np.einsum("nd,de,ne->n", x - mu[i], precision, x - mu[i])
        volume = np.sqrt((2 * math.pi) ** d / np.linalg.det(precision))
        densities = densities + shares[i] * np.exp(-far / 2) / volume
        prior = prior + (n - d - 1) / 2 * np.log(np.linalg.det(precision))
        prior = prior - np.trace(np.linalg.inv(scale) @ precision) / 2
        prior = prior - n * d / 2 * math.log(2) - n / 2 * math.log(np.linalg.det(scale))
        prior = prior - d * (d - 1) / 4 * math.log(math.pi)
        prior = prior - sum(math.lgamma((n - j) / 2) for j in range(d))
    return np.log(densities).sum() + prior


def test_gmm() -> None:
    *parameters, x, table = draw(gmm.arguments(3, 4, 20))
    close(run(gmm.in_system, *parameters, x, table), log_posterior(*parameters, x))
    for i, found in enumerate(run(gmm.gradient, *parameters, x, table)):
        before, after = parameters[:i], parameters[i + 1 :]
        expected = slopes(lambda p, b=before, a=after: log_posterior(*b, p, *a, x), parameters[i])
        close(found, expected)


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def text_loss(main, extra, state, sequence):
    """Bit by bit."""
    width, total = len(extra[0]), 0
    layers = len(state) // 2
    hidden, cell = (
        [list(state[2 * i]) for i in range(layers)],
        [list(state[2 * i + 1]) for i in range(layers)],
    )
    for now, following in pairwise(sequence):
        guesses = []
        for j in range(width):
            x = now[j] * extra[0][j]
            for i in range(layers):
                (wf, wi, wo, wc), (bf, bi, bo, bc) = (
                    main[2 * i + part].reshape(4, width)[:, j] for part in (0, 1)
                )
                old = hidden[i][j]
                kept, new = sigmoid(x * wf + bf), np.tanh(old * wc + bc)
                cell[i][j] = cell[i][j] * kept + sigmoid(old * wi + bi) * new
                x = hidden[i][j] = sigmoid(x * wo + bo) * np.tanh(cell[i][j])
            guesses.append(x * extra[1][j] + extra[2][j])
        norm = np.log(np.exp(np.array(guesses)).sum() + 2)
        total = total + sum(f * (g - norm) for f, g in zip(following, guesses, strict=True))
    return -total / (width * (len(sequence) - 1))


def test_lstm() -> None:
    main, extra, state, sequence = draw(lstm.arguments(2, 5))
    close(
        run(lstm.in_system, main, extra, state, sequence), text_loss(main, extra, state, sequence)
    )
    by_main, by_extra = run(lstm.gradient, main, extra, state, sequence)
    close(by_main, slopes(lambda p: text_loss(p, extra, state, sequence), main))
    close(by_extra, slopes(lambda p: text_loss(main, p, state, sequence), extra))


def turned(rotation, point):
    """By the matrix of Rodrigues."""
    angle = np.sqrt((rotation**2).sum())
    if angle == 0:
        return point + np.cross(rotation, point)
    x, y, z = rotation / angle
    cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    return (np.eye(3) + np.sin(angle) * cross + (1 - np.cos(angle)) * cross @ cross) @ point


def seen(camera, point):
    x, y, z = turned(camera[:3], point - camera[3:6])
    flat = np.array([x / z, y / z])
    square = flat @ flat
    return flat * (1 + camera[9] * square + camera[10] * square**2) * camera[6] + camera[7:9]


def test_ba() -> None:
    cameras, points, weights, features, camera_of, point_of = draw(ba.arguments(3, 5, 11))
    cameras[1, :3] = 0
    given = cameras, points, weights, features, camera_of, point_of
    errors, free = run(ba.objective, *given)
    values, expected = run(ba.jacobian, *given).numpy(), []
    for i, (c, p) in enumerate(zip(camera_of, point_of, strict=True)):
        close(errors[i], weights[i] * (seen(cameras[c], points[p]) - features[i]))

        def error(v, i=i):
            return v[14] * (seen(v[:11], v[11:14]) - features[i])

        at = np.concatenate([cameras[c], points[p], weights[i : i + 1]])
        if np.any(cameras[c, :3]):
            expected.append(slopes(error, at))
        else:
            expected.append(values[30 * i : 30 * i + 30].reshape(2, 15))
            close(expected[-1][:, 3:], slopes(error, at)[:, 3:])
    close(free, 1 - weights**2)
    close(values, np.concatenate([np.array(expected).ravel(), -2 * weights]))


def axis_turn(axis, angle):
    turn = np.zeros(3, dtype=angle.dtype)
    turn[axis] = angle
    return np.column_stack([turned(turn, column) for column in np.eye(3)])


def skin(theta, hand):
    """Bone by bone."""
    angles = np.zeros((len(ht.PARENTS), 3), theta.dtype)
    rest = list(theta[6:])
    for finger in range(5):
        for joint in range(3):
            angles[2 + 4 * finger + joint, 0] = rest.pop(0)
            if joint == 0:
                angles[2 + 4 * finger, 1] = rest.pop(0)
    absolutes, placed = [], 0
    for bone, parent in enumerate(ht.PARENTS):
        x, z, y = angles[bone]
        turn = np.eye(4, dtype=theta.dtype)
        turn[:3, :3] = axis_turn(2, z) @ axis_turn(1, y) @ axis_turn(0, x)
        relative = hand["relatives"][bone] @ turn
        absolutes.append(relative if parent < 0 else absolutes[parent] @ relative)
        moved = hand["positions"] @ (absolutes[-1] @ hand["inverses"][bone])[:3].T
        placed = placed + hand["weights"][:, bone : bone + 1] * moved
    small = abs(theta[:3]).max() == 0
    whole = placed if small else np.array([turned(theta[:3], p) for p in placed])
    return whole + theta[3:6]


def test_ht_simple() -> None:
    theta, hand, points, vertex = draw(ht.arguments(40, 9, False))

    def expected(theta):
        return points - skin(theta, hand)[vertex]

    found = run(lambda lib: ht.in_system(lib)[0], theta, hand, points, vertex)
    close(found, expected(theta))
    close(run(ht.simple_jacobian, theta, hand, points, vertex), slopes(expected, theta))


@pytest.mark.long
def test_ht_complicated() -> None:
    theta, places, hand, points, corners = draw(ht.arguments(40, 9, True))

    def expected(theta):
        a, b, c = np.moveaxis(skin(theta, hand)[corners], 1, 0)
        u, v = places[:, :1], places[:, 1:]
        return points - (u * a + v * b + (1 - u - v) * c)

    found = run(lambda lib: ht.in_system(lib)[1], theta, places, hand, points, corners)
    close(found, expected(theta))
    jacobian = run(ht.complicated_jacobian, theta, places, hand, points, corners)
    a, b, c = np.moveaxis(skin(theta, hand)[corners], 1, 0)
    close(jacobian[:, :, :2], np.stack([c - a, c - b], 2))
    close(jacobian[:, :, 2:], slopes(expected, theta))


def test_a_hand_that_does_not_turn() -> None:
    theta, hand, points, vertex = draw(ht.arguments(40, 9, False))
    theta[:3] = 0
    found = run(lambda lib: ht.in_system(lib)[0], theta, hand, points, vertex)
    close(found, points - skin(theta, hand)[vertex])
