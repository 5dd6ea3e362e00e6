"""Finds grammar/cnn.lark and turns it into a parser, on first use.

Building the LALR(1) table takes longer than all else that ``summary`` does, so the finished table is kept in
the user's cache folder as JSON, under a name made from the grammar's text and Lark's version. A wheel with machine
code has it beside the grammar, for the version of Lark that built it. The file holds numbers and patterns, nothing
that runs, under a seal (sealed.py); one that is damaged is built anew, one that cannot be written is done without.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import json
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import lark
from lark.grammar import Rule
from lark.lexer import TerminalDef, Token

from ..drafts import remove_left_behind
from ..places import cache_root, carried
from ..sealed import read_sealed, write_sealed

OPENING = {"LPAR", "LSQB"}
CLOSING = {"RPAR", "RSQB"}


def grammar_path() -> Path:
    """Return the grammar: inside the package (as the wheel has it), else beside it (in a checkout)."""
    return carried("grammar", "grammar") / "cnn.lark"


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
    """Return the parser of specs, from a finished table where there is one."""
    beside = grammar_path().parent
    for folder, installed in ((beside, True), (cache_root(), False)):
        stored = read_sealed(_table(folder), installed=installed)
        if stored is not None:
            with contextlib.suppress(ValueError, KeyError, TypeError, AttributeError, RuntimeError):
                return _load(stored.decode())
    parser = _build()
    try:
        folder = cache_root()
        folder.mkdir(parents=True, exist_ok=True)
        remove_left_behind(folder)
        write_table(folder, parser)
    except (OSError, RuntimeError, TypeError):
        pass  # a read-only home costs a fraction of a second, no more
    return parser


def _build() -> lark.Lark:
    text = grammar_path().read_text(encoding="utf-8")
    return lark.Lark(
        text, parser="lalr", lexer="contextual", start="spec", maybe_placeholders=True, postlex=DropNewlines()
    )


def _table(folder: Path) -> Path:
    text = grammar_path().read_text(encoding="utf-8")
    digest = hashlib.sha256(f"{lark.__version__}\n{text}".encode()).hexdigest()[:16]
    return folder / f"grammar-{digest}.table"


def write_table(folder: Path, parser: lark.Lark | None = None) -> None:
    """Write the table of a parser, or of a new one, into a folder. Raise OSError where that fails."""
    parser = parser or _build()
    data, memo = parser.memo_serialize([TerminalDef, Rule])
    data["options"]["postlex"] = None
    write_sealed(_table(folder), json.dumps({"data": data, "memo": memo}).encode())


def _load(text: str) -> lark.Lark:
    """Return a parser from a table that :func:`write_table` wrote (JSON turns the numbers of states into text)."""
    stored = json.loads(text)
    table = stored["data"]["parser"]["parser"]
    table["tokens"] = _with_int_keys(table["tokens"])
    table["states"] = {int(k): _with_int_keys(v) for k, v in table["states"].items()}
    load: Callable[..., lark.Lark] = lark.Lark._load_from_dict
    return load(stored["data"], _with_int_keys(stored["memo"]), postlex=DropNewlines())


def _with_int_keys(table: dict[str, Any]) -> dict[int, Any]:
    return {int(k): v for k, v in table.items()}
