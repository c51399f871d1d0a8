"""What the contract of all recipes must know of those that compress scenes by their labels."""

import io
import pathlib

import numpy as np
import tensorflow as tf
from PIL import Image

from models.generative.selective_inputs import LABELS, MASK, PICTURE
from models.records import pictures as picture_records
from models.records import scenes as scene_records
from tests.models.code_kind import scene_record
from tests.models.examples import png, write_records


class Selective:
    """Codecs of scenes, of which a part is preserved."""

    tiny = {"classes": 3, "filters": 4, "latents": 2, "critic_channels": 4, "blocks": 1, "crop_size": 32,
            "batch_size": 2, "steps": 3, "steps_per_epoch": 2, "scales": 1}  # fmt: skip
    signatures = {"compress", "decompress", "compress_selective", "decompress_maps", "serving_default"}

    @staticmethod
    def write(folder: pathlib.Path) -> dict[str, str]:
        """Records of scenes of three classes, by split."""
        return {
            split: write_records(
                folder / f"{split}.gz", [scene_record(f"{split} {n}", n, (40, 48)) for n in range(count)]
            )
            for split, count in {"train": 6, "validation": 5}.items()
        }

    @staticmethod
    def outputs(model, batch) -> list[np.ndarray]:
        """What the model gives outside training, for scenes and for parts of them."""
        found = []
        for rows, columns in ((32, 32), (16, 32)):
            x = {PICTURE: batch[PICTURE][:, :rows, :columns], LABELS: batch[LABELS][:, :rows, :columns],
                 MASK: batch[MASK][:, : rows // 8, : columns // 8]}  # fmt: skip
            coded = model(x, training=False)
            assert coded["x_hat"].shape == x[PICTURE].shape and coded["bits"].shape == x[PICTURE].shape[:1]
            found += [np.array(coded["x_hat"]), np.array(coded["bits"])]
        return found

    @staticmethod
    def check_answers(functions, recipe, config) -> None:
        """Codes scenes of awkward sizes: maps come back, and the numbers are those of the answers."""
        sizes = [(50, 67), (1, 1), (16, 32)]
        records = [scene_record("s", n, size) for n, size in enumerate(sizes)]
        features = scene_records.parse(tf.constant(records))
        pictures, maps = features[picture_records.ENCODED], features[scene_records.LABEL_MAP]
        masks = [np.zeros(size, np.uint8) for size in sizes]
        for mask, (rows, columns) in zip(masks, sizes, strict=True):
            mask[rows // 3 : rows // 2, columns // 4 :] = 9
        given = {"image_bytes": pictures, "label_map_bytes": maps,
                 "mask_bytes": tf.constant([png(m) for m in masks])}  # fmt: skip
        streams = functions["compress_selective"](**given)["bitstream_bytes"]
        assert np.array_equal(streams, functions["compress_selective"](**given)["bitstream_bytes"])
        decoded = functions["decompress"](bitstream_bytes=streams)["image_bytes"].numpy()
        found = functions["decompress_maps"](bitstream_bytes=streams)
        whole = functions["compress"](image_bytes=pictures)["bitstream_bytes"]
        drawn = functions["decompress"](bitstream_bytes=whole)["image_bytes"].numpy()
        for n, size in enumerate(sizes):
            assert np.array(Image.open(io.BytesIO(decoded[n]))).shape == (*size, 3)
            assert np.array(Image.open(io.BytesIO(drawn[n]))).shape == (*size, 3)
            label_map, mask = (scene_records.decode_map(found[k][n]).numpy() for k in ("label_map_bytes", "mask_bytes"))
            assert np.array_equal(label_map, scene_records.decode_map(maps[n]))
            blocks = np.pad(masks[n] > 0, [(0, -size[0] % 8), (0, -size[1] % 8)])
            blocks = blocks.reshape(len(blocks) // 8, 8, -1, 8).max((1, 3))
            assert np.array_equal(mask > 0, blocks.repeat(8, 0).repeat(8, 1)[: size[0], : size[1]])
        numbers = functions["serving_default"](examples=tf.constant(records))
        vectors = {"features", "features_of_original"}
        assert {m.name for m in recipe.evaluation.metrics} - {"fd"} == set(numbers) - vectors
        assert all(v.dtype == tf.float32 for v in numbers.values())
        assert all(v.shape == (3, 64, 64) if name in vectors else v.shape == (3, 1) for name, v in numbers.items())
        assert all((numbers["side_bpp"] < numbers["bpp"]).numpy())
