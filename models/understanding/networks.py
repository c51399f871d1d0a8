"""Residual networks that begin where a codec's latents are: cResNet (arXiv:1803.06131, table 1), and their RGB twins.

    latents --normalisation--> conv3_x --> conv4_x --> conv5_x          (cResNet)
    pixels --7x7/2, pool/2--> conv2_x --> conv3_x ... conv5_x           (ResNet, arXiv:1512.03385)

A bottleneck block has three convolutions, so blocks of 4, 10 and 3 are cResNet-51. The first stage of a cResNet keeps
the latents' resolution, later ones halve it.
"""

import keras

from models.classifiers import classifier
from models.classifiers.resnet import shortcut
from models.contract.recipe import ConfigError

EXPANSION = 4  # channels of a block over those of its 3x3 convolution


def numbers_of(name: str, text: str) -> list[int]:
    """Whole numbers above zero, of text like "4,10,3".

    Raises:
      ConfigError: it is something else.
    """
    parts = [part.strip() for part in text.split(",")]
    if not all(p.isdecimal() and int(p) for p in parts):
        raise ConfigError(f"{name}={text}: wanted are whole numbers above zero, N,N,...")
    return [int(p) for p in parts]


def bottleneck(x, width: int, strides: int, dilation: int = 1):
    """1x1, 3x3 and 1x1 convolution and the shortcut; 4 width channels come out."""
    y = classifier.norm_relu(classifier.conv(x, width, 1, strides))
    y = classifier.norm_relu(classifier.conv(y, width, dilation=dilation))
    y = classifier.norm(classifier.conv(y, EXPANSION * width, 1))
    return keras.layers.ReLU()(keras.layers.Add()([shortcut(x, EXPANSION * width, strides), y]))


def stages(x, width: int, blocks: list[int], strides: int = 1, dilated: bool = False):
    """Stages of blocks, each with twice the width of the one before.

    Args:
      strides: of the first stage.
      dilated: whether the others keep its resolution, with taps 2, 4, ... apart, in place of half of it each.
    """
    for stage, count in enumerate(blocks):
        for place in range(count):
            step = strides if not stage else 1 if dilated else 2
            x = bottleneck(x, width << stage, 1 if place else step, 1 << stage if dilated else 1)
        x = classifier.tap(x, f"stage{stage + 1}")
    return x


def trunk(codes, config, dilated: bool = False):
    """The stages on what a configuration of `models.understanding.options` sees."""
    blocks = numbers_of("blocks", config.blocks)
    if config.rgb:
        return on_pixels(codes, config.width, config.root_blocks, blocks, dilated)
    return on_latents(codes, config.width, blocks, dilated)


def on_latents(latents, width: int, blocks: list[int], dilated: bool = False):
    """Latents [B, h, w, M] -> of three stages maps [B, h / 4, w / 4, 16 width]; [B, h, w, 16 width] if `dilated`.

    Channels of latents differ in scale, and some are zero: they are normalised first.
    """
    return stages(classifier.norm(latents), width, blocks, 1, dilated)


def on_pixels(pixels, width: int, root_blocks: int, blocks: list[int], dilated: bool = False):
    """Pixels [B, H, W, 3] in [0, 1] -> of three stages maps [B, H / 32, W / 32, 16 width]; of an eighth of the sides if
    `dilated`.

    The root and the stage that a network on latents leaves out have half of `width`.
    """
    x = keras.layers.Rescaling(4.0, offset=-2.0)(pixels)
    x = classifier.norm_relu(classifier.conv(x, max(1, width // 2), 7, 2))
    x = keras.layers.MaxPooling2D(3, 2, padding="same")(x)
    for _ in range(root_blocks):
        x = bottleneck(x, max(1, width // 2), 1)
    return stages(x, width, blocks, 2, dilated)


def pyramid(x, classes: int, rates: list[int]):
    """Maps [B, h, w, C] -> logits [B, h, w, K] float32: 3x3 convolutions with taps of several distances, summed.

    Atrous spatial pyramid pooling as DeepLab has it on residual networks (arXiv:1606.00915).
    """
    views = [keras.layers.Conv2D(classes, 3, padding="same", dilation_rate=rate, dtype="float32")(x) for rate in rates]
    return keras.layers.Add(dtype="float32")(views) if len(views) > 1 else views[0]
