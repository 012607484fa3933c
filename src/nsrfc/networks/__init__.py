"""The networks: torch modules on tensors, without files or neighbour search."""
