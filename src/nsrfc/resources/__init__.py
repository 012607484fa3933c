"""Estimates of memory, disk and time, made before a run starts."""
