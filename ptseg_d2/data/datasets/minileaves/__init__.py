"""minileaves: the embedded plant world, procedural rosettes seen from above, in the file layout of CVPPP 2017."""

from .creation import ensure
from .picture import PlantPicture, render_plant

__all__ = ["PlantPicture", "ensure", "render_plant"]
