"""Panoptic results of a finished run on images, folders and videos."""
