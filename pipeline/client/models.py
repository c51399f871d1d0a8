"""Models by name: what `serve` and `serve-config` are given, and what a server says of them."""

import pathlib
import re
import time
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from pipeline.arguments.errors import UserError
from pipeline.arguments.paths import shown

_NAME = re.compile(r"[A-Za-z0-9][\w.-]*")


class Given(NamedTuple):
    """A model that a command was given: its name, and its folder, or the name of released weights."""

    name: str
    place: pathlib.Path | None
    released: str = ""


def given_models(texts: Sequence[str]) -> list[Given]:
    """The models of arguments: FOLDER, NAME=FOLDER, a released model's name, NAME=that.

    Raises:
      UserError: no such folder and no such released model, or two models of one name.
    """
    found = [_given(text) for text in texts]
    names = [model.name for model in found]
    if len(set(names)) < len(names):
        raise UserError(f"two models are named {max(names, key=names.count)}; give NAME=FOLDER")
    return found


def _given(text: str) -> Given:
    name, sign, folder = text.rpartition("=")
    if sign and not pathlib.Path(text).is_dir():
        if not _NAME.fullmatch(name):
            raise UserError(f"{shown(text)}: a name has letters, digits, '_', '.' and '-'")
    else:
        name, folder = "", text
    place = pathlib.Path(folder)
    if place.is_dir():
        place = place.absolute()
        of_versions = place.parent if (place / "saved_model.pb").is_file() and place.name.isdecimal() else place
        return Given(name or of_versions.name, place)
    from models.publishing import released

    if folder in released.names():
        return Given(name or folder, None, folder)
    raise UserError(f"{shown(folder)}: neither a folder nor a released model ({', '.join(released.names()) or 'none'})")


def await_loaded(
    url: str, names: Sequence[str], versions: Mapping[str, Sequence[int]] | None = None, wait_s: float = 0.0
) -> dict[str, list[int]]:
    """By name the versions that a server has loaded.

    Args:
      url: "http://HOST:8501". versions: what to wait for, at most `wait_s` seconds.

    Raises:
      RemoteError: no such server. UserError: no such URL, or the versions were not loaded in time.
    """
    from pipeline.client.rest import RestModel

    end = time.monotonic() + wait_s
    while True:
        loaded = {name: RestModel(f"{url.rstrip('/')}/v1/models/{name}", patience_s=wait_s).loaded() for name in names}
        late = {name: set(wanted) - set(loaded[name]) for name, wanted in (versions or {}).items()}
        if not any(late.values()):
            return loaded
        if time.monotonic() > end:
            told = "; ".join(
                f"{name} {', '.join(map(str, sorted(missing)))}" for name, missing in late.items() if missing
            )
            raise UserError(f"{url}: not loaded within {wait_s:g} s: {told}; the labels are where they were", status=1)
        time.sleep(0.5)
