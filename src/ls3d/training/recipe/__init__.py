"""What recipes of every kind have in common: sections, inheritance, overrides."""
