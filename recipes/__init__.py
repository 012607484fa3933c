"""Scripts that made the shipped model and the generated benchmarks, to be read from top to bottom."""
