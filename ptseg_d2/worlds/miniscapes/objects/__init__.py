"""What stands and moves in a street, each drawn on a `Stage`."""
