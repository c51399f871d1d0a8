"""What the contract of all recipes must know of codecs of clips, as `tests.models.kinds` of the others."""

import functools
import pathlib

import numpy as np
import skimage.metrics
import tensorflow as tf

from models.codecs import chosen
from tests.models.code_kind import Codes
from tests.models.examples import clip_record, moving, write_records


@functools.cache
def untrained() -> dict:
    """Options for an image codec that was never trained."""
    folder = Codes().codec
    return {"intra": folder, "intra_about": chosen.about(*chosen.described("intra", folder))}


class Video:
    """Codecs of clips, whose image codec was never trained."""

    sizes = {"channels": 4, "latents": 6, "motion_channels": 4, "flow_width": 4, "flow_kernel": 3, "flow_levels": 2,
             "compensation_channels": 4, "crop_size": 64, "batch_size": 2, "steps": 3, "steps_per_epoch": 2,
             "clip_length": 3, "rates": 2, "group": 4, "head_width": 1, "enhancement_filters": 4,
             "flow_share": 0.4}  # fmt: skip
    traced = ()
    signatures = {"compress", "compress_at", "decompress", "flow", "serving_default"}

    @functools.cached_property
    def tiny(self) -> dict:
        """Options of the smallest models."""
        return self.sizes | untrained()

    @staticmethod
    def write(folder: pathlib.Path) -> dict[str, str]:
        """Records of moving photographs, by split."""
        pieces = {"train": range(0, 160, 40), "validation": (200, 260)}
        return {
            split: write_records(
                folder / f"{split}.gz", [clip_record(moving(3, 68, 72, o), f"{split} {o}") for o in offsets]
            )
            for split, offsets in pieces.items()
        }

    @staticmethod
    def outputs(model, batch) -> list[np.ndarray]:
        """What the model gives outside training, for crops and for parts of them with sides that 16 does not divide.

        Of frames the means of 8x8 pixels: a reference's value between two of 8 bits may become either of them.
        """
        found = []
        for x in (batch, batch[:, :, :40, :24]):
            coded = model(x, training=False)
            assert coded["decoded"].shape == x[:, 1:].shape and coded["residual_bits"].shape == x.shape[:1]
            batch_size, length, rows, columns, _ = coded["decoded"].shape
            blocks = np.reshape(coded["decoded"], (batch_size, length, rows // 8, 8, columns // 8, 8, 3))
            found += [blocks.mean((3, 5)), *(np.array(coded[name]) for name in ("motion_bits", "residual_bits"))]
        return found

    @staticmethod
    def check_answers(functions, recipe, config) -> None:
        """Codes a group of an awkward size and measures it; the numbers must be those of the answers."""
        frames = moving(3, 37, 50)
        stream = functions["compress"](frames=tf.constant(frames))["bitstream_bytes"]
        again = functions["compress_at"](frames=tf.constant(frames), quality=tf.constant([50]))["bitstream_bytes"]
        assert stream.shape == (1,) and np.array_equal(stream, again)
        decoded = functions["decompress"](bitstream_bytes=stream)["frames"].numpy()
        assert decoded.shape == frames.shape and decoded.dtype == np.uint8
        assert functions["flow"](frames=tf.constant(frames))["flow"].shape == (2, 37, 50, 2)
        numbers = functions["serving_default"](examples=tf.constant([clip_record(frames), clip_record(frames[:1])]))
        assert {m.name for m in recipe.evaluation.metrics} <= set(numbers)
        assert all(v.shape == (2, 1) and v.dtype == tf.float32 for v in numbers.values())
        numbers = {k: v.numpy()[:, 0] for k, v in numbers.items()}
        area = frames[..., 0].size
        assert abs(numbers["bpp"][0] - 8 * len(stream.numpy()[0]) / area) < 1e-3
        psnr = [skimage.metrics.peak_signal_noise_ratio(a, b) for a, b in zip(frames, decoded, strict=True)]
        assert abs(numbers["psnr_db"][0] - np.mean(psnr)) < 1e-2
        assert numbers["motion_bpp"][1] == numbers["residual_bpp"][1] == 0 < numbers["motion_bpp"][0]
