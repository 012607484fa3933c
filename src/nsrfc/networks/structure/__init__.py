"""Networks that read neighbourhood structure, of which the shipped model is made."""
