"""The networks: torch modules that read tensors, no file and no neighbour search."""
