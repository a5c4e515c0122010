"""Chains run entry by entry keep their bits, and programs that must not be cut do."""

import numpy as np
import pytest

from nets.backend.numpy.interpreter import evaluate
from nets.ir.core import Function, Value
from nets.ir.parser import parse_function
from nets.ir.types import DType, f32, f64
from nets.ops.definition.emitter import GraphEmitter
from nets.ops.definition.registry import Array, lookup
from nets.passes.derivatives.vjp import vjp
from nets.passes.manager import Options, find_pass
from nets.passes.pipelines import FUSE, LOWER
from tests.machines import let_every_machine_have
from tests.passes.lowered import Program, operations, run_loops, run_passes, tensor
from tests.property.compiled import Way
from tests.property.programs import arguments, random_program
from tests.property.results import assert_native, assert_same

OPTIMIZE = ",".join(("canonicalize", "cse", *FUSE))
SHAPES = ((3, 3, 7, 5), (1, 8, 1, 3), (3, 1, 17, 16), (4, 3, 33, 1), (9, 1, 130, 9))


@pytest.fixture(autouse=True)
def _every_chain(monkeypatch: pytest.MonkeyPatch) -> None:
    let_every_machine_have(monkeypatch, kept_bytes=1)


def softmax(b: GraphEmitter, x: Value) -> Value:
    shape = x.type.shape
    kept = tuple(range(len(shape) - 1))
    shifted = b.sub(x, b.broadcast(b.emit("reduce_max", x, axes=(len(shape) - 1,)), shape, kept))
    e = b.emit("exp", shifted)
    return b.div(e, b.broadcast(b.sum(e, (len(shape) - 1,)), shape, kept))


def attention(shape: tuple[int, int, int, int], dtype: DType = f32) -> Function:
    """Attention whose heads are cut out of rows that hold queries, keys and values."""
    batch, heads, length, width = shape
    p = Program(tensor(batch, length, 3, heads, width, dtype=dtype))
    (x,) = p.arguments

    def part(i: int) -> Value:
        cut = p.b.emit(
            "slice",
            x,
            starts=(0, 0, i, 0, 0),
            stops=(batch, length, i + 1, heads, width),
            steps=(1,) * 5,
        )
        flat = p.b.reshape(cut, (batch, length, heads, width))
        return p.b.transpose(flat, (0, 2, 1, 3))

    scores = p.b.emit("matmul", part(0), p.b.transpose(part(1), (0, 1, 3, 2)))
    mixed = p.b.emit("matmul", softmax(p.b, scores), part(2))
    rows = p.b.transpose(mixed, (0, 2, 1, 3))
    return p.done(p.b.reshape(rows, (batch * length, heads * width)))


def check_native(function: Function, arrays: list[Array], chains: int) -> None:
    """By entry and not, the same bits, for any number of threads."""
    plain = Way(OPTIMIZE).compile(function)(arrays)
    assert_native(function, arrays, plain)
    for threads in (1, 2, 3):
        way = Way(f"{OPTIMIZE},outline_entries", threads, vector_bytes=(32, 64, 16)[threads - 1])
        if threads == 1:
            found = operations(way.compilation(function).optimized, "entries")
            assert len(found) == chains
        assert_same(plain, way.compile(function)(arrays), function)


def draw(function: Function) -> list[Array]:
    return arguments(function, np.random.default_rng(0), special=False)


@pytest.mark.parametrize(
    ("shape", "dtype"),
    [*((shape, f32) for shape in SHAPES), (SHAPES[0], f64), (SHAPES[2], f64)],
    ids=str,
)
@pytest.mark.sampled(7)
def test_attention_and_its_gradient(shape: tuple[int, int, int, int], dtype: DType) -> None:
    function = attention(shape, dtype)
    if dtype == f64 or shape == SHAPES[-1]:  # the gradient begins with what is in it
        check_native(function, draw(function), 1)
    gradient = vjp(function, [0])
    check_native(gradient, draw(gradient), 1)


