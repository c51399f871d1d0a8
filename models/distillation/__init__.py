"""Knowledge distillation: students, their teachers, and the ways from one to the other."""
