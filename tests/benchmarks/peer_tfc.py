"""The scale hyperprior (arXiv:1802.01436) on TensorFlow Compression, timed; run by `bench_peer` in the peer's Python.

Knows nothing of this project: it needs tensorflow-compression 2.14.1 and TensorFlow 2.14.1, in an environment
of their own. Takes a job as JSON on the command line and prints {"train", "compress", "decompress"}, seconds.
"""

import json
import sys
import time

import numpy as np
import tensorflow as tf
import tensorflow_compression as tfc

SCALES, LOWEST, HIGHEST = 64, 0.11, 256.0


def convolution(filters, kernel=5, down=1, up=1, activation=None):
    """A layer of the peer; kernels of the hyper-synthesis and all others are stored as the peer's own model does."""
    return tfc.SignalConv2D(
        filters, kernel, corr=up == 1, strides_down=down, strides_up=up, padding="same_zeros", use_bias=True,
        activation=activation,
    )  # fmt: skip


class Hyperprior(tf.keras.Model):
    """The same layers as this project's recipe `hyperprior`."""

    def __init__(self, channels, latents):
        super().__init__()
        n, sequential = channels, tf.keras.Sequential
        self.analysis = sequential(
            [convolution(n, down=2, activation=tfc.GDN()) for _ in range(3)] + [convolution(latents, down=2)]
        )
        self.synthesis = sequential(
            [convolution(n, up=2, activation=tfc.GDN(inverse=True)) for _ in range(3)] + [convolution(3, up=2)]
        )
        relu = tf.nn.relu
        self.hyper_analysis = sequential(
            [convolution(n, 3, activation=relu), convolution(n, down=2, activation=relu), convolution(n, down=2)]
        )
        self.hyper_synthesis = sequential(
            [convolution(n, up=2, activation=relu), convolution(n, up=2, activation=relu), convolution(latents, 3)]
        )
        self.prior = tfc.NoisyDeepFactorized(batch_shape=(n,))
        step = np.log(HIGHEST / LOWEST) / (SCALES - 1)
        self.scale_of = lambda level: tf.exp(np.float32(np.log(LOWEST)) + np.float32(step) * level)

    def entropy_models(self, compression):
        """(of latents, of hyper-latents)."""
        return (
            tfc.LocationScaleIndexedEntropyModel(
                tfc.NoisyNormal, SCALES, self.scale_of, coding_rank=3, compression=compression
            ),
            tfc.ContinuousBatchedEntropyModel(self.prior, coding_rank=3, compression=compression),
        )

    def call(self, x, training=None):
        """Bits per pixel and mean squared error on [0, 1] pixels."""
        latents_model, side_model = self.entropy_models(False)
        y = 16.0 * self.analysis(x)
        z_hat, side_bits = side_model(self.hyper_analysis(abs(y) / 16.0), training=training)
        y_hat, bits = latents_model(y, 24.0 + self.hyper_synthesis(z_hat), training=training)
        error = tf.reduce_mean(tf.square(x - self.synthesis(y_hat / 16.0)))
        pixels = tf.cast(tf.reduce_prod(tf.shape(x)[:-1]), tf.float32)
        return (tf.reduce_sum(bits) + tf.reduce_sum(side_bits)) / pixels, error


def median_seconds(call, runs):
    """Median wall clock after one call to warm up."""
    call()
    taken = []
    for _ in range(runs):
        start = time.perf_counter()
        call()
        taken.append(time.perf_counter() - start)
    return float(np.median(taken))


def main():
    """Measures and prints."""
    job = json.loads(sys.argv[1])
    for setter in (tf.config.threading.set_intra_op_parallelism_threads,
                   tf.config.threading.set_inter_op_parallelism_threads):  # fmt: skip
        setter(job["threads"])
    picture = tf.io.decode_image(tf.io.read_file(job["picture"]), channels=3)
    model, optimizer = Hyperprior(job["channels"], job["latents"]), tf.keras.optimizers.Adam(1e-4)
    batch = tf.stack([picture[o : o + 256, 2 * o : 2 * o + 256] for o in range(0, 256, 32)])
    batch = tf.cast(batch, tf.float32) / 255.0

    @tf.function
    def step():
        with tf.GradientTape() as tape:
            bpp, error = model(batch, training=True)
            loss = bpp + 0.0067 * 255.0**2 * error
        variables = model.trainable_variables
        gradients, _ = tf.clip_by_global_norm(tape.gradient(loss, variables), 1.0)
        optimizer.apply_gradients(zip(gradients, variables, strict=True))
        return loss

    seconds = {"train": median_seconds(lambda: step().numpy(), job["runs"])}
    latents_model, side_model = model.entropy_models(True)
    shape = [picture.shape[0] // 16, picture.shape[1] // 16]

    def encode(pixels):
        y = 16.0 * model.analysis(tf.cast(pixels[None], tf.float32) / 255.0)
        z = model.hyper_analysis(abs(y) / 16.0)
        levels = 24.0 + model.hyper_synthesis(side_model.quantize(z))
        return latents_model.compress(y, levels), side_model.compress(z)

    def decode(string, side):
        z_hat = side_model.decompress(side, [shape[0] // 4, shape[1] // 4])
        y_hat = latents_model.decompress(string, 24.0 + model.hyper_synthesis(z_hat))
        return tf.saturate_cast(tf.round(255.0 * model.synthesis(y_hat / 16.0)[0]), tf.uint8)

    # Files in and out, as this project's served functions have them.
    compress = tf.function(lambda file: encode(tf.io.decode_png(file, channels=3)))
    decompress = tf.function(lambda string, side: tf.io.encode_png(decode(string, side)))
    file = tf.io.encode_png(picture)
    strings = compress(file)
    seconds["compress"] = median_seconds(lambda: compress(file)[0].numpy(), job["runs"])
    seconds["decompress"] = median_seconds(lambda: decompress(*strings).numpy(), job["runs"])
    print(json.dumps(seconds))


if __name__ == "__main__":
    main()
