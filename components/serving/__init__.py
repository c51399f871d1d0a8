"""What is pushed, loaded the ways that servers load it, and the check before it is pushed."""
