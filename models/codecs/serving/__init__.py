"""How codecs are served: picture files in, streams out, and back."""
