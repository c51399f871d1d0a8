"""Terms of a student's objective, a file each, and the weighted sum that they make."""
