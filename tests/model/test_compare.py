"""What a comparison of two specs says, and that its alignment is a longest common one."""

from __future__ import annotations

import random
import re
from dataclasses import fields
from itertools import pairwise
from pathlib import Path

import pytest

from cnnspec.compiler import Compiler
from cnnspec.model import align as aligning
from cnnspec.model.align import align, common
from cnnspec.model.compare import CHANGES, Comparison, compare, settings_of
from cnnspec.model.model import Model
from cnnspec.model.settings import DataSettings, TrainSettings

SPECS = sorted((Path(__file__).resolve().parent.parent.parent / "specs").rglob("*.cnn"))
NET = """\
input 16x16x3
stem: conv 8 3x3 -> relu
body: conv 16 3x3 -> relu -> conv 16 3x3 -> relu
maxpool 2
flatten -> dense 10
data { source npz "a.npz" }
train {
  optimizer sgd lr=0.1
  epochs 3
}
expect params > 0
"""


def compared(old: str, new: str) -> Comparison:
    return compare(*(Compiler.from_text(text, name="model.cnn").unjudged for text in (old, new)))


def changes(found: Comparison) -> list[tuple[str, str, str]]:
    """Return the fate and both names of each layer that differs, those that only follow left out."""
    return [
        (c.change, c.old.name if c.old else "", c.new.name if c.new else "")
        for c in found.layers
        if c.change != "follows"
    ]


@pytest.mark.parametrize("path", SPECS, ids=lambda path: path.stem)
def test_a_spec_equals_itself_whatever_its_comments_and_lines(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert compared(text, "# another comment\n\n" + text).is_equal
    assert not compared(text, text + "\nidentity\n").is_equal


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        ("stem: conv 8 3x3 -> relu", "stem: conv 8 5x5 -> relu", [("changed", "stem.conv", "stem.conv")]),
        ("maxpool 2\n", "", [("removed", "maxpool", "")]),
        ("flatten -> dense", "flatten -> dropout 0.5 -> dense", [("added", "", "dropout")]),
        ("stem:", "root:", [("renamed", "stem.conv", "root.conv"), ("renamed", "stem.relu", "root.relu")]),
        ("8 3x3 -> relu", "8 3x3 -> tanh", [("removed", "stem.relu", ""), ("added", "", "stem.tanh")]),
        ("maxpool 2", "repeat 2 { maxpool 2 }", [("added", "", "maxpool2")]),
        ("body: conv 16", "body: conv 4 1x1 -> conv 16", [("added", "", "body.conv1")]),
        ("maxpool 2", "add { | identity | from stem -> conv 16 1x1 }\nmaxpool 2",
         [("added", "", "identity"), ("added", "", "conv"), ("added", "", "add")]),
    ],
)  # fmt: skip
def test_layers_are_told_by_what_became_of_them(before: str, after: str, expected: list[tuple[str, str, str]]) -> None:
    assert NET.count(before) == 1
    new = NET.replace(before, after)
    assert changes(compared(NET, new)) == expected
    reverse = {"added": "removed", "removed": "added"}
    back = [(reverse.get(change, change), new, old) for change, old, new in expected]
    assert sorted(changes(compared(new, NET))) == sorted(back)


@pytest.mark.parametrize("path", SPECS, ids=lambda path: path.stem)
def test_each_layer_has_one_fate_between_any_two_nets(path: Path) -> None:
    old = Compiler.from_path(path).unjudged
    for other in SPECS[::4]:
        new = Compiler.from_path(other).unjudged
        found = compare(old, new)
        fates = [c.change for c in found.layers]
        assert len(new.layers) - len(old.layers) == fates.count("added") - fates.count("removed")
        for rows in ([c.old for c in found.layers], [c.new for c in found.layers]):
            names = [row.name for row in rows if row is not None]
            assert len(names) == len({*names})


