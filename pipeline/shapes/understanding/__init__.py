"""The DAGs of what learns from codes, a file each."""
