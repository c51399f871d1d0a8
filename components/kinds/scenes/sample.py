"""Simulated scenes: coloured shapes before a background of two colours, with exact label maps.

A first run where there is no network. The class of a pixel is the shape that it lies on; colours say nothing of it, so
that shapes have to be told by their outlines. They say nothing about photographs.
"""

from typing import NamedTuple

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

VERSION = "1.0.0"
NAMES = ("background", "disc", "square", "triangle", "cross", "ring")
SCENES, HEIGHT, WIDTH = 800, 96, 128
_FINE = 4  # pixels each way of the drawing for one of the picture; a map's pixel is that in the middle


class Scene(NamedTuple):
    """Pixels uint8 [HEIGHT, WIDTH, 3], and the place in NAMES of each, uint8 [HEIGHT, WIDTH]."""

    pixels: np.ndarray
    label_map: np.ndarray


def scene(number: int) -> Scene:
    """The scene of a number, the same each time."""
    random = np.random.default_rng((23, number))
    size = WIDTH * _FINE, HEIGHT * _FINE
    colours = random.uniform(20, 235, (2, 3))
    across = np.linspace(0, 1, size[0])[None, :, None] * np.ones((size[1], 1, 1))
    image = Image.fromarray((colours[0] + across * (colours[1] - colours[0])).astype(np.uint8))
    classes = Image.new("L", size, 0)
    for _ in range(random.integers(1, 5)):
        place = int(random.integers(1, len(NAMES)))
        colour = tuple(int(v) for v in random.uniform(0, 255, 3))
        outline = Image.new("L", size, 0)
        _draw(ImageDraw.Draw(outline), NAMES[place], random)
        image.paste(colour, mask=outline)
        classes.paste(place, mask=outline)
    image = image.filter(ImageFilter.GaussianBlur(random.uniform(0, _FINE)))
    pixels = np.asarray(image.resize((WIDTH, HEIGHT), Image.Resampling.BOX), float)
    pixels += random.normal(0, random.uniform(1, 6), pixels.shape)
    half = _FINE // 2
    return Scene(np.clip(np.rint(pixels), 0, 255).astype(np.uint8), np.asarray(classes)[half::_FINE, half::_FINE])


def _draw(draw: ImageDraw.ImageDraw, name: str, random: np.random.Generator) -> None:
    """One shape of any size, place and angle, filled with 255."""
    radius = random.uniform(0.15, 0.38) * HEIGHT * _FINE
    centre = random.uniform(0.1, 0.9, 2) * (WIDTH * _FINE, HEIGHT * _FINE)
    if name in ("disc", "ring"):
        draw.ellipse([*(centre - radius), *(centre + radius)], fill=255)
        if name == "ring":
            draw.ellipse([*(centre - radius * 0.55), *(centre + radius * 0.55)], fill=0)
        return
    turn = random.uniform(0, 2 * np.pi)
    for corners in _CORNERS[name]:
        points = np.array(corners) @ [[np.cos(turn), np.sin(turn)], [-np.sin(turn), np.cos(turn)]]
        draw.polygon([tuple(p) for p in centre + radius * points], fill=255)


_BAR = [(-1, -0.3), (1, -0.3), (1, 0.3), (-1, 0.3)]
_CORNERS = {
    "square": [[(-0.8, -0.8), (0.8, -0.8), (0.8, 0.8), (-0.8, 0.8)]],
    "triangle": [[(0, -1), (0.87, 0.5), (-0.87, 0.5)]],
    "cross": [_BAR, [(y, x) for x, y in _BAR]],
}