def test_what_reads_another_layer_has_changed() -> None:
    text = "input 8x8x1\na: conv 4 3x3\nb: conv 4 3x3\nc: conv 4 3x3\nadd { | identity | from a }\n"
    [change] = compared(text, text.replace("from a", "from b")).layers
    assert (change.change, change.rewired) == ("changed", True)
    assert change.old is not None and change.new is not None
    assert (change.old.inputs, change.new.inputs) == (("identity", "a"), ("identity", "b"))


def test_a_layer_at_another_place_has_moved() -> None:
    new = NET.replace("maxpool 2\n", "").replace("body:", "maxpool 2\nbody:")
    assert changes(compared(NET, new)) == changes(compared(new, NET)) == [("moved", "maxpool", "maxpool")]


def test_what_follows_has_other_numbers_only() -> None:
    found = compared(NET, NET.replace("16x16x3", "20x20x3"))
    assert {c.change for c in found.layers} == {"follows"}
    assert [(s.name, s.old, s.new) for s in found.settings] == [("input", "16x16x3", "20x20x3")]
    for c in found.layers:
        assert c.old is not None and c.new is not None
        assert (c.old.name, c.old.detail) == (c.new.name, c.new.detail)


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        ("lr=0.1", "lr=0.2", ("train.optimizer.lr", "0.1", "0.2")),
        ("lr=0.1", "lr=0.1 nesterov=yes momentum=0.9", ("train.optimizer.momentum", "0.0", "0.9")),
        ("epochs 3", "epochs 4", ("train.epochs", "3", "4")),
        ("epochs 3", "epochs 3\n  batch 8", ("train.batch", "64", "8")),
        ("epochs 3", "epochs 3\n  stop patience=2 on=train.loss", ("train.stop.patience", None, "2")),
        ("epochs 3", "epochs 3\n  schedule warmup 1 -> cosine", ("train.schedule.warmup", "0", "1")),
        ("sgd lr", "adam lr", ("train.optimizer", "sgd", "adam")),
        ('"a.npz"', '"b.npz"', ("data.source.path", "a.npz", "b.npz")),
        ('"a.npz" }', '"a.npz"\n normalize mean=[0.5] std=[0.25] }', ("data.normalize.mean", None, "[0.5]")),
        ("flatten", "classes 10\nflatten", ("classes", None, "10")),
        ("params > 0", "params > 1", ("expect params >", "0", "1")),
        ("epochs 3", 'epochs 3\n  freeze "stem"', ("train.freeze", None, "stem")),
        ("epochs 3", 'epochs 3\n  freeze "s*"\n  unfreeze "stem" at=2', ("train.freeze", None, "s*, stem at=2")),
        ("expect params", "sweep { train.epochs [1, 2] }\nexpect params", ("sweep train.epochs", None, "[1, 2]")),
    ],
)  # fmt: skip
def test_settings_that_differ_are_named_as_set_writes_them(
    before: str, after: str, expected: tuple[str, str, str]
) -> None:
    assert NET.count(before) == 1
    found = compared(NET, NET.replace(before, after))
    assert not found.layers
    assert expected in [(s.name, s.old, s.new) for s in found.settings]


def test_every_setting_is_compared() -> None:
    """A field that is added to data, training or model has a name here, or says why not."""
    text = NET.replace("epochs 3", 'epochs 3\n keep best on=train.loss\n stop patience=2 on=train.loss\n freeze "stem"')
    text = text.replace('"a.npz"', '"a.npz"\n normalize mean=[0.5] std=[1]\n').replace("flatten", "classes 10\nflatten")
    text += "sweep { train.epochs [1, 2] }\n"
    names = {part for name in settings_of(Compiler.from_text(text).unjudged) for part in re.split("[. ]", name)}
    called = {"warmup_epochs": "warmup", "frozen": "freeze", "input_shape": "input", "expects": "expect"}
    # places, the net, and how a spec came to its values
    elsewhere = {"span", "layers", "output", "settings", "warnings", "used"}
    known = {f.name for cls in (TrainSettings, DataSettings, Model) for f in fields(cls)} - elsewhere
    assert {called.get(name, name) for name in known} <= names


