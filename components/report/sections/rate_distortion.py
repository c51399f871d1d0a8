"""What the report measures itself: the model and the classic codecs on the same pictures of the test split."""

import base64
import dataclasses
import io
from collections.abc import Sequence
from typing import Any

import numpy as np
from PIL import Image

from components.evaluation import classic, rate_distortion
from components.serving import served_codec

CROP = 256  # pixels, side of the crops that are shown
_PIXEL_BUDGET = 4_000_000  # of all pictures together: the classic encoders need about 2 s a megapixel for their curves
_SETTINGS = slice(0, 7)  # of the classic codecs; the higher ones lie outside the plot


def choose_pictures(files: Sequence[str], count: int) -> tuple[list[str], list[np.ndarray]]:
    """The first `count` pictures of record files, fewer where they are large; at least one.

    Returns:
      Keys, and pictures as uint8 [H, W, 3].
    """
    from models.records import pictures as picture_records

    keys, pictures, pixels = [], [], 0
    for record in picture_records.records(files):
        features = picture_records.parse(record)
        size = int(features[picture_records.HEIGHT] * features[picture_records.WIDTH])
        if pictures and pixels + size > _PIXEL_BUDGET:
            continue
        pixels += size
        keys.append(features[picture_records.ID].numpy().decode("utf-8", "replace"))
        pictures.append(picture_records.decode(features[picture_records.ENCODED]).numpy())
        if len(pictures) == count:
            break
    return keys, pictures


def busiest(picture: np.ndarray, side: int = CROP) -> tuple[slice, slice]:
    """The square of `side` pixels (less in a smaller picture) with the most detail of uint8 [H, W, 3]."""
    grey = picture.astype(np.float32).mean(axis=2)
    detail = np.abs(np.diff(grey, axis=0, append=grey[-1:])) + np.abs(np.diff(grey, axis=1, append=grey[:, -1:]))
    sums = np.pad(detail.cumsum(0, dtype=np.float64).cumsum(1), ((1, 0), (1, 0)))
    height, width = (min(side, n) for n in grey.shape)
    tops = np.arange(0, grey.shape[0] - height + 1, 16)
    lefts = np.arange(0, grey.shape[1] - width + 1, 16)[:, np.newaxis]
    bottoms, rights = tops + height, lefts + width
    total = sums[bottoms, rights] - sums[tops, rights] - sums[bottoms, lefts] + sums[tops, lefts]
    left, top = np.unravel_index(total.argmax(), total.shape)
    top, left = int(tops[top]), int(lefts[left, 0])
    return slice(top, top + height), slice(left, left + width)


def data_uri(picture: np.ndarray) -> str:
    """uint8 [H, W, 3] as a lossless picture inside a URI."""
    file = io.BytesIO()
    Image.fromarray(picture).save(file, format="WEBP", lossless=True)
    return "data:image/webp;base64," + base64.b64encode(file.getvalue()).decode("ascii")


def shown(
    key: str, rank: str, original: np.ndarray, decoded: np.ndarray, point: rate_distortion.Point
) -> dict[str, Any]:
    """One picture of the page: crops of the original, of what the model and what JPEG makes of it at the same size.

    Args:
      rank: why it is shown ("best", "median", "worst"). original, decoded: uint8 [H, W, 3].
    """
    height, width, _ = original.shape
    encoded = classic.jpeg_of_size(original, round(point.bpp * height * width / 8))
    jpeg = classic.decode(encoded)
    window = busiest(original)
    return {
        "key": key, "rank": rank, "height": height, "width": width,
        "model": dataclasses.asdict(point),
        "jpeg": dataclasses.asdict(rate_distortion.compare(original, jpeg, len(encoded))),
        "crops": {n: data_uri(p[window]) for n, p in (("original", original), ("model", decoded), ("jpeg", jpeg))},
    }  # fmt: skip


def measure(model_dir: str, files: Sequence[str], count: int) -> dict[str, Any]:
    """Measures a pushed codec and the classic ones on the first pictures of record files.

    Args:
      model_dir: SavedModel. files: record files. count: how many pictures at most.

    Returns:
      "each": a point for every picture with its key; "mean": their mean; "classic": name -> [{"bpp", "psnr_db"}];
      "about": name -> encoder settings; "pictures": best, median and worst by PSNR, with crops.

    Raises:
      ServedCodecError: the model cannot be loaded or refuses a picture.
      FileNotFoundError: no record files.
    """
    keys, pictures = choose_pictures(files, count)
    if not pictures:
        raise FileNotFoundError("the test split holds no picture")
    codec = served_codec.ServedCodec(model_dir)
    results = [codec.measure(picture) for picture in pictures]
    order = sorted(range(len(pictures)), key=lambda i: -results[i][0].psnr_db)
    # With fewer than three pictures the same one would be shown under several titles.
    ranks = {order[0]: "best", order[-1]: "worst"} | {order[len(order) // 2]: "median"}
    ranks = {i: ranks[i] for i in order if i in ranks}
    return {
        "each": [{"key": k, **dataclasses.asdict(p)} for k, (p, _) in zip(keys, results, strict=True)],
        "mean": dataclasses.asdict(rate_distortion.mean(p for p, _ in results)),
        "classic": {c.name: _curve(c, pictures) for c in classic.CODECS},
        "about": {c.name: c.about for c in classic.CODECS},
        "pictures": [shown(keys[i], rank, pictures[i], *results[i][::-1]) for i, rank in ranks.items()],
    }


def _curve(codec: classic.ClassicCodec, pictures: Sequence[np.ndarray]) -> list[dict[str, float]]:
    short = dataclasses.replace(codec, settings=codec.settings[_SETTINGS])
    points = rate_distortion.classic_curve(short, pictures, structural=False)
    return [{"bpp": p.bpp, "psnr_db": p.psnr_db} for p in points]


def measure_mean(model_dir: str, files: Sequence[str], count: int) -> dict[str, float]:
    """The mean point of another model on the pictures that `measure` takes; raises as it does."""
    _, pictures = choose_pictures(files, count)
    codec = served_codec.ServedCodec(model_dir)
    return dataclasses.asdict(rate_distortion.mean(codec.measure(p)[0] for p in pictures))
