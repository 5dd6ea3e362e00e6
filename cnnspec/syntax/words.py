"""The words of the language that are no layers: those that begin a statement, and those of later versions."""

from __future__ import annotations

TOP_WORDS = ("input", "classes", "defaults", "param", "block", "filter", "expect", "data", "train", "sweep", "cnnspec")
LATER = {  # each with what to write until then
    "use": "copy the blocks you need into this file",
}
RESERVED = frozenset(
    {*TOP_WORDS, *LATER, "for", "in", "if", "else", "and", "or", "not", "repeat"}
)  # name no label, no block and no parameter
STRUCTURE = ("residual", "repeat", "for", "if", "from")  # stand where layers stand
CLAUSES = ("project",)  # stand behind the } of a residual