@pytest.mark.parametrize("shape", SHAPES[:3], ids=str)
@pytest.mark.sampled(3)
def test_the_loops_are_those_of_the_reference(shape: tuple[int, int, int, int]) -> None:
    """By the strict interpreter: no access outside a buffer, nothing read that was not stored."""
    function = vjp(attention(shape), [0])
    arrays = draw(function)
    expected = evaluate(function, arrays)
    loops = run_passes(function, *OPTIMIZE.split(","), "outline_entries", *LOWER)
    assert operations(loops, "loop.slice")
    for later in ((), ("vectorize", "hoist", "plan_memory")):
        lowered = run_passes(loops, *later)
        for backwards in (False, True):
            for want, have in zip(expected, run_loops(lowered, arrays, backwards), strict=True):
                np.testing.assert_allclose(have, want, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("seed", range(40))
@pytest.mark.sampled(5)
def test_random_programs_keep_their_bits(seed: int) -> None:
    function = random_program(seed, 20)
    fused = run_passes(function, *FUSE)
    run_passes(fused, "outline_entries", *LOWER, "vectorize", "hoist", "plan_memory")
    assert {op.name for op in run_passes(fused, "outline_entries").walk()} - {
        "entries",
        "yield",
    } <= {op.name for op in fused.walk()}


def test_scores_of_one_entry_take_the_memory() -> None:
    function = attention((8, 4, 64, 8))
    plain, by_entry = (
        Way(pipeline).compilation(function)
        for pipeline in (OPTIMIZE, f"{OPTIMIZE},outline_entries")
    )
    scores = 8 * 4 * 64 * 64 * 4
    assert plain.workspace_bytes > scores
    assert by_entry.workspace_bytes < scores / 2


def test_too_few_entries_for_the_threads_stay_apart() -> None:
    function = run_passes(attention((1, 3, 7, 5)), *FUSE)
    for threads, chains in ((1, 1), (2, 0)):
        result = find_pass("outline_entries")(run_passes(function), Options(threads=threads))
        assert len(operations(result, "entries")) == chains


def test_entries_that_do_not_go_by_entry_are_dissolved() -> None:
    """Nothing the compiler makes, but IR may be written by hand."""
    text = """
    func @f(%x: tensor<3x4x4xf32>) -> tensor<3x4x4xf32> {
      %0 = entries %x {axes = 1} (%a: tensor<3x4x4xf32>) {
        %1 = matmul %a, %a : tensor<3x4x4xf32>
        %2 = flip %1 {axes = [0]} : tensor<3x4x4xf32>
        yield %2 : tensor<3x4x4xf32>
      } : tensor<3x4x4xf32>
      return %0 : tensor<3x4x4xf32>
    }
    """
    function = parse_function(text, lookup)
    p = Program(tensor(3, 4, 4))
    (x,) = p.arguments
    plain = p.done(p.b.emit("flip", p.b.emit("matmul", x, x), axes=(0,)))
    arrays = draw(function)
    found = Way("none").compile(function)(arrays)
    assert_same(Way("none").compile(plain)(arrays), found, function)


def test_a_result_that_is_read_on_inside_is_whole() -> None:
    """Scores that are returned as well, and a view of them."""
    p = Program(tensor(3, 5, 4), tensor(3, 4, 6))
    x, y = p.arguments
    scores = p.b.emit("matmul", x, y)
    e = p.b.emit("exp", scores)
    flat = p.b.reshape(e, (3, 30))
    back = p.b.reshape(p.b.emit("sin", flat), (3, 6, 5))
    out = p.b.emit("matmul", back, e)
    function = p.done(scores, out, flat, p.b.reshape(back, (90,)))
    check_native(function, draw(function), 1)


def test_a_transpose_left_out_of_a_chain_comes_before_the_product_that_reads_it() -> None:
    """The transpose has the sizes of the stack, but only the product behind the chain needs it."""
    text = """
        func @f(%x: tensor<3x3x2x5xf64>, %y: tensor<3x3x2x2xf64>, %z: tensor<3x3xf64>)
            -> (tensor<3x3x2x5xf64>, tensor<3x3xf64>) {
          %0 = matmul %y, %x : tensor<3x3x2x5xf64>
          %1 = transpose %z {axes = [1, 0]} : tensor<3x3xf64>
          %2 = matmul %1, %z : tensor<3x3xf64>
          %3 = matmul %y, %0 : tensor<3x3x2x5xf64>
          return %3, %2 : tensor<3x3x2x5xf64>, tensor<3x3xf64>
        }"""
    function = parse_function(text, lookup)
    check_native(function, draw(function), 1)
