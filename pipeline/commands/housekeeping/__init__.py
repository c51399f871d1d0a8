"""What was run and what it left: the commands that look after a folder of runs."""
