"""The report of a run: one self-contained HTML page, and the numbers it was made from."""
