"""A model as a folder: settings, weights, card, calibration, and weights of the published code."""
