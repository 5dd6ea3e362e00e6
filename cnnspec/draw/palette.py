"""The colours of drawings, for light and for dark ground: texts have a contrast of 7 to what they stand on."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Ground:
    """Colours on one ground; ``fills`` by family of layers, all under the colour ``ink``."""

    ground: str
    ink: str
    faint: str
    line: str
    frame: str
    fills: dict[str, str]


LIGHT = Ground(
    ground="#ffffff",
    ink="#16202c",
    faint="#414b57",
    line="#5d6975",
    frame="#f3f5f8",
    fills={
        "conv": "#bcd9f7",
        "dense": "#d5cbf6",
        "pool": "#c1e8c4",
        "norm": "#e4e8ec",
        "activation": "#fbdba7",
        "join": "#f9c6cf",
        "dropout": "#ded9d0",
        "block": "#b9e3e3",
        "plain": "#ffffff",
    },
)
DARK = Ground(
    ground="#12171e",
    ink="#f0f4f8",
    faint="#b9c3ce",
    line="#94a1af",
    frame="#1b232d",
    fills={
        "conv": "#1d4872",
        "dense": "#473a80",
        "pool": "#235630",
        "norm": "#39434e",
        "activation": "#664a12",
        "join": "#752f41",
        "dropout": "#4a453b",
        "block": "#155457",
        "plain": "#12171e",
    },
)
