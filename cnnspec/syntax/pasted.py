"""A whole file of another kind, pasted in: one message says what it is and shows its first layer in our words.

Darknet's ``.cfg``, and code of Keras and PyTorch. A spec with one line of theirs in it is told of that line (calls.py).
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from ..errors import Diagnostic
from ..source import Source, Span
from .foreign import RULES, translate

_OURS = re.compile(r"^[ \t]*input[ \t]+\d", re.MULTILINE)  # then it is a spec
_SECTION = re.compile(r"^[ \t]*\[(\w+)\][ \t]*(?:[#;].*)?$", re.MULTILINE)
_FIRST = re.compile(r"^(?![ \t]*(?:[#;].*)?$)[ \t]*(\S.*)$", re.MULTILINE)  # the first line that is no comment
_TORCH = re.compile(
    r"^[ \t]*(?:import|from)[ \t]+torch\b|^[ \t]*class[ \t]+\w+\([\w., ]*Module\)|\bnn\.Sequential\("
    r"|^[ \t]*self\.\w+[ \t]*=[ \t]*nn\.",
    re.MULTILINE,
)
_KERAS = re.compile(
    r"^[ \t]*(?:import|from)[ \t]+(?:keras|tensorflow)\b|^[ \t]*\w+[ \t]*=[ \t]*[\w.]*\bSequential\("
    r"|^[ \t]*\w+[ \t]*=[ \t]*(?:[\w.]*\.)?Input\(shape",
    re.MULTILINE,
)
_IMPORT = re.compile(r"^[ \t]*(?:import|from)[ \t]+\w", re.MULTILINE)
_CALL = re.compile(rf"(?<![\w.])(?:\w+\.){{0,4}}(?:{'|'.join(RULES)})\(")
_LONGEST_CALL = 400
_ACTIVATIONS = {
    "leaky": "leaky_relu 0.1", "relu": "relu", "relu6": "relu6", "logistic": "sigmoid", "tanh": "tanh",
    "elu": "elu", "swish": "silu", "hard_swish": "hardswish",
}  # fmt: skip


def explain_pasted(source: Source) -> Diagnostic | None:
    """Return the one diagnostic for a text that is no spec but a net in another form, or None."""
    text = source.text
    first = _FIRST.search(text)
    if first is None or _OURS.search(text):
        return None
    if _SECTION.fullmatch(first.group()):
        return _told(source, first, "a Darknet .cfg", *_first_of_darknet(text))
    for pattern, what in ((_TORCH, "code of PyTorch"), (_KERAS, "code of Keras")):
        if pattern.search(text):
            start, opening, layer = _first_of_python(text)
            is_sure = bool(layer) or _IMPORT.search(text) is not None
            return _told(source, first, what, start, opening, layer) if is_sure else None
    return None


def _told(source: Source, first: re.Match[str], what: str, start: int, opening: str, layer: str) -> Diagnostic:
    row = source.locate(start)[0]
    notes = (f"line {row}, its first layer:  {source.line(row).strip()[:60]}", f"is written here:  {layer}")
    begin = opening if opening.count("x") == 2 else "the size of a picture, such as  input 224x224x3"
    message, label = f"this is {what}, not a spec", "a spec is the layers of a net, by name and arguments"
    hint = f"begin with  {begin}  and write the layers below it, one a line"
    here = Span(source, first.start(1), first.end(1))
    return Diagnostic("foreign", message, here, label, notes=notes if layer else (), hint=hint)


# ---- Keras and PyTorch ----------------------------------------------------------------------------
def _first_of_python(text: str) -> tuple[int, str, str]:
    """Return where the first layer of a net in Python stands, the input in our words, and the layer."""
    opening = ""
    for match in _CALL.finditer(text):
        end = _closing(text, match.end())
        found = translate(" ".join(text[match.start() : end].split())) if end else None
        if found is None:
            continue
        said, _, layer = found[0].partition(" -> ") if found[0].startswith("input ") else ("", "", found[0])
        opening = opening or said
        if layer:
            return match.start(), opening, layer
    return 0, opening, ""


def _closing(text: str, start: int) -> int:
    """Return the offset behind the bracket that closes the one before ``start``; 0 where it is far or missing."""
    depth = 1
    for i in range(start, min(len(text), start + _LONGEST_CALL)):
        depth += {"(": 1, ")": -1}.get(text[i], 0)
        if depth == 0:
            return i + 1
    return 0


# ---- Darknet --------------------------------------------------------------------------------------
def _first_of_darknet(text: str) -> tuple[int, str, str]:
    """Return where the first layer of a ``.cfg`` stands, the input in our words, and the layer."""
    opening = ""
    for start, name, keys in _sections(text):
        if name in ("net", "network"):
            size = [keys.get(key, default) for key, default in (("height", ""), ("width", ""), ("channels", "3"))]
            opening = f"input {'x'.join(size)}" if all(part.isdigit() for part in size) else ""
            continue
        return start, opening, _layer_of_darknet(name, keys)
    return 0, opening, ""


def _sections(text: str) -> Iterator[tuple[int, str, dict[str, str]]]:
    found = list(_SECTION.finditer(text))[:50]
    for match, after in zip(found, [*found[1:], None], strict=True):
        end = after.start() if after is not None else min(len(text), match.end() + 4000)
        lines = (line.partition("#")[0].partition("=") for line in text[match.end() : end].splitlines())
        yield match.start(1) - 1, match.group(1), {key.strip(): value.strip() for key, _, value in lines}


def _layer_of_darknet(name: str, keys: dict[str, str]) -> str:
    """Return a section as a flow, or "" where it has no counterpart that a line shows.

    Keys that are left out have Darknet's defaults: one filter of 1x1, no batch norm, a logistic function.
    """
    number = {key: int(value) for key, value in keys.items() if value.isdigit()}
    function = _ACTIVATIONS.get(keys.get("activation", "logistic"), "")
    if not function and keys.get("activation") != "linear":
        return ""
    bn = number.get("batch_normalize", 0) == 1
    behind = (" bias=no -> bn" if bn else "") + (f" -> {function}" if function else "")
    if name in ("convolutional", "conv"):
        size, stride = number.get("size", 1), number.get("stride", 1)
        pad = size // 2 if number.get("pad", 0) else number.get("padding", 0)
        words = [f"conv {number.get('filters', 1)} {size}x{size}"]
        words += [f"stride={stride}"] if stride != 1 else []
        if pad != size // 2 or size % 2 == 0:
            words.append(f"pad={pad}" if pad else "pad=none")
        words += [f"groups={number['groups']}"] if number.get("groups", 1) != 1 else []
        return " ".join(words) + behind
    if name in ("connected", "conn"):
        return f"flatten -> dense {number.get('output', 1)}{behind}"
    if name in ("maxpool", "max"):
        stride = number.get("stride", 1)
        size = number.get("size", stride)
        return f"maxpool {size}" if size == stride else f"maxpool {size} stride={stride}"
    return ""
