"""Detectors of Detectron2 on street scenes: transfer tables, and masks as pseudo instances."""
