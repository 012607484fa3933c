"""Files in and out: embeddings, identities, neighbour graphs, results of stages and of whole runs."""
