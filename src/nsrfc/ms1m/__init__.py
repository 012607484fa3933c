"""The MS-Celeb-1M benchmark: files, protocol and published scores."""
