"""Small programs at the seam of Python and the trace, each run eagerly, traced and on the reference.

Most go back to a defect that a user of another library has reported; where, their docstrings say.
"""

# ruff: noqa: B023, E501, E731 (programs as users write them)

from __future__ import annotations

import copy
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import nets
from nets import nn

inf, nan, f4 = np.inf, np.nan, np.float32


def flat(r):
    if isinstance(r, dict):
        return [x for k in sorted(r) for x in flat(r[k])]
    if isinstance(r, (list, tuple)):
        return [x for v in r for x in flat(v)]
    return [] if r is None else [r.numpy() if hasattr(r, "numpy") else np.asarray(r)]


def eq(got, want, rtol=0.0, atol=0.0):
    """Same shapes and dtypes; the same values (NaN = NaN, and the sign of 0 where rtol = atol = 0)."""
    got, want = flat(got), flat(want)
    assert len(got) == len(want), f"{len(got)} results, want {len(want)}"
    for g, w in zip(got, want, strict=True):
        assert g.shape == w.shape, f"shape {g.shape}, want {w.shape}"
        assert g.dtype == w.dtype, f"dtype {g.dtype}, want {w.dtype}"
        if w.dtype.kind != "f":
            ok = g == w
        elif rtol or atol:
            ok = np.isclose(g, w, rtol=rtol, atol=atol, equal_nan=True)
        else:
            ok = (np.isnan(g) & np.isnan(w)) | ((g == w) & (np.signbit(g) == np.signbit(w)))
        assert np.all(ok), f"got {g.ravel()[:8]}, want {w.ravel()[:8]}"


def tensors(args):
    return [nets.Tensor(a) if isinstance(a, np.ndarray) else a for a in args]


def every(f, args, want, rtol=0.0, atol=0.0):
    """Eager, traced, and on the reference interpreter."""
    eq(f(*tensors(args)), want, rtol, atol)
    eq(nets.trace(f)(*args), want, rtol, atol)
    os.environ["NETS_BACKEND"] = "numpy"
    try:
        eq(nets.trace(f)(*args), want, rtol, atol)
    finally:
        del os.environ["NETS_BACKEND"]


def slope(f, args, want, argnum=0, rtol=1e-7, atol=1e-9):
    """The gradient of f: nets.grad, traced nets.grad, and backward()."""
    eq(nets.grad(f, argnums=argnum)(*args), want, rtol, atol)
    eq(nets.trace(nets.grad(f, argnums=argnum))(*args), want, rtol, atol)
    ts = [
        nets.Tensor(a, requires_grad=i == argnum) if isinstance(a, np.ndarray) else a
        for i, a in enumerate(args)
    ]
    f(*ts).backward()
    eq(ts[argnum].grad, want, rtol, atol)


def refused(thunk, *errors):
    try:
        r = thunk()
    except errors:
        return
    raise AssertionError(f"no error, but {r!r}")


# ------------------------------------------------ state of a traced function


def test_state_only_written():
    """neighbour of pytorch/pytorch#198131."""
    a, b = nets.Tensor([1.0, 2.0]), nets.Tensor([0.0, 0.0])

    @nets.trace
    def f():
        o = a + 0
        b[...] = o
        return o

    eq([f(), b], [np.array([1.0, 2.0])] * 2)


def test_state_read_overwritten_read():
    """pytorch/pytorch#198131: first call already wrong; a keeps [1, 2]."""
    a, b = nets.Tensor([1.0, 2.0]), nets.Tensor([10.0, 20.0])

    @nets.trace
    def f():
        before = a * 1
        a[...] = b
        return before, a * 1

    eq([f(), a], [np.array([1.0, 2.0]), np.array([10.0, 20.0]), np.array([10.0, 20.0])])


def test_state_takes_the_present_value():
    """pytorch/pytorch#198131: b is read at each call."""
    a, b = nets.Tensor([1.0, 2.0]), nets.Tensor([10.0, 20.0])

    @nets.trace
    def f():
        a[...] = b

    f()
    b.data = [11.0, 21.0]
    f()
    eq(a, np.array([11.0, 21.0]))


def test_state_slice_that_covers_all():
    b = nets.Tensor([10.0, 20.0])

    @nets.trace
    def f():
        b[0:2] = 1.0

    f()
    eq(b, np.array([1.0, 1.0]))


