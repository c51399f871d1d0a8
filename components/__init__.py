"""What a pipeline is made of: data sets, TFX components and their executors."""
