"""Knowledge distillation: the terms of a student's objective, one file each, and how batches are drawn for them."""
