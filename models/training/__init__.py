"""The loop that trains any recipe, on one device or several."""
