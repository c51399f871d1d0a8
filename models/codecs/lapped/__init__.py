"""What lapped transforms start from."""
