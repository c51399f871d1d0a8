"""What commands are given: paths, and what is trained on which data; checked before anything heavy is loaded."""
