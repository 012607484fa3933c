"""Models: settings, weights, model card, and conversion of published weights."""
