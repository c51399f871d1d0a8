"""The PhysioNet/CinC Challenge 2017, as people have it."""
