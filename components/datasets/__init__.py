"""TFDS data sets: folders of the user and samples that ship inside dependencies."""
