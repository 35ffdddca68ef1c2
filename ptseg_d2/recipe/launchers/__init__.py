"""What runs the groups of a stage in other processes."""
