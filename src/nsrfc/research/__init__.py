"""Methods for comparison: the densities and density peaks of OMHC, and classic baselines."""
