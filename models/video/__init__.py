"""Codecs of clips, a file each: what they share, the file that holds a coded clip, motion that is known."""
