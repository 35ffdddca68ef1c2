"""Recipes: which stages a config needs, in which order they run, and what each does."""