def test_state_written_from_an_argument():
    """The call gives no error, and the tensor is lost for the rest of the process."""
    kept = nets.Tensor([0.0, 0.0])

    @nets.trace
    def f(x):
        kept[...] = x
        return nets.sum(x)

    eq(f(np.array([1.0, 2.0])), np.array(3.0))
    eq(kept, np.array([1.0, 2.0]))


def test_state_under_no_grad():
    """TypeError: 'mappingproxy' object does not support item assignment."""
    a, b = nets.Tensor([1.0, 2.0]), nets.Tensor([10.0, 20.0])

    @nets.trace
    def f():
        with nets.no_grad():
            a[...] = b

    f()
    eq(a, np.array([10.0, 20.0]))


def test_local_tensor_filled_from_state():
    """pytorch/pytorch#198101."""
    b = nets.Tensor([10.0, 20.0])

    @nets.trace
    def f():
        y = nets.zeros(2)
        y[...] = b
        return y * 1

    eq(f(), np.array([10.0, 20.0]))
    b.data = [11.0, 21.0]
    eq(f(), np.array([11.0, 21.0]))


def test_state_changed_in_a_branch():
    """pytorch/pytorch#195970 kind: refuse it (MutatedArgumentError), and leave the tensor alone."""
    st = nets.Tensor([1.0])

    def left(v):
        st[0] = v
        return v

    f = nets.trace(lambda x: nets.cond(x > 0, left, lambda v: v, x))
    refused(lambda: f(np.array(1.0)), nets.errors.TraceError)
    eq(st, np.array([1.0]))


# -------------------------------------- random numbers first used in a trace


def first_dropout():
    """jax-ml/jax#5206 kind. The first use of nets.random in the process is inside a trace: the same mask at
    every call, and the default generator is dead afterwards (nets.manual_seed raises LeakedTracerError too)."""
    f = nets.trace(lambda x: nets.nn.functional.dropout(x, 0.5))
    masks = [tuple(f(np.ones(64, f4)).tolist()) for _ in range(3)]
    assert len(set(masks)) == 3, "the same mask in each call"
    nets.manual_seed(0)
    nets.nn.Linear(2, 2)


def first_draw():
    nets.vjp(lambda x: x * nets.random.normal((3,)), np.ones(3))
    nets.manual_seed(0)


@pytest.mark.parametrize("program", [first_dropout, first_draw])
@pytest.mark.long
def test_the_first_use_of_random_numbers_is_in_a_trace(program):
    """In a process of its own, where nobody has drawn before."""
    code = f"from {__name__} import {program.__name__} as program; program()"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(__file__).parent)


# --------------------------------------- other tensors behind the same names


def test_rebound_class_attribute():
    """pytorch/pytorch#176851."""

    class G:
        factor = nets.Tensor(1.0)

    f = nets.trace(lambda x: x * G.factor)
    eq(f(np.array([4.0])), np.array([4.0]))
    G.factor = nets.Tensor(10.0)
    eq(f(np.array([4.0])), np.array([40.0]))


def test_rebound_slot():
    """pytorch/pytorch#197859."""

    class G:
        __slots__ = ("factor",)

    g = G()
    g.factor = nets.Tensor(1.0)
    f = nets.trace(lambda x: x * g.factor)
    eq(f(np.array([4.0])), np.array([4.0]))
    g.factor = nets.Tensor(10.0)
    eq(f(np.array([4.0])), np.array([40.0]))


def test_dict_of_tensors_grows():
    ws = {"a": nets.Tensor(1.0)}
    f = nets.trace(lambda x: sum(x * w for w in ws.values()))
    eq(f(np.array([4.0])), np.array([4.0]))
    ws["b"] = nets.Tensor(3.0)
    eq(f(np.array([4.0])), np.array([16.0]))


def test_rebound_entry_of_a_deque():
    from collections import deque

    d = deque([nets.Tensor(1.0)])
    f = nets.trace(lambda x: x * d[0])
    eq(f(np.array([4.0])), np.array([4.0]))
    d[0] = nets.Tensor(10.0)
    eq(f(np.array([4.0])), np.array([40.0]))


# ------------------------------------------------------ attributes of layers


def layer_attribute(layer, x, name, value):
    f = nets.trace(lambda x: layer(x))
    eq(f(x), layer(nets.Tensor(x)), 1e-5, 1e-6)
    setattr(layer, name, value)
    eq(f(x), layer(nets.Tensor(x)), 1e-5, 1e-6)


def test_leaky_relu_slope_changes():
    """pytorch/pytorch#124717; docs/tracing.md: 'a number, text or bool among its attributes that its forward reads: yes'."""
    layer_attribute(nets.nn.LeakyReLU(0.1), np.array([-1.0, 2.0], f4), "negative_slope", 0.5)


