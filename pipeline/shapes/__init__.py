"""The shapes of pipelines, a file each."""
