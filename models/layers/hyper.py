"""Hyper-transforms: from latents to hyper-latents and from these to the parameters of the latents' distribution."""

import keras
from keras import layers

from models.layers.conv import downsample, upsample

STRIDE = 4  # latents a hyper-latent, each way
LEAK = 0.25  # a power of two, so that the exact fixed-point form scales without rounding


def hyper_analysis(latents: int, channels: int, leak: float) -> keras.Sequential:
    """Latents [B, h, w, latents] -> hyper-latents [B, ceil(h/4), ceil(w/4), channels]."""
    return keras.Sequential(
        [
            keras.Input((None, None, latents)),
            layers.Conv2D(channels, 3, padding="same", data_format="channels_last"),
            layers.LeakyReLU(leak),
            downsample(channels),
            layers.LeakyReLU(leak),
            downsample(channels),
        ],
        name="hyper_analysis",
    )


def hyper_synthesis(channels: int, widths: tuple[int, int, int], leak: float) -> keras.Sequential:
    """Hyper-latents [B, h, w, channels] -> parameters [B, 4h, 4w, widths[2]]."""
    return keras.Sequential(
        [
            keras.Input((None, None, channels)),
            upsample(widths[0]),
            layers.LeakyReLU(leak),
            upsample(widths[1]),
            layers.LeakyReLU(leak),
            layers.Conv2D(widths[2], 3, padding="same", data_format="channels_last"),
        ],
        name="hyper_synthesis",
    )
