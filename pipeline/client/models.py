"""Models by name: what `serve` and `serve-config` are given, and what a server says of them."""

import pathlib
import re
import time
from collections.abc import Mapping, Sequence

from pipeline.arguments.errors import UserError
from pipeline.arguments.paths import shown

_NAME = re.compile(r"[A-Za-z0-9][\w.-]*")


def name_and_place(text: str) -> tuple[str, pathlib.Path | None]:
    """The name of a model and its folder, None for a released one: of FOLDER, NAME=FOLDER or a released model's name.

    Raises:
      UserError: no such folder and no such released model.
    """
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
        return name or of_versions.name, place
    from models.publishing import released

    if folder in released.names():
        return name or folder, None
    raise UserError(f"{shown(folder)}: neither a folder nor a released model ({', '.join(released.names()) or 'none'})")


def await_loaded(
    url: str, names: Sequence[str], versions: Mapping[str, Sequence[int]] | None = None, wait_s: float = 0.0
) -> dict[str, list[int]]:
    """By name the versions that a server has loaded.

    Args:
      url: "http://HOST:8501". versions: what to wait for, at most `wait_s` seconds.

    Raises:
      RestError: no such server. UserError: the versions were not loaded in time.
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
