"""A pushed dictionary as its users meet it: the signatures `encode`, `decode` and those of vectors of a SavedModel."""

from components.serving.served_model import Asked


class ServedDictionary(Asked):
    """Calls the signatures of a dictionary."""

    wanted = frozenset({"encode", "encode_vectors", "decode", "decode_vectors"})
    what = "dictionary"
