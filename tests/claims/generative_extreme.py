"""The runs of generative compression (arXiv:1804.02958) for `tests.claims.generative`."""

import dataclasses
import json
import math
import pathlib
import time

import click
import keras
import numpy as np
import tensorflow as tf
from PIL import Image

from components.evaluation.aggregates import frechet
from models.contract import registry
from models.generative.perception import served
from models.training import loop
from tests.claims import packed_records
from tests.claims.feature_distance import squares
from tests.claims.generative_report import CHANNELS
from tests.claims.ledger import Ledger, folder_of

STEPS, SHORT_STEPS = 8000, 400  # of a game, of which a share is learnt without the critic
OPTIONS = {"filters": 16, "blocks": 3, "critic_channels": 16, "scales": 2, "crop_size": 64, "batch_size": 8,
           "plain_share": 0.25, "learning_rate": 4e-4, "average": 0.99}  # fmt: skip
_HELD, _SIDE = 8, 512
_PACKED = 1.0003  # that whole bytes take of log2(5) bits a symbol, and two bytes of a section's beginning and end


class Extreme:
    """Records and runs. The same network without a critic has as many updates of the generator."""

    def __init__(self, photos: str, test: str, work: str, ledger: Ledger, short: bool):
        self.work, self.ledger, self.steps = folder_of(work, short), ledger, SHORT_STEPS if short else STEPS
        self.work.mkdir(parents=True, exist_ok=True)
        x, self.whole = whole(photos), whole(test)
        labels = np.zeros(len(x), int)
        self.files = {
            split: packed_records.write(self.work / f"photos-{split}.gz", split, x[part], labels[part])
            for split, part in (("train", slice(-_HELD)), ("validation", slice(-_HELD, None)))
        }
        self.crops = squares(self.whole)[:: 2 if short else 1]
        self.real = served.of_pictures(self.crops)

    def seed(self, seed: int) -> None:
        """All runs of a seed that are not there."""
        for channels in CHANNELS:
            for adversarial in (True, False):
                self.run(channels, adversarial, seed)

    def run(self, channels: int, adversarial: bool, seed: int) -> None:
        """Trains one codec, unless its line is there, and measures it on crops, its streams on whole photographs."""
        name = f"{'GC' if adversarial else 'MSE only'}, C = {channels}"
        if (name, seed) in self.ledger.done:
            return
        keras.utils.clear_session()
        recipe, start = registry.get("extreme_gan"), time.monotonic()
        plain = int(self.steps * OPTIONS["plain_share"])
        steps = self.steps if adversarial else plain + (self.steps - plain) // 2
        own = {"latents": channels, "adversarial": adversarial, "seed": seed, "steps": steps,
               "steps_per_epoch": steps // 8}  # fmt: skip
        config = recipe.make_config("small", OPTIONS | own)
        folder = self.work / "runs" / f"{name}-{seed}".replace(" ", "")
        model = loop.train(recipe, config, [self.files["train"]], [self.files["validation"]],
                           work_dir=str(folder / "state"), log_dir=str(folder / "logs"), progress=False)  # fmt: skip
        seconds = time.monotonic() - start
        recipe, codec, config = recipe.served(model, config)
        row = self.measured(codec) | self.streams(recipe, codec, config)
        click.echo(json.dumps(self.ledger.add(dataclasses.asdict(config), seconds, run=name, seed=seed, **row)))

    def measured(self, codec: keras.Model) -> dict:
        """Mean PSNR over crops, of all together FD and sharpness, and shares of the five symbols."""
        drawn, symbols = [], []
        for n in range(0, len(self.crops), 64):
            x = tf.constant(self.crops[n : n + 64].astype("float32") / 255.0)
            drawn.append(np.rint(255.0 * np.clip(codec(x, training=False)["x_hat"], 0.0, 1.0)).astype(np.uint8))
            symbols.append(np.array(codec.symbols(x)))
        drawn = np.concatenate(drawn)
        error = np.square(self.crops.astype(np.float64) - drawn).mean(axis=(1, 2, 3))
        counts = np.bincount(np.concatenate(symbols).ravel(), minlength=5)
        return {
            "psnr": float(np.mean(10 * np.log10(255.0**2 / error))),
            "fd": frechet.between(served.of_pictures(drawn), self.real),
            "sharpness": energy(drawn) / energy(self.crops),
            "symbols": (counts / counts.sum()).round(4).tolist(),
        }

    def streams(self, recipe, codec, config) -> dict:
        """Bits of the coded symbols of whole photographs, their bound, and whether they come back."""
        payload = recipe.signatures(codec, config).payload
        bits, over, equal, area = 0, 0, 0, 0
        for picture in self.whole:
            (section,), symbols = payload.encode(tf.constant(picture), tf.constant(0))
            sides = tf.unstack(tf.constant(picture.shape[:2]))
            equal += bool(np.array_equal(payload.decode([section], *sides)[0], symbols))
            size, bound = len(section.numpy()), symbols.shape.num_elements() * math.log2(5)
            over += size > math.ceil(_PACKED * bound / 8) + 2
            bits, area = bits + 8 * size, area + sides[0].numpy() * sides[1].numpy()
        bound = config.latents * math.log2(5) / 256
        return {"bpp": bits / area, "bound": bound, "streams": len(self.whole), "over_bound": over,
                "symbols_equal": equal}  # fmt: skip


def energy(crops: np.ndarray) -> float:
    """Mean gradient energy: a ratio of means, since one of single flat crops has no bounds."""
    return float(np.mean(served.gradient_energy(tf.constant(crops))))


def whole(folder: str) -> np.ndarray:
    """All photographs of a folder that have 512 pixels a side, uint8 [N, 512, 512, 3]."""
    found = [np.asarray(Image.open(p).convert("RGB")) for p in sorted(pathlib.Path(folder).glob("*.png"))]
    return np.stack([p for p in found if p.shape[:2] == (_SIDE, _SIDE)])
