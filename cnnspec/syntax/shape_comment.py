"""Verified shape comments: ``#: 10x10x16 | 2,416 params | sees 14x14  # and the author's own words``."""

from __future__ import annotations

import re

MARK = "#:"
KINDS = {  # the facts that can be verified, as they are written
    "shape": re.compile(r"\d+(x\d+)*"),
    "params": re.compile(r"[\d,]+ params?"),
    "sees": re.compile(r"sees (\d+x\d+|all)"),
}


def facts_of(comment: str) -> tuple[dict[str, str], str] | None:
    """Return the facts of a shape comment by kind, and what follows them; None where it is none."""
    if not comment.startswith(MARK):
        return None
    said, hash_sign, rest = comment.removeprefix(MARK).partition("#")
    facts: dict[str, str] = {}
    for part in said.split("|"):
        words = " ".join(part.split())
        kind = next((kind for kind, pattern in KINDS.items() if pattern.fullmatch(words)), None)
        if kind is None or kind in facts:
            return None
        facts[kind] = words
    return facts, hash_sign + rest


def without_facts(comment: str) -> str:
    """Return a comment without its facts; what begins as a shape comment and is none becomes an ordinary one."""
    found = facts_of(comment)
    if found is not None:
        return found[1]
    return f"# {comment.removeprefix(MARK).lstrip()}" if comment.startswith(MARK) else comment
