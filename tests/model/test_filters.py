"""Filters made by hand: a convolution begins with what is written, and what is no filter is told at its place."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cnnspec.cli.manual import catalogue, manual
from cnnspec.compiler import Compiler
from cnnspec.errors import SpecError
from cnnspec.ir.filters import Filter
from cnnspec.model.filter_library import FILTERS, built_in
from cnnspec.runtime.initialize import initial_parameters
from cnnspec.runtime.network import Network

# from the books that the manual names
TEXTBOOK = {
    "vertical_edge": ("1 0 -1", "1 0 -1", "1 0 -1"),
    "horizontal_edge": ("1 1 1", "0 0 0", "-1 -1 -1"),
    "sobel_x": ("-1 0 1", "-2 0 2", "-1 0 1"),
    "sobel_y": ("-1 -2 -1", "0 0 0", "1 2 1"),
    "prewitt_x": ("-1 0 1", "-1 0 1", "-1 0 1"),
    "prewitt_y": ("-1 -1 -1", "0 0 0", "1 1 1"),
    "scharr_x": ("-3 0 3", "-10 0 10", "-3 0 3"),
    "scharr_y": ("-3 -10 -3", "0 0 0", "3 10 3"),
    "roberts_x": ("-1 0", "0 1"),
    "roberts_y": ("0 -1", "1 0"),
    "laplacian": ("0 1 0", "1 -4 1", "0 1 0"),
    "sharpen": ("0 -1 0", "-1 5 -1", "0 -1 0"),
    "emboss": ("-2 -1 0", "-1 1 1", "0 1 2"),
    "identity": ("0 0 0", "0 1 0", "0 0 0"),
}


def rows(*lines: str) -> list[list[float]]:
    return [[float(n) for n in line.split()] for line in lines]


def weights(text: str) -> dict[str, np.ndarray]:
    return initial_parameters(Compiler.from_text(text).model)


@pytest.mark.parametrize("name", TEXTBOOK)
def test_a_named_filter_has_the_numbers_of_the_textbook(name: str) -> None:
    assert [list(row) for row in built_in(name).planes[0]] == rows(*TEXTBOOK[name])


def test_every_other_filter_has_its_law() -> None:
    assert set(FILTERS) - set(TEXTBOOK) == {"box", "gaussian", "gabor"}
    assert np.allclose(built_in("box", 5).planes, 1 / 25)
    assert np.allclose(built_in("gaussian").planes, np.outer([1, 2, 1], [1, 2, 1]) / 16)
    bell = np.array(built_in("gaussian", 7, 1.5).planes[0])
    assert math.isclose(bell.sum(), 1)
    assert math.isclose(bell[3, 4] / bell[3, 3], math.exp(-0.5 / 1.5**2))
    upright, flat, slanted = (np.array(built_in("gabor", angle, 4).planes[0]) for angle in (0, 90, 45))
    assert upright.shape == (9, 9)
    assert np.allclose(flat, upright.T)
    assert np.allclose(slanted, slanted.T) and np.allclose(slanted, slanted[::-1, ::-1])
    assert slanted[3, 5] < slanted[3, 3]  # 45 degrees is up to the right: there the stripe turns dark
    for made in (upright, flat, slanted):
        assert abs(made.sum()) < 1e-9
    x = np.arange(9) - 4
    stripes = np.tile(np.cos(2 * np.pi * x / 4), (9, 1))
    assert (upright * stripes).sum() > 5 * abs((flat * stripes).sum())


@pytest.mark.parametrize("entry", [e for e in catalogue() if e.group == "filters"], ids=lambda e: e.word)
def test_the_numbers_of_the_manual_are_a_filter_to_paste(entry) -> None:
    page = manual(entry, 96).splitlines()
    shown = [line for line in page if line.startswith("    ") and set(line) <= set("-.0123456789 ")]
    size = len(shown)
    w = weights(f"input 9x9x1\nfilter mine {{\n{chr(10).join(shown)}\n}}\nconv filters=[mine] pad=none")["conv.weight"]
    made = built_in(entry.word, *((45, 4, 5) if entry.word == "gabor" else ()))
    assert made.size == (size, size)
    assert np.allclose(w[:, :, 0, 0], made.planes[0], atol=5.1e-5)


def test_a_list_makes_channels_in_its_order_and_learned_ones_are_drawn() -> None:
    w = weights(
        "input 8x8x3\nfilter v {\n 1 0 -1/2\n}\nfilter c { | 1 2 3 | 4 5 6 | 7 8 9 }\n"
        "conv filters=[2, v, 1, c] pad=none -> relu\nconv filters=gaussian(3, 1) groups=1 bias=no"
    )
    first, bias = w["conv1.weight"], w["conv1.bias"]
    assert first.shape == (1, 3, 3, 5)
    for channel in range(3):
        assert first[0, :, channel, 2].tolist() == [1, 0, -0.5]
    assert first[0, :, :, 4].T.tolist() == [[1, 2, 3], [4, 5, 6], [7, 8, 9]]
    plain = weights("input 8x8x3\nconv 5 1x3 pad=none -> relu\nconv 1 3x3")["conv1.weight"]
    assert (first[..., [0, 1, 3]] == plain[..., [0, 1, 3]]).all()
    assert bias[[2, 4]].tolist() == [0, 0] and bias[[0, 1, 3]].all()
    assert w["conv2.weight"].shape == (3, 3, 5, 1)


def test_a_filter_is_laid_over_the_image_as_it_is_written_and_channels_are_added_up() -> None:
    """The step from bright to dark of the courses: 10 * 3 = 30 at the edge, for each channel."""
    image = np.zeros((1, 6, 6, 2), np.float32)
    image[:, :, :3] = (10, 1)
    net = Network(Compiler.from_text("input 6x6x2\nconv filters=[vertical_edge] pad=none bias=no"))
    assert net.predict(image)[0, :, :, 0].tolist() == [[0, 33, 33, 0]] * 4


@given(st.lists(st.lists(st.integers(-9, 9), min_size=3, max_size=3), min_size=1, max_size=5), st.integers(0, 4))
def test_a_row_of_another_length_is_told_at_its_own_line(numbers: list[list[int]], at: int) -> None:
    at = min(at, len(numbers))
    lines = [" ".join(map(str, row)) for row in numbers]
    lines.insert(at, "7 7")
    with pytest.raises(SpecError) as caught:
        Compiler.from_text("input 8x8x1\nfilter f {\n" + "\n".join(lines) + "\n}\nconv 8 3x3").model  # noqa: B018
    found = [d.span.line - 3 for d in caught.value.diagnostics]
    assert found == ([at] if at else list(range(1, len(lines))))
    assert all("one length" in d.message for d in caught.value.diagnostics)


def test_a_block_takes_a_filter_and_a_field_that_follows_is_filled_in() -> None:
    model = Compiler.from_text(
        "input 8x8x2\nfilter v { 1 0 -1 }\nblock edge(f, n=2) { conv filters=[f, n] pad=none }\n"
        "edge v\nedge sobel_x n=3\nedge (box(2))"
    ).model
    ops = [layer.op for layer in model.layers]
    assert [(op.out_channels, op.kernel_size) for op in ops] == [(3, (1, 3)), (4, (3, 3)), (3, (2, 2))]
    assert [str(op.filters[0]) for op in ops] == ["v", "sobel_x", "box(2)"]
    assert isinstance(ops[0].filters[0], Filter)


BAD = {
    "conv filters=64": ("filters=64", "lists filters made by hand", "out_channels"),
    "conv filters=[6]": ("[6]", "has no filter made by hand", None),
    "conv filters=[]": ("[]", "has no filter made by hand", None),
    "conv filters=[v, laplacain]": ("laplacain", "unknown filter", "laplacian"),
    "conv filters=[v, roberts_x]": ("roberts_x", "have one size", None),
    "conv filters=[v] size=3x3": ("size=3x3", "follows from `filters`", None),
    "conv filters=[gabor]": ("gabor", "needs the numbers", None),
    "conv filters=[gabor(1)]": ("gabor(1)", "takes 2 to 3 numbers", None),
    "conv filters=[gabor(1, 1)]": ("gabor(1, 1)", "wavelength is from 2", None),
    "conv filters=[gaussian(3, -1)]": ("gaussian(3, -1)", "sigma is not negative", None),
    "conv filters=[identity(4)]": ("identity(4)", "size is odd", None),
    "conv filters=[box(1000000)]": ("box(1000000)", "from 1 to 99", None),
    "conv filters=[sobel_x(3)]": ("sobel_x(3)", "takes no numbers", None),
    "conv filters=[v, 0]": ("0]", "whole numbers from 1", None),
    "conv filters=[v, 2.5]": ("2.5", "whole numbers from 1", None),
    "conv filters=[v, 9000000]": ("[v, 9000000]", "at most 1,000,000", None),
    "conv filters=[v*2]": ("v*2", "needs numbers", None),
    "conv filters=[two]": ("filters=[two]", "has 2 channels, and the input 3", None),
    "conv 8 3x3 freeze=yes": ("freeze=yes", "this convolution has none", None),
    "conv v 3x3": ("v 3x3", "found the filter `v`", None),
    "defaults conv filters=[v]\nconv 8 3x3": ("filters=[v]", "belongs to one conv", None),
    "v: conv 8 3x3": ("v:", "name of a filter", None),
    "filter v { 1 }": ("v { 1 }", "written twice", None),
    "filter sobel_x { 1 }": ("sobel_x", "built in", None),
    "filter w { 1/0 }": ("1/0", "division by zero", None),
    "filter w { 1e39 }": ("1e39", "beyond all", None),
    "filter w { }": ("w {", "has no numbers", None),
    "filter w { | 1\n| }": ("| }", "channel has no numbers", None),
    "filter w { | 1\n| 1 2 }": ("1 2", "channels of a filter have one size", None),
    "block b { filter w { 1 } }": ("filter w", "cannot stand inside braces", None),
}


@pytest.mark.parametrize("line", BAD)
def test_what_is_no_filter_is_told(line: str) -> None:
    place, words, mend = BAD[line]
    head = "input 8x8x3\nfilter two { | 1 | 2 }\nfilter v {\n 1 0 -1\n 1 0 -1\n 1 0 -1\n}\n"
    with pytest.raises(SpecError) as caught:
        Compiler.from_text(f"{head}{line}\nconv 4 3x3").model  # noqa: B018
    [error] = [d for d in caught.value.diagnostics if words in f"{d.message} {d.label}"]
    assert error.span.start - len(head) in [i for i in range(len(line)) if line.startswith(place, i)]
    if mend is not None:
        assert error.fix is not None
        assert (error.fix.replacement, error.fix.sure) == (mend, True)


def test_a_check_works_out_no_numbers_of_built_in_filters(monkeypatch: pytest.MonkeyPatch) -> None:
    """A spec may call for thousands of large ones."""
    asked = []
    monkeypatch.setattr(FILTERS["gabor"], "rows", lambda self: asked.append(self))
    calls = ", ".join(f"gabor({i}, 40, 99)" for i in range(50))
    summary = Compiler.from_text(f"input 99x99x1\nconv filters=[{calls}, 900000] freeze=yes").summary
    assert summary.rows[0].frozen == 50 * (99 * 99 + 1)
    assert not asked


@pytest.mark.parametrize("key", ["trainable=no", "requires_grad=no", "frozen=yes", "freeze=yes"])
def test_keys_of_other_libraries_lead_to_freeze(key: str) -> None:
    with pytest.raises(SpecError) as caught:
        Compiler.from_text(f"input 8x8x1\nflatten -> dense 10 {key}").model  # noqa: B018
    assert 'freeze "NAME"' in caught.value.diagnostics[0].hint
