"""EINet: embedding-interaction based panoptic segmentation."""
