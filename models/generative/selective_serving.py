"""Selective compression as it is served: a picture, its labels and what to preserve in; one stream, and all back."""

import functools
import types

import numpy as np
import tensorflow as tf

from models.codecs import distortion
from models.codecs.serving import picture_files as pictures
from models.codecs.serving.picture_files import in_tiles
from models.codecs.serving.server import PictureServer, each, fingerprint, numbers_beside
from models.entropy.coder import container, label_maps
from models.entropy.coder.bit_fields import require
from models.entropy.coder.symbol_coder import SymbolCoder, counts_of
from models.generative.perception.served import SPECS, outputs
from models.generative.selective_inputs import PART, middle, parts
from models.layers.padding import pad_to_multiple
from models.publishing import export
from models.records import pictures as picture_records
from models.records import scenes as scene_records

_FORMAT = "symbols of five centres where preserved, heat map, labels"
_FINER = 2  # positions of symbols for one of the generator's, each way


class SelectivePayload(tf.Module):
    """A trained codec and its coder, as `models.codecs.serving.server.Payload`.

    Sections: symbols of what is preserved; heat map; labels. Decoded is one vector, int32: heat map [h, w], symbols
    [h, w, C], zeros where nothing is preserved, labels [H, W].
    """

    section_count, variable, chooses, measures = 3, False, False, ()

    def __init__(self, model, config):
        super().__init__(name="payload")
        self.model, self.config, self.stride = model, config, model.stride
        self.tables = types.MappingProxyType(model.tables or counts_of(np.array(model.quantizer.usage)))
        self.coder = SymbolCoder(self.tables, config.latents)
        self.fingerprint, self.reads = export.fingerprint_of(_FORMAT, model, config, self.tables), model.reads
        graph = functools.partial(tf.function, autograph=False)
        depth = _FINER**2 * (config.latents + 1) + self.stride**2
        self._analyse_tile = graph(self.analyse_tile, [tf.TensorSpec([1, None, None, 3], tf.uint8)])
        self._draw_tile = graph(self.draw_tile, [tf.TensorSpec([1, None, None, depth], tf.float32)])

    def encode(self, pixels: tf.Tensor, step: tf.Tensor) -> tuple[list[tf.Tensor], tf.Tensor]:
        """Sections and values of a picture alone: it is preserved whole, and no pixel has a class."""
        sides = tf.shape(pixels)[:2]
        nothing = tf.fill(sides, tf.constant(scene_records.VOID, tf.uint8))
        return self.encode_scene(pixels, nothing, tf.ones(sides, tf.bool))

    def encode_scene(
        self, pixels: tf.Tensor, labels: tf.Tensor, preserved: tf.Tensor
    ) -> tuple[list[tf.Tensor], tf.Tensor]:
        """Sections and values of uint8 pixels [H, W, 3] with labels uint8 and what is preserved bool, [H, W]."""
        rows, columns = self._sides(*tf.unstack(tf.shape(pixels)[:2]))
        found = in_tiles(self._analyse_tile, pixels, rows, columns, scale_in=self.stride, scale_out=_FINER,
                         tile=self.model.tile, halo=self.model.halo, channels=self.config.latents,
                         dtype=tf.float32)  # fmt: skip
        missing = tf.stack([self.stride * rows, self.stride * columns]) - tf.shape(preserved)
        heat = tf.cast(parts(tf.pad(preserved, [[0, missing[0]], [0, missing[1]]])), tf.int32)
        symbols, labels = tf.cast(found, tf.int32), tf.cast(labels, tf.int32)
        section = self.coder.encode(tf.boolean_mask(symbols, heat > 0), tf.shape(heat)[1])
        symbols *= heat[..., None]
        sections = [section, label_maps.write(heat), label_maps.write(labels)]
        return sections, tf.concat([tf.reshape(v, [-1]) for v in (heat, symbols, labels)], 0)

    def decode(self, sections: list[tf.Tensor], height: tf.Tensor, width: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """The vector, twice; see `Payload`."""
        rows, columns = (_FINER * side for side in self._sides(height, width))
        labels = label_maps.read(sections[2], height, width, scene_records.VOID + 1)
        heat = label_maps.read(sections[1], rows, columns, 2)
        places = tf.where(tf.reshape(heat, [-1]) > 0)
        symbols = self.coder.decode(sections[0], tf.shape(places)[0], columns)
        symbols = tf.tensor_scatter_nd_update(
            tf.zeros([rows * columns, self.config.latents], tf.int32), places, symbols
        )
        values = tf.concat([tf.reshape(v, [-1]) for v in (heat, symbols, labels)], 0)
        return values, values

    def parts_of(self, decoded: tf.Tensor, height: tf.Tensor, width: tf.Tensor) -> tuple[tf.Tensor, ...]:
        """Heat map [h, w], symbols [h, w, C] and labels [H, W], int32, of a decoded vector."""
        rows, columns = (_FINER * side for side in self._sides(height, width))
        area, depth = rows * columns, self.config.latents
        heat, symbols, labels = tf.split(decoded, tf.stack([area, area * depth, height * width]))
        return (tf.reshape(heat, [rows, columns]), tf.reshape(symbols, [rows, columns, depth]),
                tf.reshape(labels, [height, width]))  # fmt: skip

    def draw(self, decoded: tf.Tensor, height: tf.Tensor, width: tf.Tensor, step: tf.Tensor) -> tf.Tensor:
        """uint8 pixels [height, width, 3] of a decoded vector, see `Payload`."""
        heat, symbols, labels = self.parts_of(decoded, height, width)
        fine = tf.nn.space_to_depth(tf.concat([heat[..., None], symbols], -1)[None], _FINER)
        of_pixels = tf.nn.space_to_depth(pad_to_multiple(labels[..., None], self.stride)[None], self.stride)
        values = tf.cast(tf.concat([fine, of_pixels], -1)[0], tf.float32)
        drawn = in_tiles(self._draw_tile, values, *self._sides(height, width), scale_in=1, scale_out=self.stride,
                         tile=self.model.tile, halo=self.model.halo, channels=3, dtype=tf.uint8)  # fmt: skip
        return drawn[:height, :width]

    def measure(self, *given) -> tuple:
        """Nothing; `SelectiveServer` measures."""
        return ()

    def analyse_tile(self, pixels: tf.Tensor) -> tf.Tensor:
        """uint8 [1, H, W, 3] -> symbols [1, H/8, W/8, C] float32, of sides continued to multiples of 16."""
        x = tf.cast(pad_to_multiple(pixels[0], self.stride)[None], tf.float32) / 255.0
        return tf.cast(self.model.symbols(x), tf.float32)

    def draw_tile(self, values: tf.Tensor) -> tf.Tensor:
        """What `draw` has for each of the generator's positions, [1, h, w, D] float32 -> uint8 [1, 16h, 16w, 3]."""
        fine, of_pixels = tf.split(values, [_FINER**2 * (self.config.latents + 1), self.stride**2], -1)
        fine = tf.nn.depth_to_space(fine, _FINER)
        labels = tf.cast(tf.nn.depth_to_space(of_pixels, self.stride)[..., 0], tf.int32)
        x = self.model.draw_symbols(tf.cast(fine[..., 1:], tf.int32), fine[..., 0], labels)
        return tf.cast(tf.round(255.0 * tf.clip_by_value(x, 0.0, 1.0)), tf.uint8)

    def _sides(self, height: tf.Tensor, width: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Pixels to the generator's positions."""
        return tuple((side + self.stride - 1) // self.stride for side in (height, width))


class SelectiveServer(PictureServer):
    """As `PictureServer`, with `compress_selective` and `decompress_maps`; records are those of scenes."""

    def __init__(self, payload: SelectivePayload):
        super().__init__(payload)
        graph = functools.partial(tf.function, autograph=False)
        names = ("image_bytes", "label_map_bytes", "mask_bytes")
        self._code_scene = graph(self.code_scene, [tf.TensorSpec([], tf.string)] * 3)
        scenes = [tf.TensorSpec([None], tf.string, name) for name in names]
        self.functions["compress_selective"] = graph(self.compress_selective, scenes)
        streams = tf.TensorSpec([None], tf.string, "bitstream_bytes")
        self.functions["decompress_maps"] = graph(self.decompress_maps, [streams])

    def compress_selective(self, image_bytes: tf.Tensor, label_map_bytes: tf.Tensor, mask_bytes: tf.Tensor) -> dict:
        """{"bitstream_bytes": string [B]} of pictures, their labels and what is preserved.

        Args:
          image_bytes: string [B] (PNG, JPEG, BMP).
          label_map_bytes: string [B], PNGs of 8-bit grey of the same sizes: classes, or 255 for none.
          mask_bytes: likewise; what is not 0 is preserved, in squares of 8 pixels a side.

        Raises:
          tf.errors.InvalidArgumentError: sizes differ, or a class is beyond those of the training.
        """
        return {"bitstream_bytes": each(lambda one: self._code_scene(*one), (image_bytes, label_map_bytes, mask_bytes))}

    def code_scene(self, encoded: tf.Tensor, label_map: tf.Tensor, mask: tf.Tensor) -> tf.Tensor:
        """The stream of one scene, string scalars."""
        pixels, flags, plane = pictures.read_picture(encoded)
        sides = tf.shape(pixels)[:2]
        labels, kept = (scene_records.decode_map(text) for text in (label_map, mask))
        return self.pack(pixels, flags, plane, _of_size(labels, sides, "label map"), _of_size(kept, sides, "mask") > 0)

    def pack(self, pixels, flags, plane, labels: tf.Tensor, preserved: tf.Tensor) -> tf.Tensor:
        """The stream of a decoded scene: as of `pictures.read_picture`, labels uint8 and what is preserved bool [H, W].

        Raises:
          tf.errors.InvalidArgumentError: a class is beyond those of the training.
        """
        known = tf.reduce_all((labels < self.payload.config.classes) | tf.equal(labels, scene_records.VOID))
        message = f"a label map may hold classes below {self.payload.config.classes}, and 255 for none"
        with tf.control_dependencies([require(known, message)]):
            sections, values = self.payload.encode_scene(pixels, tf.identity(labels), preserved)
        sides = tf.unstack(tf.shape(pixels)[:2])
        of_picture = fingerprint(values, numbers_beside(*sides, flags, plane))
        return container.pack(*sides, flags, of_picture, tf.constant(self.fingerprint, tf.int64), [*sections, plane])

    def decompress_maps(self, bitstream_bytes: tf.Tensor) -> dict[str, tf.Tensor]:
        """{"label_map_bytes", "mask_bytes"} that streams string [B] hold, as `compress_selective` takes them."""

        def one(stream):
            decoded, sides, _, _ = self._read(stream)
            heat, _, labels = self.payload.parts_of(decoded, *sides)
            mask = 255 * tf.repeat(tf.repeat(heat, PART, 0), PART, 1)[: sides[0], : sides[1]]
            maps = {"label_map_bytes": labels, "mask_bytes": mask}
            return {name: tf.io.encode_png(tf.cast(values, tf.uint8)[..., None]) for name, values in maps.items()}

        text = tf.TensorSpec([], tf.string)
        specs = {"label_map_bytes": text, "mask_bytes": text}
        return tf.map_fn(one, bitstream_bytes, fn_output_signature=specs, parallel_iterations=1)

    def evaluate(self, examples: tf.Tensor) -> dict[str, tf.Tensor]:
        """Really codes and decodes scenes, a box of a quarter in the middle preserved: string [B] -> float32 [B, 1].

        "bpp" counts all bits of the stream, "side_bpp" those of labels and heat map; "inside_psnr_db" is of what is
        preserved, "psnr_db" and "ms_ssim" of the whole, and so is what `models.generative.perception` gives.
        """
        features = scene_records.parse(examples)
        pairs = features[picture_records.ENCODED], features[scene_records.LABEL_MAP]
        names = ("bpp", "side_bpp", "inside_psnr_db", "psnr_db", "ms_ssim")
        specs = SPECS | {"numbers": tf.TensorSpec([len(names)], tf.float32)}
        found = tf.map_fn(lambda e: self._measured(*e), pairs, fn_output_signature=specs, parallel_iterations=1)
        numbers = found.pop("numbers")
        return {name: numbers[:, i : i + 1] for i, name in enumerate(names)} | found

    def _measured(self, encoded: tf.Tensor, label_map: tf.Tensor) -> dict[str, tf.Tensor]:
        pixels, flags, plane = pictures.read_picture(encoded)
        height, width = tf.unstack(tf.shape(pixels)[:2])
        heat = middle(*(-(-side // PART) for side in (height, width)))
        preserved = tf.repeat(tf.repeat(heat, PART, 0), PART, 1)[:height, :width] > 0
        labels = scene_records.decode_map(label_map)
        labels = tf.where(labels < self.payload.config.classes, labels, scene_records.VOID)
        stream = self.pack(pixels, flags, plane, labels, preserved)
        decoded, sides, flags, _ = self._read(stream)
        drawn = self.draw(decoded, sides, flags)
        heat, _, labels = self.payload.parts_of(decoded, *sides)
        area = tf.cast(height * width, tf.float32)
        side = tf.strings.length(label_maps.write(heat)) + tf.strings.length(label_maps.write(labels))
        error = tf.reduce_mean(tf.square(tf.cast(pixels, tf.float32) - tf.cast(drawn, tf.float32)), -1)
        inside = tf.reduce_mean(tf.boolean_mask(error, preserved))
        numbers = (8.0 * tf.cast(tf.strings.length(stream), tf.float32) / area, 8.0 * tf.cast(side, tf.float32) / area,
                   10.0 * tf.math.log(255.0**2 / tf.maximum(inside, 255.0**2 * 1e-10)) / tf.math.log(10.0),
                   distortion.psnr_db(pixels[None], drawn[None])[0],
                   distortion.ms_ssim(pixels[None], drawn[None])[0])  # fmt: skip
        return {"numbers": tf.stack(numbers), **outputs(pixels, drawn)}


def _of_size(values: tf.Tensor, sides: tf.Tensor, name: str) -> tf.Tensor:
    """A map, which must have a picture's sides."""
    same = require(tf.reduce_all(tf.equal(tf.shape(values), sides)), f"the {name} must have the picture's sides", sides)
    with tf.control_dependencies([same]):
        return tf.identity(values)
