"""The page on which a human says who is who; it is served to this computer only."""
