"""The commands: every module here is one, named as its file, and says `command`, a click command.

A module is imported when its command is called or described, so at its head stands nothing that takes long to import.
"""
