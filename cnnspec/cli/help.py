"""``cnnspec help``: every word, setting, key, error and command of the language, and the sections of its manual.

Nothing is written here that stands elsewhere: layers and settings speak through their docstrings, commands through
their help, all else through the pages in docs.
"""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from importlib import import_module

import click

from .. import ops
from ..errors import did_you_mean
from ..model.elsewhere import key_elsewhere, layer_elsewhere, word_elsewhere
from ..model.expects import METRICS
from ..model.forms import written
from ..model.settings import SECTIONS
from ..text import some
from . import render
from .manual import catalogue, default_of, first_sentence, is_one_form, manual, takes
from .pages import plain, sections

assert ops  # importing the package registers the layers

# words of the language that no class documents -> the section of docs/language.md that explains them
WORDS: dict[str, tuple[str, ...]] = {
    "The .cnn language": ("spec", "statement", "->", "#", "{"),
    "Input and layers": ("input", "size", "same", "none", "global", "yes", "no", "defaults", "logits"),
    "Labels, branches, from": ("label", ":", "from", "|", "row", "branch", "residual", "project", "skip"),
    "Blocks and repeats": ("block", "repeat"),
    "Numbers, names, arithmetic": (
        "param", "round8", "round", "floor", "ceil", "min", "max", "in", "in.c", "in.h", "in.w", "here", "here.c",
        "here.h", "here.w", "classes", "number", "k", "M", "G", "%",
    ),
    "Data and training": ("data", "train", "set", "--set"),
    "Expectations": ("expect", *METRICS),
    "Words kept for later": ("cnnspec", "for", "if", "else", "filter", "use", "sweep"),
}  # fmt: skip
KINDS = {  # in the order in which topics of one name are shown
    "layer": "Layers",
    "setting": "Settings of data and train",
    "word": "Words of a spec",
    "key": "Keys",
    "command": "Commands",
    "error": "Errors",
    "manual": "Sections of the manual",
}
LONGEST = 200  # signs of a title; who prints it cuts what does not fit


def page_width() -> int:
    """Return the columns of a page: those of the terminal, but no more than can be read with ease."""
    return min(100, render.width())


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
    for group, words in catalogue().items():
        for word, cls in words.items():
            one = group != "layers" and is_one_form(word, cls)
            kind = "layer" if group == "layers" else "setting"

            def text(group: str = group, word: str = word, cls: type = cls) -> str:
                return manual(group, word, cls, page_width())

            yield Topic(group if one else word, kind, first_sentence(cls, LONGEST), text)
        if group != "layers" and "" not in words and not any(is_one_form(w, c) for w, c in words.items()):
            section = next(name for name, statements in SECTIONS.items() if group in statements)

            def choices(group: str = group, words: dict[str, type] = words) -> str:
                room = page_width() - len(group) - 16
                lines = [f"{group} {w:<14} {first_sentence(c, room)}" for w, c in words.items()]
                return "\n".join([*lines, "", f"The manual of one: cnnspec help {next(iter(words))}"])

            yield Topic(group, "setting", f"a statement of {section}: {', '.join(words)}", choices)


def _of_keys() -> Iterator[Topic]:
    owners: dict[str, list[tuple[str, str, str]]] = {}
    for group, words in catalogue().items():
        for word, cls in words.items():
            head = word if group == "layers" else group if is_one_form(word, cls) else f"{group} {word}"
            for a in written(cls).values():
                if a.key != head:
                    owners.setdefault(a.key, []).append((head, a.doc, f"{takes(a)}; {default_of(a)}"))
    for key, found in owners.items():
        first = found[0]
        title = textwrap.shorten(f"{first[1]}; a key of {', '.join(dict.fromkeys(o[0] for o in found))}", LONGEST,
                                 placeholder=" ...")  # fmt: skip

        def text(key: str = key, found: list[tuple[str, str, str]] = found) -> str:
            lines = []
            for head, doc, taken in found:
                line = f"{head} {key}=...  {doc} ({taken})"
                lines += textwrap.wrap(line, page_width(), subsequent_indent="    ", break_on_hyphens=False)
            return "\n".join([*lines, "", f"The manual: cnnspec help {found[0][0].split()[-1]}"])

        yield Topic(key, "key", title, text)


def _of_words() -> Iterator[Topic]:
    for title, words in WORDS.items():
        for word in words:
            about = METRICS.get(word, f"manual, {title}")

            def text(title: str = title, word: str = word) -> str:
                section = next(s for s in sections() if (s.page, s.title) == ("language", title))
                head = f"{word}: {METRICS[word]}\n\n" if word in METRICS else ""
                return head + _page(section.title, section.text)

            yield Topic(word, "word", about, text)


def _of_commands() -> Iterator[Topic]:
    from .main import COMMANDS

    for name, title in ((name, title) for group in COMMANDS.values() for name, title in group.items()):

        def text(name: str = name) -> str:
            command: click.Command = import_module(f".{name}", __package__).command
            with click.Context(command, info_name=f"cnnspec {name}", max_content_width=page_width()) as context:
                return command.get_help(context)

        yield Topic(name, "command", title, text)


def _of_pages() -> Iterator[Topic]:
    for section in sections():
        first = " ".join(plain(section.text, 1000).split("\n")[0].split())
        is_error = section.page == "errors" and section.title != "Errors"

        def text(title: str = section.title, body: str = section.text) -> str:
            return _page(title, body)

        kind = "error" if is_error else "manual"
        title = textwrap.shorten(first, LONGEST, placeholder=" ...") if is_error else f"docs/{section.page}.md"
        yield Topic(section.title.lower(), kind, title, text)


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
