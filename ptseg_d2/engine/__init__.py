"""Training: Detectron2's trainer with our loaders and hooks, and recipes of several stages."""