def test_batch_norm_eps_changes():
    layer_attribute(nets.nn.BatchNorm1d(2).eval(), np.ones((3, 2), f4), "eps", 3.0)


def test_group_norm_groups_change():
    layer_attribute(
        nets.nn.GroupNorm(2, 4), np.arange(8.0, dtype=f4).reshape(1, 4, 2) ** 2, "num_groups", 4
    )


def test_max_pool_kernel_changes():
    layer_attribute(
        nets.nn.MaxPool2d(2, 1), np.arange(16.0, dtype=f4).reshape(1, 1, 4, 4), "kernel_size", 3
    )


def test_attribute_that_is_a_numpy_number_or_a_tuple():
    class M(nets.nn.Module):
        def __init__(self):
            super().__init__()
            self.scale = np.float32(2.0)

        def forward(self, x):
            return x * self.scale

    layer_attribute(M(), np.array([1.0], f4), "scale", np.float32(5.0))


# ------------------------------------------------------- backward in a trace


def test_backward_array_in_a_trace():
    """tinygrad/tinygrad#16571. AttributeError: 'numpy.ndarray' object has no attribute '_value'."""
    for seed in (np.ones(2), [1.0, 1.0], np.array([1, 1])):
        w = nets.Tensor([1.0, 2.0], requires_grad=True)

        @nets.trace
        def step(x):
            w.zero_grad()
            (w * x).backward(seed)
            return w.grad * 1

        eq(step(np.array([3.0, 4.0])), np.array([3.0, 4.0]))


# ------------------------------------------------------- the order of a dict


def test_dict_order():
    """jax-ml/jax#8419: the result depends on which call came first."""
    f = nets.trace(lambda d: nets.concatenate(list(d.values())))
    one, two = np.array([0.0, 1.0]), np.array([2.0, 3.0])
    eq(f({"b": one, "a": two}), np.array([0.0, 1.0, 2.0, 3.0]))
    eq(f({"a": two, "b": one}), np.array([2.0, 3.0, 0.0, 1.0]))


def test_dict_order_in_a_nest():
    f = nets.trace(lambda n: n[0]["x"][next(iter(n[0]["x"]))] * 1.0)
    one, two = np.array([0.0]), np.array([1.0])
    eq(f([{"x": {"b": one, "a": two}}]), one)
    eq(f([{"x": {"a": two, "b": one}}]), two)


# --------------------------------------------- transforms of plain functions


def test_grad_sees_a_changed_number():
    """nets.grad of a plain function runs it once per signature: later values of what it closes over are not seen."""
    lam = [1.0]
    f = lambda w: nets.sum(w**2) * lam[0]
    eq(nets.grad(f)(np.ones(2)), np.array([2.0, 2.0]))
    lam[0] = 0.0
    eq(nets.grad(f)(np.ones(2)), np.array([0.0, 0.0]))


def test_grad_sees_a_changed_array():
    c = np.array([2.0])
    f = lambda w: nets.sum(w * c)
    eq(nets.grad(f)(np.ones(1)), np.array([2.0]))
    c[0] = 5.0
    eq(nets.grad(f)(np.ones(1)), np.array([5.0]))


# ------------------------------------------------ values of state in a trace


def test_value_of_state_in_a_trace():
    """Either an error (as np.asarray, float() and item() give) or the value of now, never that of the first call."""
    for read in (
        lambda w: w.numpy(),
        lambda w: np.array(w.tolist()),
        copy.deepcopy,
        np.from_dlpack,
    ):
        w = nets.Tensor([2.0, 3.0])
        f = nets.trace(lambda x: x * read(w))
        try:
            f(np.ones(2))
        except nets.errors.TraceError:
            continue
        w.data = [5.0, 7.0]
        eq(f(np.ones(2)), np.array([5.0, 7.0]))


# ----------------------------------------------------------------- A10 … A12


def test_static_zero_and_minus_zero():
    f = nets.trace(lambda x, k: 1 / (x + k), static_argnums=1)
    with np.errstate(all="ignore"):
        eq(f(np.array([-0.0]), 0.0), np.array([inf]))
        eq(f(np.array([-0.0]), -0.0), np.array([-inf]))


def test_clip_bytes_beyond_their_range():
    """pytorch/pytorch#195675; np.clip(uint8, -1, 300) is allowed in NumPy 2, nets gives DTypeError."""
    x = np.array([0, 1, 255], np.uint8)
    every(lambda x: nets.clip(x, -1, 300), [x], np.clip(x, -1, 300))


