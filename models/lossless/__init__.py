"""Lossless codecs of pictures, a file each, and how they are served."""
