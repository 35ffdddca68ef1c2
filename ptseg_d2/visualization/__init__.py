"""Pictures of predictions and data."""
