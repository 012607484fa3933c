"""Pictures in: found, read upright, searched for faces, embedded, and kept in a library."""
