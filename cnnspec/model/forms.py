"""How a layer or a setting is written: its fields by key, its defaults, its form in one line."""

from __future__ import annotations

from typing import Any

from ..ir.fields import REQUIRED, Attr, attrs_of, dims
from ..ir.filters import Filter


def written(cls: type) -> dict[str, Attr]:
    """Return the fields of a layer's or setting's class that a spec may write."""
    return {name: a for name, a in attrs_of(cls).items() if a.kind != "hidden"}


def keys_of(cls: type) -> list[str]:
    """Return the keys of the fields that a spec may write."""
    return [a.key for a in written(cls).values()]


def format_default(value: Any) -> str:
    """Return a default as a spec would write it; "" for one that no spec can write."""
    if value is None or value == ():
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, tuple) and any(isinstance(part, Filter) for part in value):
        return f"[{', '.join(map(str, value))}]"
    if isinstance(value, tuple):
        if value == (0, 0):
            return "none"
        return str(value[0]) if len(set(value)) == 1 else dims(value)
    return f"{value:g}" if isinstance(value, float) else str(value)


def signature(name: str, cls: type) -> str:
    """Return how a layer or setting is written: ``conv OUT_CHANNELS SIZE [stride=1] [pad=same]``."""
    parts = [name]
    for field, a in written(cls).items():
        if a.positional:
            parts.append(a.key.upper() if a.default is REQUIRED else f"[{a.key.upper()}]")
        elif a.default is REQUIRED:
            parts.append(f"{a.key}={field.upper()}")
        else:
            parts.append(f"[{a.key}={format_default(a.default) or '...'}]")
    return " ".join(parts)
