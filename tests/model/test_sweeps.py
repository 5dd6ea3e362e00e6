"""``sweep``: every name and every value is judged; the number of runs is that of all combinations."""

from __future__ import annotations

import pytest

from cnnspec.compiler import Compiler
from cnnspec.errors import SpecError
from cnnspec.model.summary_text import summary_totals

HEAD = """param width = 1.0
param c = 8
input 8x8x1
conv (round8(c*width)) 3x3
flatten -> dense classes
data { source digits }
"""


def sweep(text: str) -> object:
    return Compiler.from_text(f"{HEAD}sweep {{\n{text}\n}}").model.sweep


def errors(text: str) -> list[tuple[int, str]]:
    with pytest.raises(SpecError) as caught:
        sweep(text)
    return [(d.span.line - HEAD.count("\n") - 1, d.message) for d in caught.value.diagnostics]


@pytest.mark.parametrize(
    ("text", "runs", "values"),
    [
        ("width [0.5, 1.0]", 2, {"width": ["0.5", "1.0"]}),
        (
            "lr [0.3, 0.1, 0.03]\nwidth [0.5, 1]",
            6,
            {"train.optimizer.lr": ["0.3", "0.1", "0.03"], "width": ["0.5", "1"]},
        ),
        ("train.optimizer [sgd, adam]", 2, {"train.optimizer": ["sgd", "adam"]}),
        ("epochs [5]\ntrain.batch [32, 64]", 2, {"train.epochs": ["5"], "train.batch": ["32", "64"]}),
        ("data.split.val [10%, 20%]", 2, {"data.split.val": ["10%", "20%"]}),
        ("c [4, (2 * 8), 16 + 8]", 3, {"c": ["4", "(2 * 8)", "16 + 8"]}),
    ],
)
def test_what_is_varied(text: str, runs: int, values: dict[str, list[str]]) -> None:
    found = sweep(text)
    assert found.to_json() == {"runs": runs, "values": values}
    for name, texts in values.items():
        assert f"{name} [{', '.join(texts)}]" in str(found)


@pytest.mark.parametrize(
    ("text", "line", "message"),
    [
        ("wdth [1, 2]", 1, "there is no parameter or setting `wdth`"),
        ("width [1]\nwidth [2]", 2, "`width` is swept twice"),
        ("width [1, 2, 1]", 1, "`1` is tried twice"),
        ("width 2", 1, "the values of `width` are a list"),
        ("width []", 1, "the values of `width` are a list"),
        ("width [1] -> c [2]", 1, "a sweep holds names, each with the list of its values"),
        ("width = [1]", 1, "a sweep holds names, each with the list of its values"),
        ("", 0, "a sweep lists names and their values"),
        ("epochs [1, 0]", 1, "`epochs` must be at least 1"),
        ("train.optimizer [sgd, adma]", 1, "optimizer cannot be `adma`"),
        ("train.optimizer.momentm [0.9]", 1, "optimizer sgd has no `momentm`"),
        ("c [8, 0 - 8]\nwidth [1, none]", 2, "with width=none the spec has a mistake: unknown name `none`"),
        ("c [1G]", 1, "with c=1G the spec has a mistake: `out_channels` of conv must be between 1 and 1,000,000"),
        ("\n".join(f"train.{s} [{', '.join(map(str, range(1, 70)))}]" for s in ("epochs", "batch", "seed")), 0,
         "a sweep of so many runs is hardly meant"),
    ],
)  # fmt: skip
def test_each_name_and_value_is_judged(text: str, line: int, message: str) -> None:
    assert errors(text) == [(line, message)]


def test_a_value_that_breaks_the_net_shows_where() -> None:
    with pytest.raises(SpecError) as caught:
        sweep("c [1G]")
    [found] = caught.value.diagnostics
    assert found.span.text == "1G"
    assert [span.line for span, _ in found.related] == [4]


def test_the_net_is_that_of_the_spec() -> None:
    plain, swept = Compiler.from_text(HEAD), Compiler.from_text(f"{HEAD}sweep {{ width [0.5, 2] }}")
    assert swept.summary.params == plain.summary.params
    assert swept.model.train == plain.model.train
    assert plain.model.sweep is None
    assert summary_totals(swept.summary)[-1] == "Sweep         2 runs: width [0.5, 2]; not run yet"
    assert "sweep" not in plain.summary.to_json()


def test_a_mistake_of_the_net_is_none_of_the_sweep() -> None:
    for wrong in ("relo", "softmax"):  # found in the walk, and in the judgement of the whole
        with pytest.raises(SpecError) as caught:
            Compiler.from_text(f"{HEAD}{wrong}\nsweep {{ width [0.5, 2] }}\n").model  # noqa: B018
        assert [d.span.line for d in caught.value.diagnostics] == [7]


def test_trials_are_bounded_together() -> None:
    """Each of the values alone is a net of the largest size."""
    values = ", ".join(str(9_000 + i) for i in range(40))
    text = f"param n = 1\ninput 8x8x1\nrepeat n {{ relu -> relu }}\nsweep {{ n [{values}] }}"
    assert Compiler.from_text(text).model.sweep.runs == 40
