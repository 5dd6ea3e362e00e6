"""Finds grammar/cnn.lark and turns it into a parser, on first use.

Building the LALR(1) table takes longer than all else that ``summary`` does, so the finished table is kept in
the user's cache folder as JSON, under a name made from the grammar's text and Lark's version. The file holds
numbers and patterns, nothing that runs, under a seal (sealed.py); one that is damaged is built anew, one that
cannot be written is done without.
"""

from __future__ import annotations

import functools
import hashlib
import json
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import lark
from lark.grammar import Rule
from lark.lexer import TerminalDef, Token

from ..drafts import remove_left_behind
from ..places import cache_root
from ..sealed import read_sealed, write_sealed

OPENING = {"LPAR", "LSQB"}
CLOSING = {"RPAR", "RSQB"}


def grammar_path() -> Path:
    """Return the grammar: inside the package (as the wheel has it), else beside it (in a checkout)."""
    package = Path(__file__).resolve().parent.parent
    inside = package / "grammar" / "cnn.lark"
    return inside if inside.is_file() else package.parent / "grammar" / "cnn.lark"


class DropNewlines:
    """Drops the newlines inside ( ) and [ ], where a line break means nothing."""

    always_accept = ("_NL",)

    def process(self, tokens: Iterable[Token]) -> Iterator[Token]:
        depth = 0
        for token in tokens:
            if token.type in OPENING:
                depth += 1
            elif token.type in CLOSING:
                depth -= 1
            elif token.type == "_NL" and depth > 0:
                continue
            yield token


@functools.cache
def build_parser() -> lark.Lark:
    """Return the parser of specs, from the cached table where there is one."""
    text = grammar_path().read_text(encoding="utf-8")
    version = f"{lark.__version__} {sys.version_info[:2]}"
    digest = hashlib.sha256(f"{version}\n{text}".encode()).hexdigest()[:16]
    try:
        stored = read_sealed(_table(digest))
        if stored is not None:
            return _load(stored.decode())
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RuntimeError):
        pass
    parser = lark.Lark(
        text, parser="lalr", lexer="contextual", start="spec", maybe_placeholders=True, postlex=DropNewlines()
    )
    _save(parser, digest)
    return parser


def _table(digest: str) -> Path:
    return cache_root() / f"grammar-{digest}.table"


def _save(parser: lark.Lark, digest: str) -> None:
    data, memo = parser.memo_serialize([TerminalDef, Rule])
    data["options"]["postlex"] = None
    try:
        folder = cache_root()
        folder.mkdir(parents=True, exist_ok=True)
        remove_left_behind(folder)
        write_sealed(_table(digest), json.dumps({"data": data, "memo": memo}).encode())
    except (OSError, RuntimeError, TypeError):
        pass  # a read-only home costs a fraction of a second, no more


def _load(text: str) -> lark.Lark:
    """Return a parser from a table that ``_save`` wrote (JSON turns the numbers of states into text)."""
    stored = json.loads(text)
    table = stored["data"]["parser"]["parser"]
    table["tokens"] = _with_int_keys(table["tokens"])
    table["states"] = {int(k): _with_int_keys(v) for k, v in table["states"].items()}
    load: Callable[..., lark.Lark] = lark.Lark._load_from_dict
    return load(stored["data"], _with_int_keys(stored["memo"]), postlex=DropNewlines())


def _with_int_keys(table: dict[str, Any]) -> dict[int, Any]:
    return {int(k): v for k, v in table.items()}
