"""Training one model: trainer, hooks, checkpoints, early stopping, and what only looks at it."""
