"""Imports the package before any test file can import Detectron2, so that `ptseg_d2.compat` comes first."""

import ptseg_d2  # noqa: F401
