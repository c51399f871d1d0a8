"""A folder of the user's own pictures."""
