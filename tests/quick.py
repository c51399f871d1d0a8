"""What processes of tests set, so that little is computed beside what is tested."""

import gc


def collect_rarely() -> None:
    """Graphs are millions of small objects that stay, and looking through them often takes a tenth of the time."""
    gc.set_threshold(50_000, 20, 100)


def run_as_traced() -> None:
    """Functions run without the optimiser, which takes longer than what most graphs of tests are run for.

    What is served is asked through TensorFlow's C library, which optimises as servers do but for codecs that are like
    others: see `Trained.served`. The serving check of every run optimises whatever it is.
    """
    import tensorflow as tf

    tf.config.optimizer.set_experimental_options({"disable_meta_optimizer": True})
