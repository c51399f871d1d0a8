"""Models that are made from a recipe's configuration alone, and saved and loaded by it."""

import dataclasses

import keras

from models.contract.recipe import Config


class Configured(keras.Model):
    """A Keras model whose constructor takes a configuration; Keras' own files then hold that."""

    config_class = Config

    def __init__(self, config: Config, **kwargs):
        super().__init__(**kwargs)
        self.config = config

    def get_config(self):
        return {"config": dataclasses.asdict(self.config), "name": self.name}

    @classmethod
    def from_config(cls, config):
        """The inverse of `get_config`."""
        return cls(cls.config_class(**config["config"]), name=config["name"])
