"""The page that `compress --report` writes about a user's own pictures."""
