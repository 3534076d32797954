"""The abstract domains, one file each."""

from absdomain.domains.box import Box
from absdomain.domains.deeppoly import DeepPoly

__all__ = ["Box", "DeepPoly"]