def test_filters_are_compared_by_their_numbers() -> None:
    text = "input 8x8x1\nfilter v { 1 0 -1 }\nconv filters=[v, 3] pad=none\n"
    [change] = compared(text, text.replace("1 0 -1", "2 0 -2")).layers
    assert change.change == "changed"
    assert compared(text, text.replace("1 0 -1", "1  0.0 -1")).is_equal
    [change] = compared(text, text.replace("pad=none", "pad=none freeze=yes")).layers
    assert change.change == "changed"


def test_every_change_has_a_word() -> None:
    new = NET.replace("stem:", "root:").replace("maxpool 2\n", "").replace("dense 10", "dense 9 -> dense 10")
    new = new.replace("body: conv 16 3x3 -> relu ->", "body: conv 24 5x5 ->")
    assert {c.change for c in compared(NET, new).layers} <= {*CHANGES}


# ---- the alignment ------------------------------------------------------------------------------
def longest(a: str, b: str) -> int:
    table = [[0] * (len(b) + 1) for _ in range(len(a) + 1)]
    for i, x in enumerate(a):
        for j, y in enumerate(b):
            table[i + 1][j + 1] = table[i][j] + 1 if x == y else max(table[i][j + 1], table[i + 1][j])
    return table[-1][-1]


def is_a_pairing(pairs: list[tuple[int, int]], a: str, b: str) -> bool:
    rising = all(i < k and j < m for (i, j), (k, m) in pairwise(pairs))
    return rising and all(a[i] == b[j] for i, j in pairs)


def test_what_is_common_is_as_long_as_can_be(monkeypatch: pytest.MonkeyPatch) -> None:
    draw = random.Random(5)
    for _ in range(1000):
        a, b = ("".join(draw.choices("abc", k=draw.randrange(9))) for _ in range(2))
        pairs = common(a, b)
        assert is_a_pairing(pairs, a, b)
        assert len(pairs) == longest(a, b)
        assert is_a_pairing(aligning._rising(a, b), a, b)
    monkeypatch.setattr(aligning, "MOST", 2)
    assert is_a_pairing(common("abcabc", "cbabacbb"), "abcabc", "cbabacbb")
    assert common("abcabcabc", "xbcybczbc") == [(i, i) for i in (1, 2, 4, 5, 7, 8)]


def test_a_longer_repeat_ends_in_what_is_new() -> None:
    assert common("abab", "ababab") == [(i, i) for i in range(4)]
    assert common("xabab", "ababab") == [(1, 0), (2, 1), (3, 2), (4, 3)]


def test_lax_keys_pair_what_strict_ones_leave() -> None:
    pairs = align("aXbYc", "axbZyc", [lambda c: c, str.lower])
    assert pairs == [(0, 0), (1, 1), (2, 2), (3, 4), (4, 5)]


def test_the_work_of_an_alignment_does_not_grow_with_the_square_of_a_net(monkeypatch: pytest.MonkeyPatch) -> None:
    """Counted in comparisons of keys: a net of one repeated block, a width of which changes everywhere."""
    tried = 0

    class Key(str):
        def __eq__(self, other: object) -> bool:
            nonlocal tried
            tried += 1
            return str.__eq__(self, other)

        __hash__ = str.__hash__

    def work(n: int) -> int:
        nonlocal tried
        tried = 0
        old, new = ([Key(k) for _ in range(n) for k in (f"conv{w}", "bn", "relu", "add")] for w in (8, 16))
        found = align(old, new, [lambda k: k, lambda k: Key(k.rstrip("0123456789"))])
        assert len(found) == 4 * n
        return tried

    monkeypatch.setattr(aligning, "MOST", 50)
    assert work(800) < 3 * work(400)
