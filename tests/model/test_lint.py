"""The rules of lint: each finds what its entry in the manual shows, and leaves sound nets alone."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from cnnspec.compiler import Compiler
from cnnspec.model.lint.rule import RULES
from cnnspec.model.linting import Linted, lint, rules
from cnnspec.source import Source

ROOT = Path(__file__).resolve().parent.parent.parent
PAGE = ROOT / "docs" / "lint.md"
ENTRY = re.compile(r"^## `([a-z-]+)`$(.*?)(?=^## |\Z)", re.M | re.S)
SPEC = re.compile(r"```cnn\n(.*?)```", re.S)
REPORT = re.compile(r"```text\n(.*?)```", re.S)
ENTRIES = dict(ENTRY.findall(PAGE.read_text(encoding="utf-8")))
SOUND = sorted([*(ROOT / "specs").rglob("*.cnn"), *(ROOT / "cnnspec" / "cli" / "templates").glob("*.cnn")])


def linted(text: str, **settings: str) -> Linted:
    compiler = Compiler(Source("model.cnn", text), settings)
    return lint(compiler.ast, compiler.unjudged)


def told(text: str) -> list[tuple[str, int]]:
    """Return rule and line of each finding."""
    return [(d.code, d.span.line) for d in linted(text).findings]


def spec_of(name: str) -> str:
    found = SPEC.search(ENTRIES[name])
    assert found is not None
    return found[1]


# ---- the manual ---------------------------------------------------------------------------------
def test_the_manual_has_every_rule_in_order() -> None:
    assert [*ENTRIES] == sorted(RULES) == [rule.name for rule in rules()]


@pytest.mark.parametrize("name", ENTRIES)
def test_the_manual_shows_real_reports(name: str, update_golden: bool) -> None:
    real = "\n".join(d.render() for d in linted(spec_of(name)).findings) + "\n"
    shown = REPORT.search(ENTRIES[name])
    assert shown is not None
    if update_golden:
        page = PAGE.read_text(encoding="utf-8")
        entry = next(e for e in ENTRY.finditer(page) if e[1] == name)
        PAGE.write_text(
            page[: entry.start()] + REPORT.sub(lambda _: f"```text\n{real}```", entry[0]) + page[entry.end() :]
        )
    else:
        assert shown[1] == real


@pytest.mark.parametrize("name", ENTRIES)
def test_each_entry_shows_its_rule_alone_which_a_comment_turns_off(name: str) -> None:
    text = spec_of(name)
    [finding] = linted(text).findings
    assert (finding.code, finding.severity) == (name, "warning")
    assert finding.hint
    lines = text.split("\n")
    at = finding.span.line - 1
    if name == "unknown-rule":
        assert told(text.replace("bias-befor-bn", "bias-before-bn")) == []
        return
    for comment in (f"# lint: off {name}", "# lint: off", f"# lint: off heavy-dense, {name}: it is meant so"):
        beside = [*lines[:at], f"{lines[at]}  {comment}", *lines[at + 1 :]]
        above = [*lines[:at], comment, "# and why", "", *lines[at:]]
        for changed in (beside, above):
            assert linted("\n".join(changed)) == Linted((), 1)
    other = next(rule for rule in RULES if rule != name)
    assert told("\n".join([*lines[:at], f"{lines[at]}  # lint: off {other}", *lines[at + 1 :]])) == [(name, at + 1)]
    assert told("\n".join([*lines, f"# lint: off {name}"])) == [(name, at + 1)]  # behind all code


def test_the_example_of_the_comments_is_quiet() -> None:
    page = PAGE.read_text(encoding="utf-8")
    example = SPEC.search(page)
    assert example is not None
    assert linted(example[1]) == Linted((), 1)
    assert told(example[1].replace("# lint", "# link")) == [("heavy-dense", 4)]


# ---- what is sound ------------------------------------------------------------------------------
@pytest.mark.parametrize("path", SOUND, ids=lambda path: path.stem)
def test_specs_and_templates_are_quiet_or_say_why_not(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert linted(text).findings == ()
    for line in text.splitlines():
        assert re.search(r"lint: off [a-z-]+(, [a-z-]+)*: \w", line) or "lint:" not in line


NET = "input 64x64x3\n{}\n"
QUIET = {
    "a bias that another layer reads too": "a: conv 8 3x3\nconcat { | bn | from a -> relu }",
    "a bias before an activation": "conv 8 3x3 -> relu -> bn",
    "dropout behind bn": "conv 8 3x3 bias=no -> bn -> relu -> dropout 0.5",
    "dropout of nothing": "dropout 0 -> bn",
    "a stride as large as its window": "conv 8 2x2 stride=2 pad=none",
    "a shortcut that skips what the body reads": "residual { conv 8 3x3 stride=2 } project { conv 8 1x1 stride=2 }",
    "one window over all": "conv 8 64x64 stride=99 pad=none",
    "a residual whose path sees little": "repeat 40 { residual { conv 3 3x3 } }",
    "global pooling inside": "conv 8 3x3 -> multiply { | identity | avgpool global -> conv 8 1x1 -> sigmoid }",
    "a wide field before global pooling": "conv 8 5x5 stride=4 -> conv 8 5x5 -> avgpool global -> flatten -> dense 10",
    "two ends that are joined": "conv 8 3x3 -> concat { | avgpool global | conv 8 64x64 pad=none } -> flatten",
    "a perceptron": "flatten -> dense 512 -> relu -> dense 10",
    "a light dense layer": "conv 8 3x3 -> maxpool 8 -> flatten -> dense 100",
    "labels that only name": "stage1: conv 8 3x3\nstage2: conv 8 3x3\nstage3: conv 8 3x3",
    "the last of a row": "e1: conv 4 3x3\ne2: conv 4 3x3\ne3: conv 4 3x3\nadd { | identity | from e1 | from e2 }",
    "a label that a block is given": (
        "block u(x) { add { | identity | from x } }\n"
        "e1: conv 3 3x3\ne2: conv 3 3x3\ne3: conv 3 3x3\ne4: conv 3 3x3\nu e1\nu e2\nu e3"
    ),
    "a switch": "conv 3 3x3\nparam deep = 0\nif deep > 0 { conv 8 3x3 }\nrepeat deep { relu }",
    "a block's round that one call makes": "block s(n) { conv 3 3x3 stride=2\n repeat n - 1 { relu } }\ns 1 -> s 2",
    "a block within a block": "block a(c) { conv c 3x3 }\nblock b(c) { a c }\nb 4",
    "a parameter of another's default": "block a(c, d=c) { conv d 3x3 }\na 4",
    "a filter that a list names": "filter v { 1 0 -1 }\nconv filters=[v, 3]",
    "a word in quotes": 'conv 3 3x3\ndata { source npz "# lint: off nothing.npz"\n normalize mean=[0] std=[1] }',
    "another comment": "conv 3 3x3  # lint is what rabbits like: off it goes",
}  # fmt: skip


@pytest.mark.parametrize("lines", QUIET.values(), ids=QUIET)
def test_what_is_sound_is_left_alone(lines: str) -> None:
    assert told(NET.format(lines)) == []


TOLD = {
    "dense": ("conv 3 3x3 -> maxpool 16 -> flatten -> dense 8 -> bn", ["bias-before-bn"]),
    "dropout through a branch": (
        "dropout 0.5 -> concat { | conv 3 3x3 | identity }\nbn -> relu", ["dropout-before-bn"]),
    "a pool": ("maxpool 2 stride=3", ["skipped-pixels"]),
    "both readers": ("add { | conv 3 1x1 stride=2 | maxpool 1 stride=2 }", ["skipped-pixels"] * 2),
    "a loop without a round": ("block s(n) { conv 3 3x3 -> repeat n - 1 { relu } }\ns 1", ["dead-branch"]),
    "a condition that no call meets": (
        "block s(n) { if n > 1 { conv 3 3x3 } else { relu } }\ns 1 -> s 0", ["dead-branch"]),
    "an else that no call meets": ("block s(n) { if n > 1 { conv 3 3x3 } else { relu } }\ns 2", ["dead-branch"]),
    "the outer of two": ("block s(n) { conv 3 3x3\n if n > 1 { repeat 0 { relu } } }\ns 1", ["dead-branch"]),
    "a skip that never is": ("residual skip=if_same { conv 8 3x3 }", ["dead-branch"]),
    "a param": ("param width = 3\nconv 3 3x3", ["unused-name"]),
    "a filter": ("filter v { 1 0 -1 }\nconv 3 3x3", ["unused-name"]),
    "a block of an unused block": (
        "block a(c) { conv c 3x3 }\nblock b(c) { a c }\nconv 3 3x3", ["unused-block"] * 2),
    "a wrong name beside a right one": (
        "conv 3 3x3 -> bn  # lint: off bias-before-bn nonsense", ["unknown-rule"]),
}  # fmt: skip


@pytest.mark.parametrize(("lines", "expected"), TOLD.values(), ids=TOLD)
def test_what_is_told(lines: str, expected: list[str]) -> None:
    assert [code for code, _ in told(NET.format(lines))] == expected


@pytest.mark.parametrize(
    ("optimizer", "batch", "far"),
    [
        ("sgd lr=0.1 momentum=0.9", 128, ""), ("sgd lr=0.1 momentum=0.9", 8, "large"), ("sgd lr=4", 128, ""),
        ("sgd lr=4", 16, "large"), ("sgd lr=1e-6", 64, "small"), ("sgd lr=0", 64, ""), ("adam lr=0.001", 1, ""),
        ("adam lr=0.1", 512, "large"), ("adamw lr=1e-8", 64, "small"), ("adamw lr=0.01", 64, ""),
    ],
)  # fmt: skip
def test_rates_in_proportion(optimizer: str, batch: int, far: str) -> None:
    text = f"input 8x8x1\nflatten -> dense 10\ntrain {{\n optimizer {optimizer}\n batch {batch}\n}}\n"
    found = linted(text).findings
    assert [d.code for d in found] == ["learning-rate"] * bool(far)
    assert all(far in d.message and d.span.text == f"optimizer {optimizer}" for d in found)


def test_a_line_of_many_layers_is_told_once() -> None:
    [found] = linted(NET.format("block u(c) { conv c 3x3 -> bn }\nrepeat 3 { u 8 }\nu 4")).findings
    assert found.notes == ("so in 4 layers that this line makes",)
    assert found.trail == ()
    [one] = linted(NET.format("block u(c) { conv c 3x3 -> bn }\nu 4")).findings
    assert (one.notes, len(one.trail)) == ((), 1)


def test_findings_stand_in_the_order_of_the_text() -> None:
    text = NET.format("block u() { relu }\nconv 3 3x3 -> bn\nparam a = 1\nmaxpool 2 stride=3")
    assert told(text) == [("unused-block", 2), ("bias-before-bn", 3), ("unused-name", 4), ("skipped-pixels", 5)]


def test_a_used_file_is_told_of_what_the_net_does_with_it_and_silenced_in_itself(tmp_path: Path) -> None:
    library = "param left = 1\nblock spare(c, d=2) { relu }\nblock unit(c) { conv c 3x3 -> bn\n if c > 9 { relu } }\n"
    main = tmp_path / "main.cnn"
    main.write_text('# a comment that is longer than all of it, so that places differ\n' * 9 + 'use "blocks.cnn"\n'
                    "input 8x8x1\nblock mine(c) { if c > 1 { relu } else { unit c } }\nmine 1\n")  # fmt: skip
    for comment, expected in (
        ("", [("dead-branch", "main.cnn"), ("bias-before-bn", "blocks.cnn")]),
        ("  # lint: off", [("dead-branch", "main.cnn")]),
    ):
        (tmp_path / "blocks.cnn").write_text(library.replace("bn\n", f"bn{comment}\n"))
        compiler = Compiler.from_path(main)
        found = lint(compiler.ast, compiler.unjudged).findings
        assert [(d.code, Path(d.span.source.name).name) for d in found] == expected


def test_what_check_warns_of_is_not_told_again() -> None:
    text = 'input 8x8x3\nclasses 3\nflatten -> dense classes -> relu\ndata { source npz "a.npz" }\n'
    assert [w.code for w in Compiler.from_text(text).model.warnings] == ["softmax"]
    assert told(text.replace("source", "normalize mean=[0.5] std=[0.5]\n source")) == []
    assert not {w for w in RULES} & {"softmax", "range", "unused", "shape"}


def test_settings_from_outside_are_judged_without_a_place_of_their_own() -> None:
    text = "input 8x8x1\nflatten -> dense classes\ndata { source digits }\ntrain { epochs 1 }\n"
    [found] = linted(text, **{"train.optimizer.lr": "9"}).findings
    assert (found.code, found.span.line) == ("learning-rate", 4)
