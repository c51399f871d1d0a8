"""What the contract of all recipes must know of each kind: a tiny configuration, records, and what signatures answer.

A new kind adds a class here and its name to `KINDS`; a new recipe of a known kind adds nothing.
"""

import io
import pathlib

import numpy as np
import skimage.data
import skimage.metrics
import tensorflow as tf
from PIL import Image

from models import data


def photograph(height: int, width: int, offset: int = 0) -> np.ndarray:
    """A piece of a photograph, uint8 [height, width, 3]."""
    return skimage.data.astronaut()[offset : offset + height, 100 : 100 + width]


def png(pixels: np.ndarray) -> bytes:
    """Pixels, uint8 [H, W] or [H, W, C], as PNG bytes."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


def picture_record(pixels: np.ndarray, key: str = "p") -> bytes:
    """The serialised record of an RGB picture, uint8 [H, W, 3]."""
    encoded = png(pixels)
    height, width, channels = pixels.shape
    example = data.image_example(
        encoded, key=key, format_name="PNG", height=height, width=width, channels=channels, size_bytes=len(encoded)
    )
    return example.SerializeToString()


def write_records(path: pathlib.Path, records: list[bytes]) -> str:
    """Writes serialised records as ingest does; returns the path."""
    with tf.io.TFRecordWriter(str(path), "GZIP") as writer:
        for record in records:
            writer.write(record)
    return str(path)


class Codec:
    """Image codecs."""

    tiny = {"channels": 8, "latents": 12, "crop_size": 64, "batch_size": 2, "steps": 3, "steps_per_epoch": 2}
    signatures = {"compress", "decompress", "serving_default"}

    @staticmethod
    def write(folder: pathlib.Path) -> dict[str, str]:
        """Records of photographs, by split."""
        pieces = {"train": range(0, 160, 40), "validation": (200, 260)}
        return {
            split: write_records(
                folder / f"{split}.gz", [picture_record(photograph(72, 80, o), f"{split} {o}") for o in offsets]
            )
            for split, offsets in pieces.items()
        }

    @staticmethod
    def outputs(model, batch) -> list[np.ndarray]:
        """What the model gives outside training."""
        found = model(batch, training=False)
        assert found["x_hat"].shape == batch.shape and found["bits"].shape == batch.shape[:1]
        return [np.array(found["x_hat"]), np.array(found["bits"])]

    @staticmethod
    def check_answers(functions, recipe, config) -> None:
        """Codes pictures of awkward sizes and measures them; the numbers must be those of the answers."""
        pictures = [photograph(50, 67), photograph(1, 1), photograph(16, 32)]
        sources = tf.constant([png(p) for p in pictures])
        streams = functions["compress"](image_bytes=sources)["bitstream_bytes"]
        again = functions["compress"](image_bytes=sources)["bitstream_bytes"]
        assert np.array_equal(streams, again)
        decoded = functions["decompress"](bitstream_bytes=streams)["image_bytes"].numpy()
        decoded = [np.array(Image.open(io.BytesIO(d))) for d in decoded]
        numbers = functions["serving_default"](examples=tf.constant([picture_record(p) for p in pictures]))
        assert {m.name for m in recipe.evaluation.metrics} <= set(numbers)
        assert all(v.shape == (3, 1) and v.dtype == tf.float32 for v in numbers.values())
        numbers = {k: v.numpy()[:, 0] for k, v in numbers.items()}
        for i, (picture, result) in enumerate(zip(pictures, decoded, strict=True)):
            assert result.shape == picture.shape and result.dtype == np.uint8
            assert abs(numbers["bpp"][i] - 8 * len(streams[i].numpy()) / (picture.size / 3)) < 1e-3
            mse = np.square(picture.astype(float) - result).mean()
            assert abs(numbers["psnr_db"][i] - skimage.metrics.peak_signal_noise_ratio(picture, result)) < 1e-2
            distortion = config.lmbda * mse
            assert abs(numbers["rd_cost"][i] - numbers["bpp"][i] - distortion) < 1e-2 * max(1, distortion)
        # Longer than the model expects by header and rounding, and, as it is hardly trained, by some escapes.
        bits, expected = (numbers[k][0] * pictures[0].size / 3 for k in ("bpp", "estimated_bpp"))
        assert 0.9 * expected < bits < 1.5 * expected + 8 * 60, (bits, expected)


KINDS = {"codec": Codec}
