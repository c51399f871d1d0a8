"""Files that cannot be read: the name of their output in Beam, how many are too many, the list beside prepared data."""

import json

from etils import epath

from components.kinds.files import DataError

REPORT_FILE = "unreadable.json"
UNREADABLE = "unreadable"


def check_unreadable(unreadable: list[dict[str, str]], readable: int, allowed: float, noun: str = "pictures") -> None:
    """Raises DataError, naming the first files, if more than the share `allowed` of all files is unreadable."""
    total = len(unreadable) + readable
    if unreadable and len(unreadable) > allowed * total:
        first = "; ".join(f"{entry['path']}: {entry['reason']}" for entry in unreadable[:5])
        more = f"; and {len(unreadable) - 5} more" if len(unreadable) > 5 else ""
        raise DataError(
            f"{len(unreadable)} of {total} {noun} cannot be read, more than the share {allowed:g} that is allowed "
            f"(max_unreadable): {first}{more}"
        )


def report_unreadable(
    undecoded: list, unopened: list, opened: int, allowed: float, folder: str, noun: str = "pictures"
) -> None:
    """Writes the list of unreadable files to REPORT_FILE in a folder; raises DataError if there are too many."""
    unreadable = sorted(unopened + undecoded, key=lambda entry: entry["path"])
    check_unreadable(unreadable, opened - len(undecoded), allowed, noun)
    (epath.Path(folder) / REPORT_FILE).write_text(json.dumps(unreadable, indent=1))
