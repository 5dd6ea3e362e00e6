"""The bytes of a roofline are those that must move: every operand once each way, whatever the calls overlap."""

from __future__ import annotations

from cnnspec.compiler import Compiler
from cnnspec.plan.plan import (
    BATCH,
    BATCHED,
    LOCAL,
    PARAM,
    PARTIAL,
    SCRATCH,
    SHARDS,
    SHARED,
    Buffer,
    KernelCall,
    Operand,
)
from cnnspec.plan.traffic import traffic


def call(*operands: Operand, domain: int = BATCH) -> KernelCall:
    return KernelCall("kernel", operands, (), domain)


def test_copies_follow_the_kind_of_a_buffer() -> None:
    for kind, copies in ((BATCHED, 5), (LOCAL, 5), (PARTIAL, SHARDS), (SHARED, 1), (PARAM, 1), (SCRATCH, 0)):
        assert traffic([call(Operand(Buffer("b", "f32", 100, kind), 10, 50))], 5) == 4 * 50 * copies, kind
    assert traffic([call(Operand(Buffer("b", "u8", 100, SHARED), 0, 100))], 5) == 100


def test_reading_and_writing_count_each_and_each_once() -> None:
    b = Buffer("b", "f32", 100, SHARED)
    read, again, write = Operand(b, 0, 60), Operand(b, 40, 60), Operand(b, 0, 10, write=True)
    assert traffic([call(read, read)], 1) == 4 * 60
    assert traffic([call(read), call(again)], 1) == 4 * 100
    assert traffic([call(read, write), call(write)], 1) == 4 * (60 + 10)


def test_blocks_count_what_they_cover() -> None:
    b = Buffer("b", "f32", 100, SHARED)
    assert traffic([call(Operand(b, 0, 10, 10), domain=4)], 1) == 4 * 40
    assert traffic([call(Operand(b, 0, 10, 30), domain=4)], 1) == 4 * 40  # gaps do not count
    assert traffic([call(Operand(b, 0, 70, 10), domain=4)], 1) == 4 * 100  # overlaps count once
    assert traffic([call(Operand(b, 0, 10), domain=4)], 1) == 4 * 10  # all blocks read the same
    assert traffic([call(Operand(b, 0, 10, 30))], 1) == 4 * 10  # a segment by samples has no blocks


def test_a_direct_convolution_moves_its_images_and_its_filters() -> None:
    compiler = Compiler.from_text("input 8x8x16\nconv 32 5x5 stride=2\nflatten\ndense 2\n")
    calls = [c for s in compiler.with_options(batch=3).plan.segments for c in s.calls if c.layer == "conv"]
    forward = [c for c in calls if not c.backward]
    image, y, filters = 12 * 12 * 16, 4 * 4 * 32, 5 * 5 * 16 * 32  # the image with its halo of 2
    least = 4 * (3 * (8 * 8 * 16 + y) + filters)  # and 16 numbers more behind each, against aliasing
    assert least <= traffic(forward, 3) <= 4 * (3 * (image + y + 32) + filters + 256)
    assert traffic(forward, 6) - traffic(forward, 3) == traffic(forward, 9) - traffic(forward, 6)
