"""``freeze`` and ``unfreeze``: the names that a pattern means, lines that follow on each other, and wrong ones."""

from __future__ import annotations

import math

import pytest

from cnnspec.compiler import Compiler
from cnnspec.errors import SpecError
from cnnspec.model.model import Model

NET = """input 9x9x2
block unit(c) { conv c 3x3 -> bn -> relu }
stem: unit 4
stage1: unit 4 -> unit 4
stage11: conv filters=[sobel_x, 3] freeze=yes -> relu
flatten
head: dense 10
"""


def model(rules: str, **settings: str) -> Model:
    return Compiler.from_text(
        f"{NET}train {{\n{rules}\n}}", {k.replace("__", "."): v for k, v in settings.items()}
    ).model


def frozen(rules: str) -> dict[str, float]:
    """Return the parameters that are frozen whole in the first epoch, and until when."""
    return {name: p.frozen_until for name, p in model(rules).params.items() if p.trainable and p.is_frozen()}


@pytest.mark.parametrize(
    ("pattern", "names"),
    [
        ("head", ["head.weight", "head.bias"]),
        ("head.weight", ["head.weight"]),
        ("*.bias", ["stem.conv.bias", "stem.bn.bias", "stage1.unit1.conv.bias", "stage1.unit1.bn.bias",
                    "stage1.unit2.conv.bias", "stage1.unit2.bn.bias", "stage11.conv.bias", "head.bias"]),
        ("stage1.*", ["stage1.unit1.conv.weight", "stage1.unit1.conv.bias", "stage1.unit1.bn.weight",
                      "stage1.unit1.bn.bias", "stage1.unit2.conv.weight", "stage1.unit2.conv.bias",
                      "stage1.unit2.bn.weight", "stage1.unit2.bn.bias"]),
        ("stage1.unit[2]", ["stage1.unit2.conv.weight", "stage1.unit2.conv.bias", "stage1.unit2.bn.weight",
                            "stage1.unit2.bn.bias"]),
        ("stage??", ["stage11.conv.weight", "stage11.conv.bias"]),
        ("*.bn", ["stem.bn.weight", "stem.bn.bias", "stage1.unit1.bn.weight", "stage1.unit1.bn.bias",
                  "stage1.unit2.bn.weight", "stage1.unit2.bn.bias"]),
    ],
)  # fmt: skip
def test_a_pattern_means_the_names_that_fit_and_all_below_them(pattern: str, names: list[str]) -> None:
    assert list(frozen(f'freeze "{pattern}"')) == names


def test_lines_hold_in_their_order() -> None:
    assert frozen('freeze "stem"\nunfreeze "stem" at=3') == dict.fromkeys(frozen('freeze "stem"'), 3)
    assert frozen('freeze "stem"\nunfreeze "stem" at=3\nfreeze "stem.conv"')["stem.conv.weight"] == math.inf
    assert model('freeze "*.bn"\nunfreeze "stem" at=5\nunfreeze "stage1" at=3').phases == (1, 3, 5)
    assert model("epochs 3").phases == (1,)


def test_filters_made_by_hand_learn_from_the_epoch_that_unfreezes_them() -> None:
    param = model('unfreeze "stage11" at=4').params["stage11.conv.weight"]
    assert [param.frozen_channels(epoch) for epoch in (1, 3, 4)] == [(0,), (0,), ()]
    assert [param.frozen_size(epoch) for epoch in (1, 3, 4)] == [36, 36, 0]
    assert model('freeze "stage11"').params["stage11.conv.weight"].is_frozen(100)


def test_the_summary_counts_what_is_frozen_apart() -> None:
    plain = Compiler.from_text(NET).summary
    summary = Compiler.from_text(f'{NET}train {{ freeze "stem" }}').summary
    row = next(row for row in summary.rows if row.name == "stem.conv")
    assert (summary.params, row.frozen, row.params) == (plain.params, 76, 76)
    assert plain.params - plain.trainable_params == 37  # a filter over four channels, and its bias
    Compiler.from_text(f"{NET}expect trainable_params == {plain.trainable_params}").model  # noqa: B018
    assert summary.trainable_params == plain.trainable_params - 76 - 8


def test_set_changes_what_is_frozen() -> None:
    rules = 'freeze "stem"\nfreeze "stage1"\nunfreeze "stem" at=3'
    assert not model(rules, train__freeze='"stem"').params["stage1.unit1.conv.weight"].is_frozen()
    assert model(rules, train__unfreeze__at="7").phases == (1, 7)


BAD = {
    'freeze "nothing"': (1, "no layer and no parameter is named"),
    'freeze "stm"': (1, "no layer and no parameter is named"),
    'freeze "stage"': (1, "no layer and no parameter is named"),
    'freeze "head1"\nunfreeze "head" at=2': (1, "no layer and no parameter is named"),
    'freeze "*"': (1, "every parameter is frozen"),
    'freeze "stem.relu"': (1, "has no parameters to freeze"),
    'unfreeze "stem" at=3': (1, "nothing of this name is frozen"),
    'freeze "stem"\nunfreeze "stem" at=1': (2, "at least 2"),
    'freeze "stem"\nunfreeze "stem"': (2, "needs its at"),
    "freeze stem": (1, "double quotes"),
    'freeze "stem" at=3': (1, "freeze has no `at`"),
    'freeze "' + 600 * "*a" + '"': (1, "no layer and no parameter is named"),
    "\n".join(60 * ['freeze "stem"']): (51, "at most 50 lines"),
}


@pytest.mark.parametrize("rules", BAD, ids=lambda rules: rules[:40])
def test_what_cannot_be_frozen_is_told_at_its_line(rules: str) -> None:
    with pytest.raises(SpecError) as caught:
        model(rules)
    [error] = caught.value.diagnostics
    line, words = BAD[rules]
    assert words in error.message
    assert error.span.line == NET.count("\n") + 1 + line
    hints = {'freeze "stm"': 'did you mean `freeze "stem"`?', 'freeze "stage"': 'did you mean `freeze "stage*"`?'}
    assert error.hint == hints.get(rules, error.hint)


def test_an_epoch_that_never_comes_is_a_warning() -> None:
    [warning] = model('epochs 5\nfreeze "stem"\nunfreeze "stem" at=6').warnings
    assert "training ends with epoch 5" in warning.message
