"""``cnnspec help``: every word of the language has a topic, and it says what the manual says."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cnnspec.cli import help as helping
from cnnspec.cli.main import COMMANDS
from cnnspec.cli.pages import NAMES, pages_folder, plain, sections
from cnnspec.ir.fields import attrs_of
from cnnspec.model.expects import METRICS
from cnnspec.model.linting import rules
from cnnspec.model.settings import SECTIONS, SETTINGS
from cnnspec.model.values import FUNCTIONS
from cnnspec.ops import LAYERS
from cnnspec.syntax.grammar import grammar_path
from cnnspec.syntax.words import RESERVED, TOP_WORDS

Run = Callable[..., Any]
ROOT = Path(__file__).resolve().parent.parent.parent
CLASSES = [*LAYERS.values(), *(cls for words in SETTINGS.values() for cls in words.values())]


def words_of_the_language() -> list[str]:
    keywords = re.findall(r'^[A-Z]+: "([a-z]+)"$', grammar_path().read_text(encoding="utf-8"), re.MULTILINE)
    settings = [word for words in SETTINGS.values() for word in words if word]
    keys = [a.key for cls in CLASSES for a in attrs_of(cls).values() if a.kind != "hidden"]
    choices = ["same", "none", "global", "yes", "no"]
    structure = ["residual", "repeat", "from", "project", "label"]
    assert len(keywords) >= 9
    return sorted({*keywords, *TOP_WORDS, *RESERVED, *LAYERS, *SETTINGS, *settings, *SECTIONS, *keys,
                   *choices, *structure, *METRICS, *FUNCTIONS})  # fmt: skip


def test_every_word_has_a_topic() -> None:
    names = {topic.name for topic in helping.topics()}
    assert set(words_of_the_language()) <= names
    assert {name for group in COMMANDS.values() for name in group} <= names
    codes = re.findall(r"^## `([a-z-]+)`$", (ROOT / "docs" / "errors.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert set(codes) <= names
    assert {rule.name for rule in rules()} == {topic.name for topic in helping.topics() if topic.kind == "rule"}
    assert len(codes) > 20


@pytest.mark.parametrize("topic", helping.topics(), ids=lambda t: f"{t.kind}-{t.name}")
def test_each_topic_has_a_text_that_fits(topic: helping.Topic) -> None:
    text = topic.text()
    assert len(text) > 20
    assert topic.title
    own = [line for line in text.splitlines() if not line.startswith("    ")]  # code stays as it is
    assert max(map(len, own)) <= 84


@pytest.mark.parametrize(("title", "words"), helping.WORDS.items())
def test_words_are_spoken_of_where_they_lead(title: str, words: tuple[str, ...]) -> None:
    [section] = [s for s in sections() if (s.page, s.title) == ("language", title)]
    for word in words:
        assert word in section.text, f"{title} does not speak of {word}"


def test_the_text_is_that_of_the_manual(cli: Run) -> None:
    assert pages_folder() == ROOT / "docs"
    page = (ROOT / "docs" / "language.md").read_text(encoding="utf-8")
    out = cli("help", "residual").out
    body = page.partition("## Labels, branches, `from`\n")[2].partition("\n## ")[0]
    flat = " ".join(re.sub(r"^```\w*$", "", body, flags=re.MULTILINE).split())
    assert flat in " ".join(out.split())
    assert {s.page for s in sections()} == set(NAMES)


@pytest.mark.parametrize(
    ("query", "first"),
    [
        ("linear", "linear is called dense here."),
        ("Linear", "Linear is called dense here."),
        ("fc", "fc is called dense here."),
        ("batchnorm", "batchnorm is called bn here."),
        ("BatchNorm2d", "BatchNorm2d is called bn here."),
        ("Conv2d", "Conv2d is called conv here."),
        ("maxpooling2d", "maxpooling2d is called maxpool here."),
        ("GlobalAveragePooling2D", "GlobalAveragePooling2D is called avgpool global here."),
        ("CrossEntropyLoss", "CrossEntropyLoss is called cross_entropy here."),
        ("learning_rate", "learning_rate is called lr here."),
        ("batch_size", "batch_size is called batch here."),
        ("lr", "optimizer sgd lr=...  learning rate"),
        ("conv", "conv OUT_CHANNELS SIZE"),
        ("residual", "Labels, branches, from"),
    ],
)
@pytest.mark.parametrize("command", ["help", "layers"])
def test_names_and_aliases_lead_to_ours(cli: Run, command: str, query: str, first: str) -> None:
    result = cli(command, query)
    assert (result.code, result.err) == (0, "")
    assert result.out.startswith(first)


@pytest.mark.parametrize("query", [("rate",), ("learning", "rate"), ("learning rate",)])
def test_a_search_finds_the_learning_rate(cli: Run, query: tuple[str, ...]) -> None:
    result = cli("help", *query)
    assert result.code == 0
    assert re.search(r"^  lr  +learning rate; a key of optimizer sgd", result.out, re.MULTILINE)
    assert max(map(len, result.out.splitlines())) <= 80


def test_the_list_names_every_topic_in_80_columns(cli: Run) -> None:
    out = cli("help").out
    flat = " ".join(out.split())
    assert all(topic.name in flat for topic in helping.topics())
    assert max(map(len, out.splitlines())) <= 80


def test_two_words_of_other_libraries_lead_to_ours(cli: Run) -> None:
    assert cli("help", "early", "stopping").out.startswith("early stopping is called stop here.")


def test_what_nobody_knows(cli: Run) -> None:
    result = cli("help", "residaul")
    assert result.code == 2
    assert "did you mean 'residual'?" in result.err
    assert cli("help", "qqqqqq").code == 2
    assert cli("help", "--set").code == 0


def test_markdown_becomes_plain() -> None:
    text = "One `a` and\n[two](x.md#y).\n\n- first item that\n  goes on\n- second\n\n"
    text += "| h | i |\n| --- | --- |\n| a | b |\n\n"
    assert plain(text + "```sh\ncode  here\n```\n", 40) == (
        "One `a` and two.\n\n- first item that goes on\n- second\n\n  h  i\n  a  b\n\n    code  here"
    )
