"""From a folder or a data set to records: the generator of examples, its sources, statistics."""
