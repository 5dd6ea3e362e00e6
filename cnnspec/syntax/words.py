"""The words of the language that are no layers: those that begin a statement, and those of structure."""

from __future__ import annotations

TOP_WORDS = (
    "input", "classes", "defaults", "param", "block", "filter", "expect", "use", "data", "train", "sweep", "cnnspec",
)  # fmt: skip
RESERVED = frozenset({*TOP_WORDS, "for", "in", "if", "else", "and", "or", "not", "repeat"})  # name nothing else
STRUCTURE = ("residual", "repeat", "for", "if", "from")  # stand where layers stand
CLAUSES = ("project",)  # stand behind the } of a residual
