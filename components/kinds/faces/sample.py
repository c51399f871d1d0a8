"""Simulated faces: drawings of persons who do not exist, for a first run where there is no network.

A person is a set of numbers (the shape of the head, where eyes, nose and mouth are and how large, tones of skin, hair,
eyes and lips). Pictures of one differ by pose, light, expression, hair over the brow, glasses, what is in front of the
face, focus and noise. They say nothing about photographs.
"""

import io
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

VERSION = "1.0.0"
PERSONS, PICTURES, SIDE = 160, 8, 32
_CANVAS = 128  # pixels a side that are drawn on, before the picture is made small


class Person(NamedTuple):
    """What stays the same: lengths in shares of the canvas, colours in 0 to 255."""

    width: float
    height: float
    jaw: float
    eye_gap: float
    eye_y: float
    eye_width: float
    eye_height: float
    slant: float
    brow_y: float
    brow: float
    nose: float
    nose_width: float
    mouth_y: float
    mouth: float
    lips: float
    fringe: float
    sides: float
    skin: np.ndarray
    hair: np.ndarray
    iris: np.ndarray
    lip: np.ndarray


# Means and spreads of the lengths, in the order of `Person`.
_SHAPES = np.array(
    [(0.30, 0.030), (0.40, 0.035), (0.80, 0.120), (0.130, 0.018), (0.46, 0.025), (0.052, 0.009), (0.026, 0.007),
     (0.0, 0.14), (0.075, 0.015), (0.020, 0.007), (0.15, 0.030), (0.045, 0.013), (0.70, 0.025), (0.085, 0.018),
     (0.026, 0.009), (0.15, 0.060), (0.50, 0.280)]
)  # fmt: skip
_SKIN = np.array([(244, 214, 190), (224, 178, 146), (186, 134, 98), (132, 88, 62), (86, 56, 42)], float)
_HAIR = np.array([(28, 22, 20), (84, 56, 36), (150, 112, 66), (206, 178, 122), (128, 52, 30), (150, 148, 146)], float)
_IRIS = np.array([(58, 38, 24), (96, 70, 40), (70, 100, 70), (80, 120, 160)], float)


def keys() -> Iterator[tuple[int, int, str]]:
    """(person, picture, key) of all pictures."""
    for person in range(PERSONS):
        for picture in range(PICTURES):
            yield person, picture, f"person {person:03}/{picture}"


def person_of(number: int) -> Person:
    """The person of a number, the same each time."""
    random = np.random.default_rng((7, number))
    lengths = _SHAPES[:, 0] + _SHAPES[:, 1] * np.clip(random.standard_normal(len(_SHAPES)), -2.2, 2.2)
    lip = random.normal((176, 84, 82), (24, 18, 18))
    return Person(*lengths, *(_toned(tones, random) for tones in (_SKIN, _HAIR, _IRIS)), lip)


