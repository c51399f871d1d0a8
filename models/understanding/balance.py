"""Where a joint training starts: the bits of its codec, and how large the gradients of its two tasks are."""

import tensorflow as tf


def at_start(model, batches: tf.data.Dataset) -> tuple[float, float]:
    """What a `models.understanding.joint.Joint` gives for a few batches (pixels, labels), in training.

    Returns:
      (bits a pixel; the norm of the cross-entropy's gradient by the latents over that of the distortion's).
    """
    rates, ratios = [], []
    for x, y in batches:
        latents, bits = model.code(x, True)
        with tf.GradientTape(persistent=True) as tape:
            tape.watch(latents)
            drawn = tf.cast(model.codec.synthesis(latents), tf.float32)
            seen = {"logits": model.pair.network(latents, training=False), "x_hat": drawn, "bits": bits}
            entropy, distortion, bpp, _ = model.parts(x, y, seen)
            entropy, distortion = tf.reduce_mean(entropy), tf.reduce_mean(distortion)
        norms = [float(tf.norm(tape.gradient(value, latents))) for value in (entropy, distortion)]
        rates.append(float(tf.reduce_mean(bpp)))
        ratios.append(norms[0] / max(norms[1], 1e-12))
    return sum(rates) / len(rates), sum(ratios) / len(ratios)
