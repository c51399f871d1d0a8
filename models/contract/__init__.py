"""What every system says of itself, and where systems are found."""
