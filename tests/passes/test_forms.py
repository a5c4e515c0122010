"""Forms: each is seen to be broken, and a pass that does not keep its contract is named."""

from __future__ import annotations

import pytest

from nets.errors import PassError
from nets.ir.core import Function
from nets.ir.parser import parse_function
from nets.ops.definition.registry import lookup
from nets.passes import manager
from nets.passes.forms import (
    ALLOCATED_OUTSIDE,
    FORKED_ONCE,
    LOOPS,
    PLACED,
    TENSOR,
    VECTORIZED,
    Form,
)
from nets.passes.fusion.inline_unfit_fusions import FITTING
from nets.passes.manager import CONTRACTS, Options, load_all_passes, register_pass, run_pipeline
from nets.passes.pipelines import LOOPS as LOOP_PASSES
from nets.passes.pipelines import LOWER, OPTIMIZE
from nets.passes.spaces.split_reductions import ONE_RUN

SUM = """func @f(%x: tensor<20x3x400xf32>) -> tensor<3xf32> {
  %0 = reduce_sum %x {axes = [0, 2]} : tensor<3xf32>
  return %0 : tensor<3xf32>
}"""


@pytest.fixture(autouse=True)
def _at_level_2(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NETS_VERIFY", "2")
    monkeypatch.setattr(manager, "PASSES", dict(load_all_passes()))
    monkeypatch.setattr(manager, "CONTRACTS", dict(CONTRACTS))


def parsed(text: str = SUM) -> Function:
    return parse_function(text, lookup)


def holds(form: Form, function: Function) -> bool:
    try:
        form.check(function, "the test says")
    except PassError:
        return False
    return True


def test_forms_along_the_flow() -> None:
    ways = [[], [*OPTIMIZE], ["inline_unfit_fusions", "split_reductions"], [*LOWER]]
    ways += [[*LOOP_PASSES[:count]] for count in range(len(LOWER) + 1, len(LOOP_PASSES) + 1)]
    stages = [run_pipeline(parsed(), way, Options(threads=2)) for way in ways]
    told = {
        form.name: "".join("-+"[holds(form, stage)] for stage in stages)
        for form in (TENSOR, ONE_RUN, FITTING, LOOPS, VECTORIZED, FORKED_ONCE, PLACED)
    }
    assert told == {
        "TENSOR": "+++----------",
        "ONE_RUN": "-++++++++++++",
        "FITTING": "+++++++++++++",
        "LOOPS": "---++++++++++",
        "VECTORIZED": "+++-+++++++++",
        "FORKED_ONCE": "+++++++++++++",
        "PLACED": "+++---------+",
    }


def test_fusions_without_common_loops() -> None:
    apart = parsed(
        """func @f(%x: tensor<20x3xf32>) -> (tensor<3xf32>, tensor<20xf32>) {
  %0, %1 = fusion %x (%y: tensor<20x3xf32>) {
    %2 = reduce_sum %y {axes = [0]} : tensor<3xf32>
    %3 = reduce_sum %y {axes = [1]} : tensor<20xf32>
    yield %2, %3 : tensor<3xf32>, tensor<20xf32>
  } : tensor<3xf32>, tensor<20xf32>
  return %0, %1 : tensor<3xf32>, tensor<20xf32>
}"""
    )
    assert not holds(FITTING, apart)
    with pytest.raises(PassError, match="lower_to_loops requires the form FITTING"):
        run_pipeline(apart, ["lower_to_loops"])
    assert holds(FITTING, run_pipeline(apart, ["inline_unfit_fusions"]))


def test_parallel_loops_in_loops() -> None:
    inside = parsed(
        """func @f(%x: buffer<2xf32>) {
  %0 = loop.const {dtype = index, value = 0} : index
  %1 = loop.const {dtype = index, value = 2} : index
  loop.parallel %0, %1 (%i: index) {
    %2 = loop.alloc {offset = -1} : buffer<2xf32>
    loop.parallel %0, %1 (%j: index) {
      loop.yield
    } : index, index
    loop.yield
  } : index, index
  loop.return
}"""
    )
    assert not holds(FORKED_ONCE, inside)
    assert not holds(ALLOCATED_OUTSIDE, inside)


def test_a_pass_is_refused_what_it_does_not_take() -> None:
    with pytest.raises(PassError, match=r"vectorize requires the form LOOPS .*reduce_sum in f"):
        run_pipeline(parsed(), ["vectorize"])


def test_a_pass_that_does_not_ensure_what_it_says() -> None:
    register_pass("lazy", requires=(TENSOR,), ensures=(ONE_RUN,))(lambda function, _: function)
    with pytest.raises(PassError, match="lazy ensures the form ONE_RUN"):
        run_pipeline(parsed(), ["lazy"])


def test_a_pass_that_loses_what_held() -> None:
    def undo(function: Function, _: Options) -> Function:
        return parsed()

    register_pass("undo")(undo)
    with pytest.raises(PassError, match="undo is to keep the form ONE_RUN"):
        run_pipeline(parsed(), ["split_reductions", "undo"])
    register_pass("end", ends=(ONE_RUN,))(undo)
    run_pipeline(parsed(), ["split_reductions", "end"])


def test_every_pass_of_the_pipelines_has_a_contract() -> None:
    either = {"cse", "dce"}  # take IR of both dialects
    for name in (*OPTIMIZE, *LOOP_PASSES):
        assert CONTRACTS[name].requires or name in either, name
