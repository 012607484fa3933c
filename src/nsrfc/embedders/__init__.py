"""What is known of embedders: cards that say how their embeddings lie, and which one the faces fit."""
