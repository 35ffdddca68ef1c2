"""minileaves: the embedded plant world, procedural rosettes seen from above, in the file layout of CVPPP 2017."""

from .creation import ensure
from .picture import PlantPicture, PottedPlant, pot_plant, render_plant

__all__ = ["PlantPicture", "PottedPlant", "ensure", "pot_plant", "render_plant"]
