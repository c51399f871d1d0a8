"""The one door to all sources of examples: by the name of a data set, of whatever kind."""

from components.kinds import registry
from components.kinds.files import DataError
from components.kinds.kind import Source
from components.kinds.splits import check_trained


def open_source(dataset: str, folder: str = "") -> Source:
    """The source for a name.

    Args:
      dataset: a data set of one of the kinds (`components.kinds`), or of TFDS's catalogue.
      folder: the folder, file or archive that it is read from, "" without.

    Raises:
      DataError: unknown name, nothing in the data set that a kind takes, a place that is missing, empty or not asked
        for.
    """
    if own := registry.kind_of(dataset):
        return own.open(dataset, folder)
    refused = None
    for kind in (kind for kind in registry.kinds().values() if kind.is_catalogue):
        try:
            return kind.open(dataset, folder)
        except DataError as error:
            refused = refused or error
    raise refused or DataError(f"no data set is named {dataset!r}")


def dataset_digest(dataset: str, folder: str = "", labelled: bool = False, noun: str = "") -> str:
    """Text that changes when the data change. Files that did not change since the last time are not read for it
    (`components.kinds.notes`), and nothing is downloaded.

    Raises:
      DataError: as `open_source`; or the examples have no classes and `labelled` asks for them, or a class has no
        example to train with; or `noun` is not "" and says that they should be another kind ("pictures").
    """
    source = open_source(dataset, folder)
    if noun not in ("", source.noun):
        raise DataError(f"the data set {dataset!r} holds {source.noun}; this recipe takes {noun}")
    if labelled and not source.labels:
        raise DataError(f"the {source.noun} of {folder or dataset!r} have no classes, which this recipe needs")
    if labelled:
        check_trained(source.classes, source.noun)
    return source.digest