# ------------------------------------------------------------- passing today


def test_square_root_of_a_square():
    """openxla/xla#42732, #14074."""
    x = np.array([1e19, 2e19, -3e25, 1e-25, nan, -inf], f4)
    with np.errstate(all="ignore"):
        every(
            lambda x: (nets.sqrt(x * x), nets.sqrt(x) * nets.sqrt(x)),
            [x],
            [np.sqrt(x * x), np.sqrt(x) * np.sqrt(x)],
        )


def test_xor_of_equal_comparisons():
    """openxla/xla#44705."""
    f = lambda a: 1 / nets.astype(nets.bitwise_xor(a != 0, a != 0), "float32")
    with np.errstate(all="ignore"):
        every(f, [np.arange(5)], np.full(5, inf, f4))


def test_matrix_vector_then_sum():
    """jax-ml/jax#39103."""
    for dt, n in ((np.float64, 16385), (np.float32, 32769)):
        i = np.arange(n, dtype=dt)
        f = lambda x: nets.sum(
            nets.matmul(nets.eye(3, dtype=x.dtype), x[:, :, None])[:, :, 0] ** 2, axis=1
        )
        every(f, [np.stack((i, i * 0, i * 0), 1)], i * i)


def test_chains_of_integer_division():
    """tinygrad/tinygrad#9728, #10064; google/xls#732."""
    u, v = np.arange(-20, 20)[:, None], np.arange(1, 9)[None]

    def f(u, v):
        e = ((((((v * 4) // 9) + 1) // 2) - 4) // 3 + v + u) * 2 + u - 1
        return e, (e * 6 + v * 6) // 16, (e * 4 + v) % 4, u // -2, u % -3, -(-u // v)

    every(f, [u, v], f(u, v))


def test_subnormal_scale():
    """pytorch/pytorch#126848."""
    x = np.array([0.1875, 1e-3], f4)
    every(lambda x: x * 2.0**-124, [x], x * f4(2.0**-124))


def test_negative_zero():
    """pytorch/pytorch#189799, #183606."""
    f = lambda x: (1 / (nets.ceil(x) + 0.0), 1 / nets.ceil(x), x - nets.trunc(x))
    x = np.array([-0.5, -0.1])
    with np.errstate(all="ignore"):
        every(f, [x], [np.full(2, inf), np.full(2, -inf), x])


def test_nan_wins():
    """numba/numba#5788, pytorch/pytorch#118266, #76795."""
    a = np.random.default_rng(0).normal(size=(3, 33))
    a[1, 16] = a[2, 32] = nan
    every(
        lambda a: (
            nets.max(a, axis=1),
            nets.argmax(a, axis=1),
            nets.min(a, axis=0),
            nets.argmin(a, axis=0),
            nets.clip(a, nan, None),
        ),
        [a],
        [a.max(1), a.argmax(1), a.min(0), a.argmin(0), np.full_like(a, nan)],
    )


def test_convolution_with_groups_and_stride():
    """ml-explore/mlx#3800, pytorch/pytorch#68868: gradient by finite differences."""
    rng = np.random.default_rng(0)
    x, w = rng.normal(size=(1, 4, 7, 7)), rng.normal(size=(4, 1, 3, 3))
    f = lambda x, w: nets.sum(nets.sin(nets.conv(x, w, stride=2, padding=1, groups=4)))
    traced = nets.trace(f)
    for k, a in enumerate((x, w)):
        want = np.zeros_like(a)
        for i in np.ndindex(a.shape):
            p, m = a.copy(), a.copy()
            p[i] += 1e-6
            m[i] -= 1e-6
            g = [traced(*((q, w) if k == 0 else (x, q))).item() for q in (p, m)]
            want[i] = (g[0] - g[1]) / 2e-6
        eq(nets.grad(f, argnums=k)(x, w), want, 1e-6, 1e-7)


def test_slice_assignment_gradient():
    """pytorch/pytorch#180164, #183898, #182012."""

    def f(x, y):
        o = x * 1
        o[:, 0:6] = y
        return nets.sum(o)

    want = np.ones((4, 13))
    want[:, :6] = 0
    slope(f, [np.ones((4, 13)), np.ones((4, 6))], want)


def test_far_slices():
    """pytorch/pytorch#113015."""
    a = np.arange(1850.0)
    every(
        lambda x: (x[-1850:-1849], x[-1850::43], x[-9999:3], x[5:-9999], x[-1:-5000:-7]),
        [a],
        [a[-1850:-1849], a[-1850::43], a[:3], a[5:-9999], a[-1:-5000:-7]],
    )


def test_source_changed_after_the_copy():
    """pytorch/pytorch#198131, #198094, #198101."""
    d, s = nets.zeros((3, 4)), nets.Tensor(np.arange(12.0).reshape(3, 4))

    @nets.trace
    def f():
        d[0:, :] = s[0:, :]
        s[...] = s + 1
        return s * 1

    w = np.arange(12.0).reshape(3, 4)
    eq([f(), d, s], [w + 1, w, w + 1])


def test_pad_then_index():
    """tinygrad/tinygrad#2194, pytorch/pytorch#189895."""
    x = np.array([5, 6])
    every(
        lambda x: (
            nets.pad(x, (0, 1), 2)[2],
            nets.pad(nets.cumsum(x), (1, 0)),
            nets.sum(nets.pad(x, (2, 3), 7) * 2),
        ),
        [x],
        [np.int64(2), np.array([0, 5, 11]), np.int64(92)],
    )


def test_gather_gradient():
    """microsoft/onnxruntime#7752, jax-ml/jax#32704."""
    i = np.array([-1, 0, -1, 2, -3])
    slope(lambda x: nets.sum(x[i] * np.arange(1.0, 6)), [np.arange(4.0)], np.array([2.0, 5, 4, 4]))


def test_ties():
    """HIPS/autograd#141, tinygrad/tinygrad#12296, tensorflow/tensorflow#40122."""
    slope(lambda x: nets.max(nets.stack([x, x])), [np.array(2.0)], np.array(1.0))
    eq(np.sum(nets.grad(lambda x: nets.max(x))(np.ones(70000)).numpy()), np.float64(1), 1e-9)
    eq(
        nets.grad(lambda x: nets.sum(nets.max_pool(x, 2)))(np.ones((1, 1, 2, 2))),
        np.array([[[[1.0, 0], [0, 0]]]]),
    )


def test_loops():
    """numba/numba#9518, #7867, taichi-dev/taichi#4412, #2505, NVIDIA/warp#174."""
    t = np.arange(100)
    every(
        lambda t: nets.fori_loop(0, 100, lambda k, e: (e[0] + t[k], e[1] - t[k]), (0, 0)),
        [t],
        [np.int64(4950), np.int64(-4950)],
    )
    slope(
        lambda x: nets.fori_loop(0, 4, lambda i, c: c + x * 3 * x, nets.zeros(())) * x * 3,
        [np.array(2.0)],
        np.array(108.0 * 4),
    )


def test_shift_register():
    """openxla/xla#49176."""

    def body(i, c):
        c = c * 1
        c[1:] = c[:-1]
        c[0] = i
        return c

    every(
        lambda x: nets.fori_loop(0, 5, body, x), [np.zeros(8)], np.array([4.0, 3, 2, 1, 0, 0, 0, 0])
    )


def test_donation():
    """jax-ml/jax#39625, #9635."""
    s = tuple(nets.Tensor(float(i)) for i in (1, 2, 3))
    ys, new = nets.trace(lambda s, v: ((v - v,) * 3, s), donate_argnums=0)(s, 0.0)
    eq([ys, new], [np.float64(v) for v in (0, 0, 0, 1, 2, 3)])
    x = nets.Tensor(np.arange(10.0))
    eq(
        nets.trace(lambda x, y: (x + y, x * y), donate_argnums=0)(x, x),
        [np.arange(10.0) * 2, np.arange(10.0) ** 2],
    )


def test_exported_state():
    """pytorch/pytorch#165444, #120424, #169118: a counter in an exported library counts."""
    import tempfile

    c = nets.Tensor(np.ones(1))

    def f():
        c.data = c + 1.0
        return c * 1

    with tempfile.TemporaryDirectory() as folder:
        nets.export(folder + "/lib", formats=("so",), f=nets.trace(f).lower())
        lib = nets.load(folder + "/lib.so")
        eq(
            [np.asarray(lib.f()) for _ in range(3)],
            [np.array([2.0]), np.array([3.0]), np.array([4.0])],
        )


def test_input_changed_before_backward():
    """pytorch/pytorch#197887."""
    w, x = nets.Tensor(np.eye(3), requires_grad=True), np.arange(9.0).reshape(3, 3)
    y = nets.sum(nets.trace(lambda a, w: a @ w)(x, w))
    x[:] = 0
    y.backward()
    eq(w.grad, np.arange(9.0).reshape(3, 3).sum(0)[:, None] * np.ones((1, 3)))


def test_third_derivative_of_batch_norm():
    """pytorch/pytorch#186256: the line x + t v, derivative by t; for n = 2 samples the value is tanh-like, so compare with central differences."""
    rng = np.random.default_rng(0)
    x, v, w = rng.normal(size=(3, 4, 2))
    f = lambda t: nets.sum(nets.nn.functional.batch_norm(x + t * v, None, None, training=True) * w)
    d2 = nets.trace(nets.grad(nets.grad(f)))
    h = 1e-4
    want = (d2(np.array(h)).item() - d2(np.array(-h)).item()) / (2 * h)
    eq(nets.grad(nets.grad(nets.grad(f)))(np.array(0.0)), np.array(want), 1e-5)


# ------------------------------------------------- state that is bound anew, or from outside

one = np.ones(2)


def momentum():
    p, v = nn.Parameter(np.array([5.0, -3.0])), [nets.zeros(2)]

    def train():
        p.zero_grad()
        loss = (p * p).sum()
        loss.backward()
        v[0] = 0.9 * v[0] + p.grad
        p.data = p.data - 0.1 * v[0]
        return loss

    return train


def table():
    d = {"h": nets.zeros(2)}

    def step():
        d["h"] = d["h"] + one
        return d["h"] * 1

    return step


class Leaky(nn.Module):
    def __init__(self):
        super().__init__()
        self.register_buffer("h", nets.zeros(2))

    def forward(self, u):
        self.h = 0.5 * self.h + u
        return self.h * 1


def attribute():
    layer = Leaky()
    return lambda: layer(one)


@pytest.mark.parametrize("make", [momentum, table, attribute])
def test_state_that_is_bound_anew(make):
    eager, traced = make(), nets.trace(make())
    assert [traced().tolist() for _ in range(4)] == [eager().tolist() for _ in range(4)]


def whole(number):
    return nets.Tensor(np.full(2, float(number)))


several, named = [whole(1), whole(1)], {"a": whole(2)}


class Holder:
    w = whole(1)


class Gain(nn.Module):
    def __init__(self):
        super().__init__()
        self.config = {"gain": 1.0}

    def forward(self, u):
        return u * self.config["gain"]


layer = Gain()

OUTSIDE = {
    "a list that grows": (lambda u: sum(u * t for t in several), lambda: several.append(whole(3))),
    "a dict that grows": (
        lambda u: sum(u * t for t in named.values()),
        lambda: named.update(b=whole(3)),
    ),
    "a class attribute": (lambda u: u * Holder.w, lambda: setattr(Holder, "w", whole(5))),
    "a number in a dict of a module": (
        lambda u: nets.as_tensor(layer(u)),
        lambda: layer.config.update(gain=5.0),
    ),
}


@pytest.mark.parametrize("kind", OUTSIDE)
def test_what_changes_outside_between_two_calls(kind):
    f, change = OUTSIDE[kind]
    traced = nets.trace(f)
    traced(one)
    change()
    assert traced(one).tolist() == np.asarray(f(one)).tolist()


def stored(w):
    z = np.zeros(2)
    z[0] = w[0]
    return (5 * z).sum()


DETACHING = {
    "np.linalg.norm": (lambda w: np.linalg.norm(w), lambda w: w / np.linalg.norm(w)),
    "np.stack": (lambda w: (np.stack([w[0], w[1]]) ** 2).sum(), lambda w: 2 * w),
    "np.clip": (lambda w: np.clip(w, 0, 10).sum(), lambda w: np.ones(2)),
    "np.dot": (lambda w: np.dot(np.array([3.0, 4.0]), w), lambda w: np.array([3.0, 4.0])),
    "np.where": (lambda w: np.where(w > 0, w, 0).sum(), lambda w: np.ones(2)),
    "an element into an array": (stored, lambda w: np.array([5.0, 0.0])),
}


@pytest.mark.parametrize("kind", DETACHING)
def test_numpy_functions_keep_the_gradient_or_refuse(kind):
    f, slope = DETACHING[kind]
    start = np.array([1.0, 2.0])
    w = nets.Tensor(start, requires_grad=True)
    try:
        loss = f(w) + (w * w).sum()
    except nets.errors.NetsError:
        return
    loss.backward()
    eq(w.grad, slope(start) + 2 * start, 1e-12)
