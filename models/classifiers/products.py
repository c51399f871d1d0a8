"""Any classifier with a budget of multiplications: its layers as sum-product ones (arXiv:1712.03942), in phases.

--set budget=1      full precision -> ternary matrices -> these frozen and folded, the rest goes on learning
"""

import dataclasses
from collections.abc import Callable

import keras

from models.contract.recipe import Config, ConfigError, option
from models.contract.training import Files, Phase
from models.layers.strassen import StrassenConv2D, StrassenDense, SumProduct
from models.layers.ternary import FORMS
from models.training import replicas

LAST = "logits"  # the dense layer that stays as it is, as in the paper


@dataclasses.dataclass(frozen=True)
class ProductsConfig(Config):
    """Options of sum-product layers in a classifier, and of the phases in which they are trained."""

    budget: float = option(
        0.0, "multiplications over output channels (r / c_out) of sum-product layers (arXiv:1712.03942); "
        "0: plain layers", low=0.0,
    )  # fmt: skip
    patch: int = option(1, "side of the square of outputs that share multiplications", low=1, high=8)
    groups: int = option(1, "groups of channels in which the first matrix sums, where they divide", low=1)
    matrices: str = option("folded", "of sum-product layers; the phases of a training decide", choices=FORMS)
    full_share: float = option(0.6, "share of the steps in full precision", low=0.0, high=1.0)
    ternary_share: float = option(0.3, "share of the steps with ternary matrices that learn", low=0.0, high=1.0)
    ternary_rate: float = option(0.3, "peak learning rate of that phase over the first one's", low=0.0)
    folded_rate: float = option(0.1, "peak learning rate of the last phase over the first one's", low=0.0)

    def __post_init__(self):
        super().__post_init__()
        if self.full_share + self.ternary_share >= 1:
            shares = f"full_share={self.full_share}, ternary_share={self.ternary_share}"
            raise ConfigError(f"{shares}: nothing is left for the last phase")


def replaced(network: keras.Model, config: ProductsConfig) -> keras.Model:
    """The Functional network with sum-product layers in place of its convolutions and inner dense layers.

    Their names, and those of all else, stay. A convolution that is not padded to "same", is dilated, in groups, by
    channel, or followed by an activation of its own stays as well; so does the last dense layer. Networks inside are
    taken to have been replaced when they were made. Without a budget it is the network itself.
    """
    if not config.budget:
        return network
    return keras.models.clone_model(network, clone_function=lambda layer: _other(layer, config))


def _other(layer: keras.layers.Layer, config: ProductsConfig) -> keras.layers.Layer:
    if isinstance(layer, keras.Model) or not isinstance(layer, keras.layers.Layer):
        return layer  # a bare operation has nothing to replace
    dtype = {"name": layer.name, "dtype": layer.dtype_policy}
    if type(layer) is keras.layers.Conv2D and _is_plain(layer):
        groups = config.groups if layer.input.shape[-1] % config.groups == 0 else 1
        made = _common(layer.filters, config, groups) | dtype
        return StrassenConv2D(
            layer.filters, layer.kernel_size, strides=layer.strides, patch=config.patch, groups=groups,
            use_bias=layer.use_bias, **made,
        )  # fmt: skip
    if type(layer) is keras.layers.Dense and layer.name != LAST and layer.activation is keras.activations.linear:
        return StrassenDense(layer.units, use_bias=layer.use_bias, **_common(layer.units, config) | dtype)
    return layer.__class__.from_config(layer.get_config())


def _is_plain(layer: keras.layers.Conv2D) -> bool:
    linear = layer.activation is keras.activations.linear
    return linear and layer.padding == "same" and layer.groups == 1 and set(layer.dilation_rate) == {1}


def _common(outputs: int, config: ProductsConfig, groups: int = 1) -> dict:
    r = max(1, round(config.budget * outputs))
    return {"products": -(-r // groups) * groups, "form": config.matrices, "synchronized": replicas.count() > 1}


def phases(
    config: ProductsConfig,
    files: Files,
    network: Callable[[keras.Model], keras.Model] = lambda model: model.network,
    prepare: Callable = lambda model, config, files: None,
):
    """The phases of a classifier's training: one, or with a budget the three of the module's head.

    Weights decay in the first alone: later they would be pulled to where they count for nothing.

    Args:
      network: model -> the network with the layers. prepare: as of `Phase`.

    Raises:
      ConfigError: fewer steps than phases.
    """
    if not config.budget:
        yield Phase("", config.steps, prepare=prepare)
        return
    if config.steps < len(FORMS):
        raise ConfigError(f"steps={config.steps}: a budget takes three phases, and each at least a step")
    full, ternary = (max(1, int(config.steps * share)) for share in (config.full_share, config.ternary_share))
    full = min(full, config.steps - ternary - 1)
    steps = {"full": full, "ternary": ternary, "folded": config.steps - full - ternary}
    rates = {"full": 1.0, "ternary": config.ternary_rate, "folded": config.folded_rate}
    for n, form in enumerate(FORMS):
        later = {"seed": config.seed + n, "weight_decay": 0.0, "learning_rate": config.learning_rate * rates[form]}
        yield Phase(
            form,
            steps[form],
            {"matrices": form} | (later if n else {}),
            inherit=lambda model, before: hand_on(network(model), network(before)),
            prepare=prepare,
        )


def hand_on(network: keras.Model, before: keras.Model) -> None:
    """Gives a network the weights of the same one of an earlier phase; what is ternary is folded where it is to be."""
    for layer, old in zip(network.layers, before.layers, strict=True):
        if isinstance(layer, keras.Model):
            hand_on(layer, old)
        elif isinstance(layer, SumProduct) and layer.form == "folded":
            layer.fold(old)
        else:
            layer.set_weights(old.get_weights())
