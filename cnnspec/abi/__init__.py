"""The interface between plan and machine code: what lowering packs by name, kernels read by name."""

from .constants import STEP, Start, When
from .kernels import SIGNATURES, define, pack, signature_of
from .signature import Field, Signature

__all__ = ["SIGNATURES", "STEP", "Field", "Signature", "Start", "When", "define", "pack", "signature_of"]
