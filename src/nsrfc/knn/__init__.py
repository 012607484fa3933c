"""Step 1, searching: the nearest neighbours of every face, exact, approximate, on a GPU, or rebuilt."""
