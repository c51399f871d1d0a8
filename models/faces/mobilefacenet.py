"""A network like MobileFaceNet (Chen, Liu, Gao, Han, arXiv:1804.07573, table 1), for pictures of any size.

Inverted residuals with PReLU, and in place of an average over the last maps a convolution that has weights of its own
for every place of every channel: the corner of an eye counts for something else than that of a mouth.
"""

import keras

from models.classifiers.classifier import conv, norm

NAME = "mobilefacenet"
# (expansion, channels at full width, blocks, whether the first one halves)
STAGES = ((2, 64, 5, True), (4, 128, 1, True), (2, 128, 6, False), (4, 128, 1, True), (2, 128, 2, False))
_LAST = 512
_SMALLEST = 4  # side of the last maps of pictures that are smaller than the paper's


def maps(pixels, width_percent: int, depth: int):
    """Centred pixels [B, S, S, 3] -> vectors [B, 512 * width / 100] of the last maps, by a convolution over places.

    As published at a side of 112 (maps of 7 x 7 at the end). Of smaller pictures as many of the first halvings are left
    out as it takes for last maps of 4 x 4 at least.

    Args:
      width_percent: channels in percent of the published network. depth: most blocks of a stage.
    """

    def scaled(channels):
        return max(8, channels * width_percent // 100)

    halvings = 0
    while halvings < 4 and -(-pixels.shape[1] // 2 ** (halvings + 1)) >= _SMALLEST:
        halvings += 1
    left = [4 - halvings]  # halvings to be left out, from the first on

    def stride(halves: bool) -> int:
        if not halves or left[0]:
            left[0] -= bool(halves)
            return 1
        return 2

    x = _active(norm(conv(pixels, scaled(64), 3, stride(True))))
    x = _active(norm(_by_channel(x, 1)))
    for expansion, channels, blocks, halves in STAGES:
        for part in range(min(blocks, depth)):
            x = _block(x, expansion, scaled(channels), stride(halves and not part))
    x = _active(norm(conv(x, scaled(_LAST), 1)))
    whole = keras.layers.DepthwiseConv2D(x.shape[1], use_bias=False, depthwise_initializer="he_normal")(x)
    return keras.layers.Flatten()(norm(whole))


def _block(x, expansion: int, filters: int, strides: int):
    y = _active(norm(conv(x, expansion * x.shape[-1], 1)))
    y = norm(conv(_active(norm(_by_channel(y, strides))), filters, 1))
    return keras.layers.Add()([x, y]) if strides == 1 and x.shape[-1] == filters else y


def _by_channel(x, strides: int):
    return keras.layers.DepthwiseConv2D(
        3, strides, padding="same", use_bias=False, depthwise_initializer="he_normal"
    )(x)  # fmt: skip


def _active(x):
    return keras.layers.PReLU(shared_axes=[1, 2], alpha_initializer=keras.initializers.Constant(0.25))(x)
