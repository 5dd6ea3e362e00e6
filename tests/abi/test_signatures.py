"""Plan and machine code agree on names: kernels read the names of their signatures, and only names."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import cnnspec
from cnnspec.abi import SIGNATURES, pack, signature_of
from cnnspec.abi.signature import parse, strides
from cnnspec.errors import InternalError

KERNELS = Path(cnnspec.__file__).parent / "kernels"
UNREAD = {"step_sample_stride", "panels"}  # packed because their neighbours are


def templates() -> Iterator[tuple[str, ast.FunctionDef]]:
    """Yield family and source of each function (p, a, n)."""
    for path in sorted(KERNELS.glob("*.py")):
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.FunctionDef) and [x.arg for x in node.args.args] == ["p", "a", "n"]:
                family = "winograd_input" if node.name == "winograd_tiles" else node.name.partition("__")[0]
                yield family, node


def read_by(function: ast.FunctionDef) -> Iterator[tuple[str, str]]:
    """Yield (p or a, name) of each operand and argument that a kernel reads; AssertionError for a bare number."""
    for node in ast.walk(function):
        if isinstance(node, ast.Subscript) and isinstance(node.value, ast.Name) and node.value.id in "pa":
            place = node.slice.left if isinstance(node.slice, ast.BinOp) else node.slice  # p[P.right + kind]
            text = ast.unparse(node)
            assert isinstance(place, ast.Attribute), f"{function.name} reads {text} by place"
            assert ast.unparse(place.value) == node.value.id.upper(), text
            yield node.value.id, place.attr


def names_of(family: str) -> dict[str, set[str]]:
    """Return the names in the signature of a family, and of the one that shares its source with a flag."""
    twin = SIGNATURES["winograd_panel_turned"] if family == "winograd_panel" else ("", "")
    texts = zip(SIGNATURES[family], twin, strict=True)
    return {
        which: {entry.partition("@")[0].partition(":")[0].removesuffix("!") for entry in " ".join(both).split()}
        for which, both in zip("pa", texts, strict=True)
    }


@pytest.mark.parametrize(("family", "function"), [*templates()], ids=lambda x: getattr(x, "name", ""))
def test_kernels_read_names_of_their_signature(family: str, function: ast.FunctionDef) -> None:
    known = names_of(family)
    for which, name in read_by(function):
        assert name in known[which], f"{function.name} reads {name}, which {family} does not have"


def test_every_argument_is_read() -> None:
    """By one at least of the kernels that share a signature."""
    read: dict[tuple[str, str], set[str]] = {}
    for family, function in templates():
        read.setdefault(SIGNATURES[family], set()).update(name for which, name in read_by(function) if which == "a")
    read[SIGNATURES["winograd_panel_turned"]] = read[SIGNATURES["winograd_panel"]]
    for family, signature in SIGNATURES.items():
        assert names_of(family)["a"] <= read[signature] | UNREAD, family


def test_operands_and_arguments_are_packed_in_order() -> None:
    operands, arguments = pack("join.f32", {"y": "Y", "x": "X"}, {"elements": 3, "start": 1})
    assert tuple(operands) == ("X", "Y") and tuple(arguments) == (1, 3)
    assert (operands.y, arguments.start) == ("Y", 1)


def test_names_that_are_missing_or_unknown() -> None:
    with pytest.raises(InternalError, match=r"join\.f32 needs the operand y"):
        pack("join.f32", {"x": 0}, {"start": 0, "elements": 1})
    with pytest.raises(InternalError, match=r"join\.f32 needs the argument start"):
        pack("join.f32", {"x": 0, "y": 0}, {"elements": 1})
    with pytest.raises(InternalError, match=r"join\.f32 has no operand z"):
        pack("join.f32", {"x": 0, "y": 0, "z": 0}, {"start": 0, "elements": 1})
    with pytest.raises(InternalError, match=r"join\.f32 has no argument count"):
        pack("join.f32", {"x": 0, "y": 0}, {"start": 0, "elements": 1, "count": 1})


def test_a_kernel_without_a_signature() -> None:
    with pytest.raises(InternalError, match="does not define joined"):
        pack("joined.f32", {}, {})


def test_words_of_a_variant_add_and_take_away() -> None:
    def names(kernel: str) -> list[str]:
        return [field.name for field in signature_of(kernel).operands]

    assert names("bn_backward_apply.f32") == ["dy", "x", "coefficients", "dx"]
    assert names("bn_backward_apply.masked.addend.f32") == ["dy", "x", "coefficients", "dx", "scale_shift", "addend"]
    assert "b" in names("fold_batchnorm.f32") and "b" not in names("fold_batchnorm.nobias.f32")
    indices = signature_of("maxpool.2x2.f32").operands[2]
    assert (indices.name, indices.kind, indices.write) == ("indices", "u8", True)
    assert names("maxpool.2x2.values.f32") == ["x", "y"]


def test_places_count_from_zero() -> None:
    signature = parse("x y!", f"height {strides('x')}", frozenset())
    p, a = signature.places()
    assert (p.x, p.y) == (0, 1)
    assert (a.height, a.x_sample_stride, a.x_row_stride, a.x_pixel_stride) == (0, 1, 2, 3)
