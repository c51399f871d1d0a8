"""A model server for development and small deployments: TensorFlow Serving's two interfaces over the C library."""
