"""What `compress` does with pictures beside coding them."""
