"""How the shipped model and the generated benchmarks were made: scripts to read from top to bottom."""
