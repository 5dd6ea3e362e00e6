"""Any text at all ends in a model or in a SpecError whose places lie inside the text."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from golden import SPECS
from hypothesis import given, settings
from hypothesis import strategies as st

from cnnspec.compiler import Compiler
from cnnspec.errors import SpecError
from cnnspec.mend import mend
from cnnspec.source import Source
from cnnspec.syntax.spec_file import decode

EXAMPLES = [p.read_text(encoding="utf-8") for p in sorted(Path(SPECS).rglob("*.cnn"))]
WORDS = re.findall(
    r"\S+",
    """
    input classes param block repeat residual project concat add multiply from train data expect defaults
    cnnspec conv dense maxpool relu bn flatten avgpool global same none skip=if_same stride=2 bias=no a: a b
    for if in else use filter sweep in.c here.h 3x3 28x28x1 64 0 -1 1G 10% 0.5 ( ) [ ] { } | -> , = == >= <
    + - * / // " # round8( source digits optimizer sgd lr=0.1 epochs 3 test.accuracy params
    """,
)
fuzz = settings(max_examples=150)


def judge(text: str) -> None:
    """Take a text to its model; on the way only SpecError may be raised."""
    try:
        model = Compiler.from_text(text).model
    except SpecError as error:
        assert error.diagnostics
        for d in error.diagnostics:
            assert 0 <= d.span.start <= d.span.end <= len(d.span.source.text)
            assert d.message
            d.render()
            d.as_dict()
    else:
        names = [layer.name for layer in model.layers]
        assert len(set(names)) == len(names)
        assert model.output == names[-1] or model.output in names


@fuzz
@given(st.text(max_size=200))
def test_any_characters(text):
    judge(text)


@fuzz
@given(st.binary(max_size=200))
def test_any_bytes(data):
    try:
        source = decode("x.cnn", data)
    except SpecError as error:
        assert "not UTF-8" in str(error)
    else:
        judge(source.text)


@fuzz
@given(st.lists(st.sampled_from([*WORDS, "\n", "\n"]), max_size=60))
def test_any_words(words):
    judge("input 8x8x2\n" + " ".join(words))


@fuzz
@given(st.data())
def test_examples_with_a_piece_cut_doubled_or_moved(data):
    text = data.draw(st.sampled_from(EXAMPLES))
    for _ in range(data.draw(st.integers(1, 3))):
        start = data.draw(st.integers(0, len(text)))
        stop = data.draw(st.integers(start, min(len(text), start + 30)))
        piece = data.draw(st.sampled_from(["", text[start:stop] * 2, "}", "{", "|", "\n", "->", *WORDS]))
        text = text[:start] + piece + text[stop:]
    judge(text)


@fuzz
@given(st.lists(st.sampled_from([*WORDS, "\n", "\n"]), max_size=40))
def test_mending_ends(words):
    """``check --fix`` never raises and never grows a text without end."""
    source, n, _ = mend(Source("x.cnn", "input 8x8x2\n" + " ".join(words)))
    assert n <= 200
    assert len(source.text) < 5000


@pytest.mark.parametrize("junk", ["#" * 50_000, " " * 50_000, "\n" * 50_000, "a" * 50_000, "9" * 50_000])
def test_long_runs_of_one_character(junk):
    judge(junk)
    judge("input 8x8x1\nrelu" + junk)
