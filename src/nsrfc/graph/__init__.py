"""Functions on neighbour graphs: arrays in, arrays out, without files or networks."""
