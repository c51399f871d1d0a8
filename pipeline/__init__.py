"""What a person runs: the command line, the DAGs, the local and the Kubeflow runner, the client."""
