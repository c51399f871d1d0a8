"""What the commands that use models share: files in and out, models here and behind a server, answers."""
