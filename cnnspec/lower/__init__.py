"""Graph -> kernel calls. Importing this package fills the registry of lowerings."""

from ..by_type import import_modules

import_modules(__name__)
