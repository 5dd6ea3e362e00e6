"""``cnnspec help``: every word, setting, key, error and command of the language, and the sections of its manual.

Nothing is written here that stands elsewhere: layers and settings speak through their docstrings, commands through
their help, all else through the pages in docs.
"""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache, partial
from importlib import import_module
from itertools import chain, groupby

import click

from .. import ops
from ..errors import did_you_mean
from ..ir.fields import Attr
from ..model.elsewhere import key_elsewhere, layer_elsewhere, word_elsewhere
from ..model.expects import METRICS
from ..model.settings import SECTIONS
from ..text import some
from . import render
from .manual import NAMED, Entry, about, catalogue, first_sentence, manual, page_width
from .pages import plain, sections

assert ops  # importing the package registers the layers

# words of the language that no class documents -> the section of docs/language.md that explains them
WORDS: dict[str, tuple[str, ...]] = {
    "The .cnn language": ("spec", "statement", "->", "#", "{"),
    "Input and layers": ("input", "size", "same", "none", "global", "yes", "no", "defaults", "logits"),
    "Labels, branches, from": ("label", ":", "from", "|", "row", "branch", "residual", "project", "skip"),
    "Blocks and repeats": ("block", "repeat"),
    "Loops and conditions": ("for", "if", "else", "and", "or", "not", "condition"),
    "Filters made by hand": ("filter", "filters"),
    "Numbers, names, arithmetic": (
        "param", "round8", "round", "floor", "ceil", "min", "max", "in", "in.c", "in.h", "in.w", "here", "here.c",
        "here.h", "here.w", "classes", "number", "k", "M", "G", "%",
    ),
    "Data and training": ("data", "train", "set", "--set"),
    "Sweeps": ("sweep",),
    "Expectations": ("expect", *METRICS),
    "One form": ("#:", "canonical form"),
    "Files that are used": ("use",),
    "Reserved words": ("cnnspec",),
}  # fmt: skip
KINDS = {  # in the order in which topics of one name are shown
    "layer": "Layers",
    "filter": "Built-in filters",
    "setting": "Settings of data and train",
    "word": "Words of a spec",
    "key": "Keys",
    "command": "Commands",
    "error": "Errors",
    "rule": "Rules of lint",
    "manual": "Sections of the manual",
}
LONGEST = 200  # signs of a title; who prints it cuts what does not fit


@dataclass(frozen=True)
class Topic:
    """Something that can be asked for: ``name`` is what one types, ``title`` one line about it."""

    name: str
    kind: str
    title: str
    text: Callable[[], str]


@cache
def topics() -> tuple[Topic, ...]:
    """Return all topics, kind by kind."""
    order = list(KINDS)
    found = [*_of_classes(), *_of_keys(), *_of_words(), *_of_commands(), *_of_pages()]
    return tuple(sorted(found, key=lambda topic: order.index(topic.kind)))


def _of_classes() -> Iterator[Topic]:
    for group, words in groupby(catalogue(), lambda e: e.group):
        entries = list(words)
        for e in entries:
            kind = {"layers": "layer", "filters": "filter"}.get(group, "setting")
            yield Topic(group if e.is_one_form else e.word, kind, first_sentence(e.cls, LONGEST), partial(manual, e))
        if group not in NAMED and not any(e.is_one_form for e in entries):
            section = next(name for name, statements in SECTIONS.items() if group in statements)
            title = f"a statement of {section}: {', '.join(e.word for e in entries)}"
            yield Topic(group, "setting", title, partial(_choices, entries))


def _choices(entries: list[Entry]) -> str:
    room = page_width() - len(entries[0].group) - 16
    lines = [f"{e.group} {e.word:<14} {first_sentence(e.cls, room)}" for e in entries]
    return "\n".join([*lines, "", f"The manual of one: cnnspec help {entries[0].word}"])


def _of_keys() -> Iterator[Topic]:
    owners: dict[str, list[tuple[Entry, Attr]]] = {}
    for e in catalogue():
        for a in e.fields:
            if a.key != e.head:
                owners.setdefault(a.key, []).append((e, a))
    for key, found in owners.items():
        title = f"{found[0][1].doc}; a key of {', '.join(dict.fromkeys(e.head for e, _ in found))}"
        yield Topic(key, "key", textwrap.shorten(title, LONGEST, placeholder=" ..."), partial(_key, found))


def _key(found: list[tuple[Entry, Attr]]) -> str:
    lines: list[str] = []
    for e, a in found:
        line = f"{e.head} {a.key}=...  {about(a)}"
        lines += textwrap.wrap(line, page_width(), subsequent_indent="    ", break_on_hyphens=False)
    return "\n".join([*lines, "", f"The manual: cnnspec help {found[0][0].head.split()[-1]}"])


def _of_words() -> Iterator[Topic]:
    for title, words in WORDS.items():
        for word in words:
            yield Topic(word, "word", METRICS.get(word, f"manual, {title}"), partial(_word, word, title))


def _word(word: str, title: str) -> str:
    text = next(s.text for s in sections() if (s.page, s.title) == ("language", title))
    return (f"{word}: {METRICS[word]}\n\n" if word in METRICS else "") + _page(title, text)


