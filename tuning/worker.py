"""A process of a search with several: the chief or a worker, as keras-tuner's variables in the environment say.

  python -m tuning.worker SEARCH.json [PROCESS]

It ends when the search has, or when the process of that id does, which has started it.
"""

import json
import os
import pathlib
import sys
import threading
import time

from keras_tuner.errors import FatalError

from models.contract import registry
from tuning import supervisor, tuner
from tuning.plan import Plan


def main(path: str, parent: str = "") -> int:
    """Takes part in the search that a file describes; returns the exit status."""
    if parent:
        threading.Thread(target=_end_with, args=[int(parent)], daemon=True).start()
    given = json.loads(pathlib.Path(path).read_text(encoding="utf-8"))
    recipe = registry.get(given["recipe"])
    search = tuner.ConfigTuner(
        recipe, recipe.config(**given["config"]), Plan(**given["plan"]), directory=given["directory"],
        logs=given["logs"], workers=tuner.ONE_OF_SEVERAL,
    )  # fmt: skip
    try:
        search.search(**given["files"])
    except FatalError as error:
        print(f"\n{' '.join(str(error).split())}", file=sys.stderr, flush=True)
        return supervisor.GIVE_UP
    return 0


def _end_with(parent: int) -> None:
    """Ends this process when the one that started it is gone, even by a kill."""
    while os.getppid() == parent:
        time.sleep(0.5)
    os._exit(1)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
