"""The MS-Celeb-1M benchmark: its files, its protocol, its published table."""
