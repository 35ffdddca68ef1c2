"""Pseudo labels for target images, from predictions alone."""
