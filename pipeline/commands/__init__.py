"""The commands: every module here and in the folders here is one, named as its file; it says `command`, click's.

A module is imported when its command is called or described, so at its head stands nothing that takes long to import.
"""
