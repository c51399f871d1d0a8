"""The aggregates of sets, a file each: a recipe's metric names the file (see `components.evaluation.aggregate`)."""
