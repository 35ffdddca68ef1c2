"""Evaluation: panoptic quality, semantic IoU, instance AP, their Detectron2 evaluator, COCO panoptic export."""
