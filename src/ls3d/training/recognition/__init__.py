"""Training of recognition networks: recipes of the kind ``classification``."""
