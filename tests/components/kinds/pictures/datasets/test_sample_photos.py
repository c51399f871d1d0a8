"""The photographs inside scikit-image: real pixels, no photograph in two splits, nothing downloaded."""

import itertools
import pathlib

import numpy as np
import skimage.data
import tensorflow_datasets as tfds

from components.kinds.pictures.datasets.sample_photos import sample_photos_dataset_builder as sample


class SamplePhotosBuilderTest(tfds.testing.DatasetBuilderTestCase):
    DATASET_CLASS = sample.Builder
    EXAMPLE_DIR = str(pathlib.Path(sample.__file__).parent)  # Not read: the photographs lie in scikit-image.
    SPLITS = {"train": 14, "validation": 3, "test": 4}


def test_crops_are_lossless_parts_of_the_photographs(tmp_path):
    builder = tfds.builder("sample_photos", data_dir=tmp_path)
    builder.download_and_prepare()
    crops = {example["id"].decode(): example["image"] for example in tfds.as_numpy(builder.as_dataset(split="test"))}
    assert sorted(crops) == ["camera_00", "chelsea_00", "coffee_00", "coffee_01"]
    np.testing.assert_array_equal(crops["chelsea_00"], skimage.data.chelsea())
    both = np.concatenate([crops["coffee_00"], crops["coffee_01"]], axis=1)
    np.testing.assert_array_equal(both, skimage.data.coffee())
    assert all(max(crop.shape) <= sample.MAX_SIDE for crop in crops.values())


def test_no_photograph_and_no_scene_lies_in_two_splits():
    scenes = {split: {name.rpartition("_l")[0] or name for name in names} for split, names in sample.SOURCES.items()}
    for one, other in itertools.combinations(scenes.values(), 2):
        assert not one & other
    assert {"motorcycle_left.png", "motorcycle_right.png"} <= set(sample.SOURCES["train"])
