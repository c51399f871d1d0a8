"""Pictures: reading, profiles, what is left out."""
