"""What a run folder is: records of finished stages, settings, lock, provenance."""
