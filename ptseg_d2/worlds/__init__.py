"""Drawn worlds: data of the real data sets' layouts, made on the spot."""
