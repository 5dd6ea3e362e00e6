"""``check --fix``: sure edits only, none adds a mistake, and twice is once."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
from golden import CASES, MARKER, SPECS
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cnnspec.errors import Diagnostic, SpecError, did_you_mean
from cnnspec.mend import apply_fixes, findings, mend, uncovered
from cnnspec.model.guess import is_slip
from cnnspec.source import Source

TEMPLATES = Path(__file__).parent.parent / "cnnspec" / "cli" / "templates"
EXAMPLES = [path.read_text(encoding="utf-8") for path in sorted([*SPECS.rglob("*.cnn"), *TEMPLATES.glob("*.cnn")])]
BROKEN = [path.read_text(encoding="utf-8").partition(MARKER)[0] for path in sorted(CASES.glob("[ef]*/*.txt"))]
PIECES = (
    "", " ", "\n", "\r\n", "->", "=>", "→", "×", ",", "{", "}", "|", ":", "=", "'", '"', "(", ")", "3X3", "lr 0.1",
    "lr=0.1", "limit 100", "reshape 3", "data: ", "conv: ", "Conv2D(8, (3, 3), activation='relu')", "linear", "norm",
    "nn.Conv2d(3, 8, 3)", "pad=valid", "stride 2", "bias=true", "softmax", "classes 3", "dense classes", "adam", "skip",
    "input 8 8 1",
)  # fmt: skip


def errors(found: tuple[Diagnostic, ...]) -> Counter[tuple[str, str]]:
    return Counter((d.code, d.message) for d in found if d.severity == "error")


def judge(text: str) -> None:
    source = Source("x.cnn", text)
    try:
        before = findings(source)
    except SpecError as error:  # not a text of a spec at all
        before = error.diagnostics
    for d in before:
        assert d.fix is None or d.fix.replacement != d.fix.span.text, "no word is offered for itself"
        assert len(d.message) < 2500
    mended, edits, remaining = mend(source)
    assert errors(remaining) <= errors(before), "a mend adds no mistake"
    assert remaining == findings(mended)
    assert edits == 0 or mended.text != text
    if edits:
        fewer = errors(remaining) != errors(before) or len(remaining) < len(before)
        assert fewer, "each mend mends"
    again = mend(mended)
    assert (again.source.text, again.edits) == (mended.text, 0), "twice is once"


@settings(deadline=None, max_examples=120, suppress_health_check=list(HealthCheck))
@given(st.data())
def test_no_mend_adds_a_mistake_and_twice_is_once(data: st.DataObject) -> None:
    text = data.draw(st.sampled_from([*EXAMPLES, *BROKEN]))
    for _ in range(data.draw(st.integers(1, 4))):
        start = data.draw(st.integers(0, len(text)))
        stop = min(len(text), start + data.draw(st.sampled_from((0, 0, 1, 1, 2, 7, 40))))
        word = text[start:stop]
        piece = data.draw(st.sampled_from([*PIECES, word * 2, word[::-1], word.swapcase()]))
        text = text[:start] + piece + text[stop:]
    judge(text)


@pytest.mark.parametrize("text", BROKEN)
def test_known_mistakes(text: str) -> None:
    judge(text)


@pytest.mark.parametrize(
    "text",
    [
        "input 8x8x1\nflatten -> dense 10\ndata {\n  source digits\n  limit 100\n}\n",
        "input 8x8x1\nreshape 4\n",
        "input 8x8x1\nrepaet 4\nflatten\n",  # uncovers that repeat needs a body
        "input 8x8x1\ndata: conv 8 3x3\n",
        "input 8x8x1\ntrain: conv 8 3x3\n",
        "input 8x8x1\nenc1: conv 8 3x3\nfrom enc2\n",
        "input 8x8x1\nselu\ncelu\nnorm\n",
        "input 8x8x1\nflatten -> dense 2\ntrain { on val.loss }\n",
        "input 8x8x1\nconv 4 3x3\n}\n",
        "input 8x8x1\nresidual { conv 4 3x3 }\n",
        "input 8x8x1\nflatten -> dense 10\ntrain { optimizer adamm lr=0.1 }\n".replace("adamm", "adamv"),
        "input 8x8x1\nlr = 0.1\nconv 4 3x3\n",
        "input 8x8x1\nblock b() { from input -> relu }\nb\n",
    ],
)
def test_a_guess_is_left_to_the_author(text: str) -> None:
    source = Source("x.cnn", text)
    assert findings(source)
    assert mend(source)[:2] == (source, 0)


def test_no_word_is_offered_for_itself() -> None:
    assert did_you_mean("conv", ["conv", "dense"]) is None
    for text in ("input 8x8x1\nblock b() { from input }\nb\n", "input 8x8x1\nconv same 3x3 pad=input\n"):
        for d in findings(Source("x.cnn", text)):
            assert d.fix is None or d.fix.replacement != d.fix.span.text


@pytest.mark.parametrize(
    ("word", "meant", "slip"),
    [
        ("strid", "stride", True), ("sme", "same", True), ("trian", "train", True), ("Relu", "relu", True),
        ("convv", "conv", True), ("limit", "split", False), ("reshape", "repeat", False), ("enc2", "enc1", False),
        ("conv", "conv", False), ("bm", "bn", False), ("relu6", "relu", False),
    ],
)  # fmt: skip
def test_what_is_a_slip(word: str, meant: str, slip: bool) -> None:
    assert is_slip(word, meant) is slip


def test_edits_that_would_uncover_a_mistake_are_told() -> None:
    source = Source("x.cnn", "input 8x8x1\nconv 4, 3x3 bogus=1\n")
    mended = mend(source)
    assert mended.edits == 0
    [behind] = uncovered(source, mended.remaining)
    assert "bogus" in behind.message


def test_edits_at_one_place_take_turns() -> None:
    source = Source("x.cnn", "input 8x8x1\nconv 4 3x3 → relu → relu\n")
    text, n = apply_fixes(source, [*findings(source)] * 2)
    assert (text, n) == ("input 8x8x1\nconv 4 3x3 -> relu → relu\n", 1)


def test_fifty_commas_are_mended_although_twenty_errors_are_told() -> None:
    source = Source("x.cnn", "input 8x8x1\n" + "conv 4, 3x3\n" * 55)
    mended, edits, remaining = mend(source)
    assert (edits, remaining) == (55, ())
    assert "," not in mended.text
