"""Step 1, neighbour search: exact, approximate, on a GPU, or rebuilt on refined embeddings."""
