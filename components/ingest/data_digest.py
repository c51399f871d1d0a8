"""The step that digests a folder of a cluster, which the maker of the pipeline does not see."""

from tfx.dsl.component.experimental.annotations import OutputDict, Parameter
from tfx.dsl.component.experimental.decorators import component

from components.ingest.sources import dataset_digest


@component
def DataDigest(  # noqa: N802 (TFX components are nouns)
    dataset: Parameter[str],
    folder: Parameter[str],
    labelled: Parameter[int],
    noun: Parameter[str],
) -> OutputDict(digest=str):
    """Gives the digest of a folder as it is now: of unchanged data all that follows may be answered by the cache.

    Args:
      dataset, folder, labelled, noun: as of `dataset_digest`.

    Raises:
      DataError: as `dataset_digest`.
    """
    return {"digest": dataset_digest(dataset, folder, bool(labelled), noun)}
