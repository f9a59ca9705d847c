"""The inner loops on ARM cores: how they are found in assembly, and that they reach what is asked."""

from __future__ import annotations

import shutil

import pytest
from wherry.build.tools import package_folder

from benchmarks.arm.cores import CORES
from benchmarks.arm.loops import Loop, function_body, inner_loops, multiply_loop

ASSEMBLY = """
\t.section\t.text
_Z4TileILi6EE:                          // @_Z4TileILi6EE
\t.cfi_startproc
// %bb.0:
\tstp\td9, d8, [sp, #-16]!
.LBB0_1:                                // outer
\tmov\tx9, x1
.LBB0_2:                                // =>This Inner Loop Header: Depth=2
\t//APP
\tfmla\tv0.4s, v1.4s, v2.s[0]
\t//NO_APP
\tfmla\tv3.4s, v1.4s, v2.s[1]           // a comment
\tldr\tq1, [x1], #16
\tb.ne\t.LBB0_2
// %bb.3:
\tcbnz\tx3, .LBB0_1
.LBB0_4:
\tldr\tq0, [sp, #16]                    // 16-byte Reload
\tldr\tq4, [x29, #16]
\tfmla\tv0.4s, v1.4s, v2.4s
\ttbnz\tw3, #0, .LBB0_4
\tret
.Lfunc_end0:
_Z5OtherILi6EE:
\tmov\tx29, sp
.LBB1_1:
\tldr\tq4, [x29, #16]
\tb\t.LBB1_1
.Lfunc_end1:
"""


def test_inner_loops_are_found() -> None:
    loops = inner_loops(function_body(ASSEMBLY, "TileILi6E"))
    assert [len(loop.instructions) for loop in loops] == [4, 4]
    assert [loop.stack_accesses for loop in loops] == [0, 1]
    best = multiply_loop(ASSEMBLY, "TileILi6E", "fmla")
    assert best.instructions[:2] == ("fmla v0.4s, v1.4s, v2.s[0]", "fmla v3.4s, v1.4s, v2.s[1]")
    assert best.count("fmla") == 2 and best.text.endswith("b.ne .LBB0_2\n")


def test_the_frame_pointer_counts_where_it_is_one() -> None:
    (loop,) = inner_loops(function_body(ASSEMBLY, "OtherILi6E"))
    assert loop == Loop(("ldr q4, [x29, #16]", "b .LBB1_1"), ("sp", "x29")) and loop.stack_accesses == 1


def test_what_is_not_there_is_said() -> None:
    with pytest.raises(LookupError, match="2 functions"):
        function_body(ASSEMBLY, "ILi6E")
    with pytest.raises(LookupError, match="no loop with sdot"):
        multiply_loop(ASSEMBLY, "TileILi6E", "sdot")


def test_multiplies_that_the_model_times_wrongly_have_a_stand_in() -> None:
    a55, *others = CORES
    text = "fmla v3.4s, v1.4s, v2.s[1]\nsdot v3.4s, v14.16b, v2.4b[3]\nldr q1, [x1, x2]\n"
    assert a55.timed_as(text) == "sdot v3.4s, v1.16b, v2.16b\nsdot v3.4s, v14.16b, v2.16b\nldr q1, [x1, x2]\n"
    assert all(core.timed_as(text) == text for core in others)


@pytest.mark.slow
@pytest.mark.skipif(package_folder("ziglang") is None, reason="the Python package ziglang is not installed")
@pytest.mark.skipif(shutil.which("llvm-mca") is None, reason="llvm-mca is not installed")
def test_loops_reach_what_is_asked_and_do_not_spill() -> None:
    from benchmarks.arm.run import measure

    _, figures = measure()
    assert [figure for figure in figures if not figure.holds] == []
