"""What is trained: Keras layers, entropy models and coder, one file per system, the training loop, export."""
