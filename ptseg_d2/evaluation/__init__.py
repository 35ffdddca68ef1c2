"""Evaluation: panoptic quality, semantic IoU, instance AP, bootstrap intervals; their evaluator; exported files."""
