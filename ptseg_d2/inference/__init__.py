"""From network outputs to instances and panoptic maps."""
