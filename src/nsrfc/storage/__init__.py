"""Reading and writing files: embeddings, identities, neighbour graphs, results of stages and of runs."""
