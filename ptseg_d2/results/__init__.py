"""What is evaluated, into which rows of results.json, and exported."""
