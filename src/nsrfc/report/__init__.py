"""Reports on a clustering: errors, tables and pictures."""
