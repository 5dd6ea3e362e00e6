"""The ops: everything a graph can hold. Importing this package fills the registries ``LAYERS`` and ``OPS``."""

from ..by_type import import_modules
from ..ir.graph import LAYERS, OPS

import_modules(__name__)

__all__ = ["LAYERS", "OPS"]
