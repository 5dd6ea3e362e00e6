"""Random numbers keyed by what they are for: every draw is a pure function of the seed and a few words."""

from __future__ import annotations

import hashlib

import numpy as np


def keyed(seed: int, *purpose: str | int) -> np.random.Generator:
    """Return a generator that depends on the seed and the purpose alone, not on what was drawn before.

    Parameters
    ----------
    seed : the run's seed.
    purpose : words and numbers that name the draw, such as ``"shuffle", 3``.

    References
    ----------
    Salmon et al. 2011, "Parallel Random Numbers: As Easy as 1, 2, 3": Philox, a counter-based generator.
    """
    digest = hashlib.sha256(repr((int(seed), *purpose)).encode()).digest()
    return np.random.Generator(np.random.Philox(key=np.frombuffer(digest[:16], np.uint64)))
