"""Three methods with one interface: rules, networks on structure, and the published networks."""
