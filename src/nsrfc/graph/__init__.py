"""What is made of a neighbour graph: arrays in, arrays out. No file is read and no network asked."""