def _of_commands() -> Iterator[Topic]:
    from .main import COMMANDS

    for name, title in chain(*(section.items() for section in COMMANDS.values())):
        yield Topic(name, "command", title, partial(_command, name))


def _command(name: str) -> str:
    command: click.Command = import_module(f".{name}", __package__).command
    with click.Context(command, info_name=f"cnnspec {name}", max_content_width=page_width()) as context:
        return command.get_help(context)


def _of_pages() -> Iterator[Topic]:
    for s in sections():
        text = partial(_page, s.title, s.text)
        kind = {"errors": "error", "lint": "rule"}.get(s.page, "manual")
        if kind != "manual" and s.title.islower():  # its page's own title is not
            first = plain(s.text, 1000).split("\n")[0]
            yield Topic(s.title.lower(), kind, textwrap.shorten(first, LONGEST, placeholder=" ..."), text)
        else:
            yield Topic(s.title.lower(), "manual", f"docs/{s.page}.md", text)


def _page(title: str, body: str) -> str:
    return f"{title}\n{'=' * len(title)}\n\n{plain(body, page_width())}"


# ---- asking -------------------------------------------------------------------------------------
def exactly(query: str) -> list[Topic]:
    """Return the topics of this name; what it is called in other libraries counts where it is no name of ours."""
    found = [t for t in topics() if t.name == query] or [t for t in topics() if t.name.lower() == query.lower()]
    if found:
        pages = {t.text() for t in found if t.kind == "word"}
        return [t for t in found if t.kind != "manual" or t.text() not in pages]
    ours = translated(query)
    return [t for t in topics() if ours is not None and t.name == ours.split()[0]]


def translated(query: str) -> str | None:
    """Return the name that a word of another library has here: ``dense`` for ``Linear``."""
    ours = layer_elsewhere(query) or word_elsewhere(query.replace(" ", "")) or key_elsewhere(query)
    return None if ours == query else ours


def search(query: str) -> list[Topic]:
    """Return the topics that hold all words of a query: in name or title first, then in their text."""
    words = query.lower().split()
    ranked = []
    for i, topic in enumerate(topics()):
        line = f"{topic.name} {topic.title}".lower()
        if all(word in line for word in words):
            ranked.append((0 if topic.title.lower().startswith(query.lower()) else 1, i, topic))
        elif topic.kind not in ("word", "command") and all(word in topic.text().lower() for word in words):
            ranked.append((2, i, topic))  # a word's text is that of a section, which is found itself
    return [topic for _, _, topic in sorted(ranked, key=lambda found: found[:2])]


def answer(query: str) -> str | None:
    """Return all that is known under a name, or None."""
    found = exactly(query)
    if not found:
        return None
    ours = translated(query) if all(t.name.lower() != query.lower() for t in found) else None
    parts = [f"{query} is called {ours} here."] if ours else []
    return "\n\n".join([*parts, *(t.text().strip("\n") for t in found)])


@click.command(name="help", context_settings={"ignore_unknown_options": True})
@click.argument("topic", nargs=-1)
def command(topic: tuple[str, ...]) -> int:
    """Explain TOPIC: a layer, a setting, a key, a word of a spec, an error, a command or a section of the manual.

    What is no name is searched for. Without a TOPIC, list all.

    \b
      cnnspec help residual
      cnnspec help lr
      cnnspec help learning rate
    """
    query = " ".join(" ".join(topic).split())
    if not query:
        print_list()
        return 0
    known = answer(query)
    hits = search(query)[:200]
    if known is not None:
        render.show(known)
        exact = exactly(query)
        also = [t for t in hits if t not in exact and query.lower() in f"{t.name} {t.title}".lower()]
        if also:
            render.show("\nSee also")
            print_topics(also[:8])
        return 0
    if not hits:
        near = did_you_mean(query, [t.name for t in topics()])
        raise click.UsageError(
            f"no topic has this name or holds this word: {query!r}; "
            + (f"did you mean {near!r}?" if near else "cnnspec help  lists the topics")
        )
    render.show(f"Nothing has this name; it is spoken of in {some(len(hits), 'topic')}:")
    print_topics(hits[:20])
    render.show("\nRead one: cnnspec help " + hits[0].name)
    return 0


def print_topics(found: list[Topic]) -> None:
    """Print a line for each topic: what to type, and what it is about."""
    width = max(len(t.name) for t in found)
    room = max(20, render.width() - width - 4)
    for t in found:
        title = textwrap.shorten(t.title, room, placeholder=" ...")
        render.show(f"  {t.name:<{width}}  {title}")


def print_list() -> None:
    """Print the names of all topics, kind by kind."""
    room = page_width() - 2
    for kind, title in KINDS.items():
        names = list(dict.fromkeys(t.name for t in topics() if t.kind == kind))
        if not names:
            continue
        render.show(f"{title}")
        separator = "; " if kind == "manual" else ", "
        for line in textwrap.wrap(separator.join(names), room, break_on_hyphens=False, break_long_words=False):
            render.show(f"  {line}")
        render.show("")
    render.say("The manual of one: cnnspec help residual. A search: cnnspec help learning rate.", hang=0)
