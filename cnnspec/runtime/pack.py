"""Parameters between their two forms: as files and users see them, and in panels as kernels read them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..layouts import filter_layout


def pack(array: np.ndarray, groups: int, memory: np.ndarray) -> None:
    """Write a parameter (HWIO, [F_in, F_out], or any other shape) into its memory; the filling becomes zero."""
    layout = filter_layout(array.shape, groups)
    if layout is None:
        memory[: array.size] = array.reshape(-1)
        memory[array.size :] = 0
        return
    rows, width = layout.panel_size // layout.width, layout.width
    flat = array.reshape(rows, layout.groups, layout.channels)
    panels = memory[: layout.size].reshape(layout.groups, layout.panels, rows, width)
    for panel in range(layout.panels):
        some = flat[:, :, panel * width : (panel + 1) * width]
        panels[:, panel, :, : some.shape[2]] = some.transpose(1, 0, 2)
        panels[:, panel, :, some.shape[2] :] = 0
    memory[layout.size :] = 0


def unpack(memory: np.ndarray, shape: Sequence[int], groups: int) -> np.ndarray:
    """Return a parameter of the given shape from its memory, as an array of its own."""
    layout = filter_layout(tuple(shape), groups)
    if layout is None:
        return memory[: int(np.prod(shape))].reshape(shape).copy()
    rows = layout.panel_size // layout.width
    panels = memory[: layout.size].reshape(layout.groups, layout.panels, rows, layout.width).transpose(0, 2, 1, 3)
    grouped = panels.reshape(layout.groups, rows, layout.panels * layout.width)[:, :, : layout.channels]
    return np.array(grouped.transpose(1, 0, 2), order="C").reshape(shape)  # a copy, never a view
