"""miniscapes: the embedded street world, procedural scenes in the on-disk layouts of the real data sets."""

from .creation import ensure
from .scene import Scene, render_scene

__all__ = ["Scene", "ensure", "render_scene"]
