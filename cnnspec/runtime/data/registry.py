"""The registry of data sources: for each class of ``source`` settings, the function that opens its data."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from ...by_type import ByType
from ...ir.fields import Shape
from ...model.settings import DataSettings
from .split import Dataset

# A reader takes the data section, the input's shape (H, W, C), the number of classes (None where the data tell it)
# and the folder of the spec, where relative paths start.
Reader = Callable[[DataSettings, Shape, "int | None", Path], Dataset]

READERS: ByType[Reader] = ByType("reader")
source = READERS.adds  # @source(Class): the settings class, which loads no arrays, stands in model/settings.py