def _toned(tones: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """A colour between two neighbours of a scale."""
    place = random.uniform(0, len(tones) - 1)
    low = int(place)
    return tones[low] + (place - low) * (tones[min(low + 1, len(tones) - 1)] - tones[low])


def encoded(person: int, picture: int) -> bytes:
    """One picture, PNG bytes of SIDE x SIDE pixels, the same each time."""
    random = np.random.default_rng((11, person, picture))
    face = person_of(person)
    image = Image.new("RGB", (_CANVAS, _CANVAS), _colour(random.uniform(40, 220, 3)))
    draw = ImageDraw.Draw(image)
    yaw, nod = random.normal(0, 0.022, 2)
    _draw_head(draw, face, yaw, random)
    _draw_features(draw, face, yaw, nod, random)
    if random.random() < 0.15:
        _draw_glasses(draw, face, yaw, nod)
    if random.random() < 0.2:
        _cover(draw, random)
    image = _moved(image, random)
    buffer = io.BytesIO()
    Image.fromarray(_lit(image, random)).save(buffer, "PNG")
    return buffer.getvalue()


def _colour(values: np.ndarray) -> tuple[int, int, int]:
    return tuple(int(v) for v in np.clip(values, 0, 255))


def _oval(draw: ImageDraw.ImageDraw, x: float, y: float, width: float, height: float, colour: np.ndarray) -> None:
    """An ellipse around a centre, half axes in shares of the canvas."""
    corners = [(x - width) * _CANVAS, (y - height) * _CANVAS, (x + width) * _CANVAS, (y + height) * _CANVAS]
    draw.ellipse(corners, fill=_colour(colour))


def _draw_head(draw: ImageDraw.ImageDraw, face: Person, yaw: float, random: np.random.Generator) -> None:
    """Hair behind, neck, skin with a narrower jaw, hair over the brow."""
    top = 0.52 - face.height
    behind = 0.52 + face.sides * 0.30
    _oval(draw, 0.5, (top + behind) / 2, face.width * 1.16, (behind - top) / 2 + 0.05, face.hair)
    _oval(draw, 0.5, 1.02, face.width * 0.55, 0.24, face.skin * 0.82)
    _oval(draw, 0.5, 0.46, face.width, face.height * 0.84, face.skin)
    _oval(draw, 0.5 + yaw / 2, 0.60, face.width * face.jaw, face.height * 0.74, face.skin)
    fringe = max(0.02, face.fringe + random.normal(0, 0.012))
    _oval(draw, 0.5 - yaw, top + fringe / 2, face.width * 0.96, fringe * 0.75, face.hair)


def _draw_features(
    draw: ImageDraw.ImageDraw, face: Person, yaw: float, nod: float, random: np.random.Generator
) -> None:
    """Eyes with brows, nose, mouth; all move with the pose."""
    open_, smile = random.uniform(0.75, 1.15), random.normal(0, 0.012)
    for side in (-1, 1):
        x, y = 0.5 + 1.5 * yaw + side * face.eye_gap * (1 - side * yaw), face.eye_y + nod
        tilt = side * face.slant * face.eye_width
        _oval(draw, x, y, face.eye_width, face.eye_height * open_, np.array([238, 236, 232]))
        _oval(draw, x + 0.4 * yaw, y, face.eye_height * 0.95, face.eye_height * open_, face.iris)
        ends = [(x - face.eye_width * 1.2, y - face.brow_y + tilt), (x + face.eye_width * 1.2, y - face.brow_y - tilt)]
        draw.line([(a * _CANVAS, b * _CANVAS) for a, b in ends], _colour(face.hair * 0.8), round(face.brow * _CANVAS))
    x, y = 0.5 + 2.4 * yaw, face.eye_y + nod
    sides = [(0.5 + 1.5 * yaw, y), (x - face.nose_width, y + face.nose), (x + face.nose_width, y + face.nose)]
    draw.polygon([(a * _CANVAS, b * _CANVAS) for a, b in sides], fill=_colour(face.skin * 0.86))
    _oval(draw, 0.5 + 1.7 * yaw, face.mouth_y + nod, face.mouth * (1 + 4 * smile), face.lips * open_, face.lip)
    if open_ > 1.05:
        _oval(draw, 0.5 + 1.7 * yaw, face.mouth_y + nod, face.mouth * 0.7, face.lips * 0.4, face.lip * 0.35)


def _draw_glasses(draw: ImageDraw.ImageDraw, face: Person, yaw: float, nod: float) -> None:
    y = face.eye_y + nod
    for side in (-1, 1):
        x = 0.5 + 1.5 * yaw + side * face.eye_gap
        corners = [(x - 0.085) * _CANVAS, (y - 0.06) * _CANVAS, (x + 0.085) * _CANVAS, (y + 0.06) * _CANVAS]
        draw.rounded_rectangle(corners, radius=6, outline=(30, 30, 34), width=3)


def _cover(draw: ImageDraw.ImageDraw, random: np.random.Generator) -> None:
    """Something in front of a part of the face."""
    x, y = random.uniform(0.1, 0.75), random.uniform(0.2, 0.85)
    corners = [x * _CANVAS, y * _CANVAS, (x + random.uniform(0.1, 0.25)) * _CANVAS,
               (y + random.uniform(0.1, 0.2)) * _CANVAS]  # fmt: skip
    draw.rectangle(corners, fill=_colour(random.uniform(20, 235, 3)))


def _moved(image: Image.Image, random: np.random.Generator) -> Image.Image:
    """Turned, nearer or farther, out of the centre, out of focus, and made small."""
    angle, zoom = np.deg2rad(random.normal(0, 4)), random.normal(1, 0.04)
    a, b = np.cos(angle) / zoom, np.sin(angle) / zoom
    shift = _CANVAS / 2 + random.normal(0, 2, 2)
    matrix = (a, b, shift[0] - a * _CANVAS / 2 - b * _CANVAS / 2, -b, a, shift[1] + b * _CANVAS / 2 - a * _CANVAS / 2)
    image = image.transform(image.size, Image.Transform.AFFINE, matrix, Image.Resampling.BILINEAR)
    image = image.filter(ImageFilter.GaussianBlur(random.uniform(0.5, 3.0)))
    return image.resize((SIDE, SIDE), Image.Resampling.BOX)


def _lit(image: Image.Image, random: np.random.Generator) -> np.ndarray:
    """With light from a side, of a colour, and noise: uint8 [SIDE, SIDE, 3]."""
    pixels = np.asarray(image, np.float64)
    across = np.linspace(-1, 1, SIDE)
    slope = random.normal(0, 0.16, 2)
    light = 1 + slope[0] * across[None, :, None] + slope[1] * across[:, None, None]
    pixels = pixels * light * random.normal(1, 0.14) * random.normal(1, 0.05, 3)
    return np.clip(np.rint(pixels + random.normal(0, random.uniform(2, 9), pixels.shape)), 0, 255).astype(np.uint8)
