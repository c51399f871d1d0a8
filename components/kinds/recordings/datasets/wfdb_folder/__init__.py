"""A folder of WFDB records."""
