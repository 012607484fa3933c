"""What a run will take before it starts: memory, disk and time."""
