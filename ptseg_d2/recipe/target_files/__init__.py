"""Files that a stage predicts for every target image, for later stages."""
