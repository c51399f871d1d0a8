"""The served form of a learned algorithm: `multiply`, which applies it to matrices by recursion."""

import functools

import tensorflow as tf

from models.publishing import export
from models.records import matrices as matrix_records
from models.strassen.algorithm import Algorithm

_FORM = "recursion, padded with zeros, 1"


def plan(sizes: tuple[int, int, int], algorithm: tuple[int, int, int], leaf, levels: int):
    """How often a product of sizes [m, k] by [k, n] is divided, and into blocks of which sizes.

    Args:
      sizes: numbers or scalar tensors, int32. algorithm: its own sizes; leaf: blocks are divided while their least
        side is above this. levels: the most divisions.

    Returns:
      (number of divisions, int32; sizes of the last blocks, int32 [3]). All blocks together are the matrices, padded.
    """
    steps = tf.constant(algorithm, tf.int32)

    def goes_on(depth, blocks):
        return tf.logical_and(depth < levels, tf.reduce_min(blocks) > leaf)

    def divided(depth, blocks):
        return depth + 1, -(-blocks // steps)

    return tf.while_loop(goes_on, divided, (tf.constant(0), tf.stack(sizes)))


class BilinearServer(tf.Module):
    """Holds an algorithm and the served functions in `functions`.

    Args:
      model: what was trained, for the fingerprint. algorithm: what it found. leaf, levels: as of `plan`.
    """

    def __init__(self, model, config, algorithm: Algorithm):
        super().__init__(name="bilinear")
        self.sizes, self.leaf, self.levels = algorithm.sizes, config.leaf, config.levels
        self.products = algorithm.products
        self.exact = algorithm.wrong == 0
        self.a, self.b, self.c = (tf.constant(v, tf.float32) for v in (algorithm.a, algorithm.b, algorithm.c))
        self.fingerprint = export.fingerprint_of(_FORM, model, config)
        graph = functools.partial(tf.function, autograph=False)
        batch = [None, None, None]
        specs = [tf.TensorSpec(batch, tf.float32, "a"), tf.TensorSpec(batch, tf.float32, "b")]
        self._one = graph(self.product, [tf.TensorSpec([None, None], tf.float32)] * 2)
        self.functions = {
            "multiply": graph(self.multiply, specs),
            "serving_default": graph(self.evaluate, [tf.TensorSpec([None], tf.string, "examples")]),
        }

    def multiply(self, a: tf.Tensor, b: tf.Tensor) -> dict[str, tf.Tensor]:
        """a float32 [B, m, k], b float32 [B, k, n] -> their products by the algorithm.

        Returns:
          "product": float32 [B, m, n]; "multiplications": int64 [B], of numbers, that each took.

        Raises:
          tf.errors.InvalidArgumentError: the two cannot be multiplied.
        """
        fits = [tf.debugging.assert_equal(tf.shape(a)[i], tf.shape(b)[i - 1 + (i == 0)], _REFUSED) for i in (0, 2)]
        with tf.control_dependencies(fits):
            product, count = self._multiplied(tf.identity(a), b)
        return {"product": product, "multiplications": tf.fill(tf.shape(a)[:1], count)}

    def product(self, left: tf.Tensor, right: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """The product of one pair [m, k] and [k, n], and the multiplications that it took."""
        product, count = self._multiplied(left[None], right[None])
        return product[0], count

    def evaluate(self, examples: tf.Tensor) -> dict[str, tf.Tensor]:
        """Serialised records, string [B] -> numbers of each, float32 [B, 1].

        error is the largest difference from the product in double precision over the largest entry of that; share the
        multiplications over those of the plain product; exact whether the algorithm is one.
        """

        def measured(record):
            left, right = matrix_records.parse(record)
            product, count = self._one(left, right)
            wanted = tf.matmul(tf.cast(left, tf.float64), tf.cast(right, tf.float64))
            error = tf.reduce_max(tf.abs(tf.cast(product, tf.float64) - wanted)) / tf.reduce_max(tf.abs(wanted))
            plain = tf.size(left, tf.int64) * tf.shape(right, tf.int64)[1]
            return tf.stack([tf.cast(error, tf.float32), tf.cast(count / plain, tf.float32)])

        numbers = tf.map_fn(measured, examples, fn_output_signature=tf.TensorSpec([2], tf.float32))
        exact = tf.fill([tf.shape(examples)[0], 1], 1.0 if self.exact else 0.0)
        return {"error": numbers[:, :1], "share": numbers[:, 1:], "exact": exact}

    def _multiplied(self, a: tf.Tensor, b: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Products of a batch, and how many multiplications one of them took, int64."""
        batch, m, k = tf.unstack(tf.shape(a))
        n = tf.shape(b)[2]
        depth, blocks = plan((m, k, n), self.sizes, self.leaf, self.levels)
        sm, sk, sn = self.sizes
        left = self._divided(a, (sm, sk), (blocks[0], blocks[1]), depth, self.a)
        right = self._divided(b, (sk, sn), (blocks[1], blocks[2]), depth, self.b)
        count = tf.size(left, tf.int64) // tf.cast(tf.maximum(batch, 1), tf.int64) * tf.cast(blocks[2], tf.int64)
        joined = self._joined(tf.matmul(left, right), (sm, sn), depth)
        return tf.reshape(joined, [batch, *tf.unstack(tf.shape(joined)[1:])])[:, :m, :n], count

    @staticmethod
    def _divided(x: tf.Tensor, by: tuple[int, int], block, depth: tf.Tensor, weights: tf.Tensor) -> tf.Tensor:
        """[B, R, C], padded to blocks of blocks, -> [B r^depth, *block]: at each level the sums of its blocks."""
        sides = [side * by_**depth for side, by_ in zip(block, by, strict=True)]
        padding = [[0, 0], *([0, side - tf.shape(x)[i + 1]] for i, side in enumerate(sides))]

        def level(x):
            count, rows, columns = tf.unstack(tf.shape(x))
            split = tf.reshape(x, [count, by[0], rows // by[0], by[1], columns // by[1]])
            split = tf.reshape(tf.transpose(split, [0, 1, 3, 2, 4]), [count, by[0] * by[1], -1])
            sums = tf.einsum("rx,bxe->bre", weights, split)
            return tf.reshape(sums, [count * weights.shape[0], rows // by[0], columns // by[1]])

        return _repeated(level, tf.pad(x, padding), depth)

    def _joined(self, x: tf.Tensor, by: tuple[int, int], depth: tf.Tensor) -> tf.Tensor:
        """[B r^depth, m, n] -> [B, ...]: at each level the products make the blocks of one matrix."""

        def level(x):
            count, rows, columns = tf.unstack(tf.shape(x))
            count = count // self.products
            blocks = tf.einsum("zr,bre->bze", self.c, tf.reshape(x, [count, self.products, -1]))
            blocks = tf.reshape(blocks, [count, by[0], by[1], rows, columns])
            return tf.reshape(tf.transpose(blocks, [0, 1, 3, 2, 4]), [count, by[0] * rows, by[1] * columns])

        return _repeated(level, x, depth)


_REFUSED = "a [B, m, k] and b [B, k, n] are wanted"


def _repeated(level, x: tf.Tensor, depth: tf.Tensor) -> tf.Tensor:
    """Applies `level`, which changes the shape, so many times."""
    shapes = (tf.TensorShape([]), tf.TensorShape([None, None, None]))
    return tf.while_loop(
        lambda i, _: i < depth, lambda i, x: (i + 1, level(x)), (tf.constant(0), x), shape_invariants=shapes
    )[1]
