"""Data: class tables, data sets, targets, views, augmentation, mappers and loaders."""
