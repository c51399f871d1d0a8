"""What a configuration names and the run reads: other recipes, and models at paths."""

import dataclasses
import os
import pathlib

from components import artifacts
from models.contract import registry
from models.contract.recipe import Config
from models.publishing import pushed, released

_OURS = (pushed.ABOUT, pushed.WEIGHTS, pushed.TABLES, pushed.POLICY)  # what is read of a model of ours


def models(config: Config) -> dict[str, str]:
    """Digests of the models that a configuration names by their paths, by option; "" of one that is not there.

    Of a folder of versions the newest counts. Of a model of ours those files count from which it is built again.
    """
    return {name: content_of(path) for name, path in _paths(config).items()}


def recipes(name: str, config: Config) -> set[str]:
    """The recipe and all others that its options name, those of models that they name by path included.

    A text option that holds a recipe's name anywhere as a word names it.
    """
    found = {name} | registry.named_in(dataclasses.asdict(config))
    for path in map(pushed.newest, _paths(config).values()):
        if (path / pushed.EXTRA / pushed.ABOUT).is_file():
            about = pushed.describe(path)
            found |= {about["recipe"]} | registry.named_in(about["config"])
    return found


def content_of(path: str) -> str:
    """Digest of the model at a path or of released weights of that name, "" if nothing is there."""
    if path in released.names():
        return artifacts.tree_digest(str(released.path_of(path)))
    if not os.path.exists(path):
        return ""
    extra = pathlib.Path(pushed.newest(path)) / pushed.EXTRA
    if (extra / pushed.ABOUT).is_file():
        return artifacts.digest({n: artifacts.tree_digest(str(extra / n)) for n in _OURS})
    return artifacts.tree_digest(path)


def _paths(config: Config) -> dict[str, str]:
    """The options that are paths of models or names of released ones, but where they are another recipe's or empty."""
    known = set(registry.modules().values()) - set(released.names())
    named = [f.name for f in dataclasses.fields(config) if f.metadata.get("is_model")]
    return {name: path for name in named if (path := getattr(config, name)) not in ("", *known)}
