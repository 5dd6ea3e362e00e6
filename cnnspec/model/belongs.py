"""Where a word belongs that stands alone: ``lr 0.1`` is ``optimizer sgd lr=0.1``, ``adam`` is ``optimizer adam``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ..syntax import ast
from .elsewhere import key_elsewhere
from .forms import format_default, keys_of, written
from .settings import SECTIONS, SETTINGS, TrainSettings

SECTION_OF = {statement: section for section, statements in SECTIONS.items() for statement in statements}
Statements = Mapping[str, tuple[ast.Step, ...]]  # those of a spec's sections, by name


@dataclass(frozen=True)
class Belongs:
    """A statement that says what a lone word meant.

    Attributes
    ----------
    section, statement : where it stands, e.g. ``train`` and ``optimizer``.
    key : the key that the word is, "" where it is a choice such as ``adam``.
    text : the whole statement, as it should be written.
    line : the line of the statement whose place it takes, 0 where there is none.
    """

    section: str
    statement: str
    key: str
    text: str
    line: int

    @property
    def about(self) -> str:
        return f"{self.key} is a key of {self.statement}" if self.key else f"a choice of {self.statement}"

    def hint(self, here: str = "") -> str:
        """Return the mend in words; ``here`` is the section where the word stands."""
        where = f"  in place of line {self.line}" if self.line else ""
        if self.section != here:
            where = f"  inside  {self.section} {{ ... }}"
        return f"write  {self.text}{where}"


def belongs(word: str, value: str, said: Statements) -> Belongs | None:
    """Return the statement that a lone word and its value meant, or None where there is none or more than one.

    ``said`` holds the statements of the spec, which keep what they say.
    """
    choices = [s for s, classes in SETTINGS.items() if word in classes]
    if word and len(choices) == 1 and word not in keys_of(SETTINGS[choices[0]][word]):
        return _choice(choices[0], word, value, said)
    key = key_elsewhere(word) or word
    owners = [s for s, classes in SETTINGS.items() if s != key and any(key in keys_of(c) for c in classes.values())]
    owners = [s for s in owners if "" in SETTINGS[s]] or owners  # a key that is always there: val of split
    if len(owners) != 1:
        return None
    return _of_key(owners[0], key, value, said)


def _choice(statement: str, word: str, value: str, said: Statements) -> Belongs:
    text, line = f"{statement} {word} {value}".rstrip(), 0
    if statement in said:
        steps = said[statement]
        line = steps[0].span.line
        others = [" ".join(s.head.text.split()).removeprefix("schedule ") for s in steps]
        if word == "warmup":
            text = " -> ".join([text, *(o for o in others if o.split()[0] != "warmup")])
    return Belongs(SECTION_OF[statement], statement, "", text, line)


def _of_key(statement: str, key: str, value: str, said: Statements) -> Belongs:
    classes = SETTINGS[statement]
    steps = said.get(statement, ())
    word, arguments = "", []
    if len(steps) == 1:
        first = steps[0].arguments[0].value if steps[0].arguments and not steps[0].arguments[0].key else None
        word = first.name if isinstance(first, ast.Name) else ""
        if word in classes and key in keys_of(classes[word]):
            arguments = [" ".join(a.span.text.split()) for a in steps[0].arguments[bool(word) :] if a.key != key]
    if not arguments and (word not in classes or key not in keys_of(classes[word])):
        default = getattr(TrainSettings(), statement, None)
        word = next(w for w, cls in classes.items() if key in keys_of(cls))
        if not steps and default is not None and word == getattr(default, "word", None):
            arguments = [
                f"{a.key}={format_default(getattr(default, f))}"
                for f, a in written(type(default)).items()
                if a.key != key and getattr(default, f) != a.default
            ]
    one_form = word == "" or word in keys_of(classes[word])
    text = " ".join([statement, *([] if one_form else [word]), f"{key}={value or '...'}", *arguments])
    return Belongs(SECTION_OF[statement], statement, key, text, steps[0].span.line if steps else 0)


def statements_of(spec: ast.Spec) -> dict[str, tuple[ast.Step, ...]]:
    """Return the statements of all sections of a spec by name; of several of one name the first."""
    found: dict[str, tuple[ast.Step, ...]] = {}
    for section in spec.statements:
        if isinstance(section, ast.Section) and section.word in SECTIONS and isinstance(section.body, ast.Body):
            for statement in section.body.statements:
                if isinstance(statement, ast.Flow):
                    found.setdefault(statement.steps[0].name, statement.steps)
    return found
