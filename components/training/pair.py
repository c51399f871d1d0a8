"""A pushed network on codes, with the codec in it, as an artifact."""

from tfx.dsl.component.experimental.annotations import OutputArtifact, Parameter
from tfx.dsl.component.experimental.decorators import component
from tfx.types.standard_artifacts import Model
from tfx.utils import path_utils

from components import given
from components.training import codes
from models.contract import registry
from models.contract.recipe import ConfigError
from models.understanding import joint


@component
def GivenPair(  # noqa: N802 (TFX components are nouns)
    model: OutputArtifact[Model],
    path: Parameter[str],
    recipe: Parameter[str],
    content: Parameter[str],
) -> None:
    """Copies what a network on codes, with its codec, is built from into the pipeline.

    Args:
      model: recipe, options and weights; no graph. path: of the pushed model. recipe: its name.
      content: `components.given.content_of` it, for the cache.

    Raises:
      ConfigError: it can be trained on no further, or it has changed since the run began.
    """
    joint.described(path, registry.get(recipe))
    if content and given.content_of(path) != content:
        raise ConfigError(f"model={path}: changed while the pipeline started; run it again")
    codes.copy(path, path_utils.serving_model_dir(model.uri))
