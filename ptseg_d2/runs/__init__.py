"""What a run folder is: records of finished stages, lock, provenance, atomic files."""
