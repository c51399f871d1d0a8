"""Input pipeline of the codecs of clips: records -> runs of frames, or pairs of frames with a motion that is known."""

from collections.abc import Sequence

import tensorflow as tf

from models.codecs.inputs import to_float
from models.records import clips
from models.video import motion


def inputs(files: Sequence[str], config, training: bool) -> tf.data.Dataset:
    """Batches of runs, float32 [B, T, S, S, 3] in [0, 1], T frames one after the other; or, where motion alone is
    learned (`config.stage`), of ([B, 2, S, S, 3], [B, S, S, 3]): a reference and a frame, and where in the reference
    each of the frame's pixels was, pixels to the right and down, and whether it shows there (1 or 0).

    Training: endless, shuffled, random crops, seeded by `config.seed`. Validation: every record once, the last batch
    may be smaller. S is `config.crop_size`, T `config.clip_length`.

    Raises:
      FileNotFoundError: no files, or one is missing.
    """
    if config.stage != "flow":
        return clips.batches(files, config, training).map(to_float, 1, deterministic=True)
    side = config.crop_size
    stills = clips.frames(files, 1, side + side // 2, training=training, seed=config.seed).map(lambda run: run[0])
    pairs = motion.scenes(stills, side, 2, config.seed).map(
        lambda s: (s.frames, tf.concat([s.flows[0], tf.cast(s.visible[0], tf.float32)[..., None]], -1))
    )
    return pairs.batch(config.batch_size, drop_remainder=training).prefetch(1)
