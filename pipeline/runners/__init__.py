"""What runs a pipeline: this machine, Kubeflow."""
