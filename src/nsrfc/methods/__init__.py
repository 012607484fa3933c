"""Three ways to take the four steps, of one shape: rules, networks on structure, published networks."""
