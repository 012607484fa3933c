"""What people look at: errors, tables and pictures of a clustering."""
