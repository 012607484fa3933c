"""Methods to compare with: the densities and density peaks of OMHC, and classic baselines."""
