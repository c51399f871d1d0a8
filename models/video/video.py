"""What the codecs of clips have in common: options, the frames of a run one after the other, the loss of each phase.

    frame, reference --flow--> motion --codec--> motion^ --warp reference--> warped --compensation--> predicted
    frame - predicted --codec--> residual^;  predicted + residual^ --[enhancement]--> decoded, the next reference

Loss = bits per pixel + lmbda * 255^2 * MSE on [0, 1] pixels (arXiv:1812.00101, eq. 1). The first frame of a group is a
picture of an image codec of ours, which stays as it is.
"""

import math
import types

import keras
from keras import ops

from models.codecs import chosen, codec
from models.codecs.edic import Edic, EdicConfig
from models.codecs.hyperprior import Hyperprior
from models.contract.configured import Configured
from models.contract.example_weights import weighed
from models.contract.precision import policy_of
from models.layers import haar
from models.layers.enhancement import Enhancement
from models.layers.padding import pad_to_multiple
from models.video import networks
from models.video.options import VideoConfig

STRIDE = 16  # pixels a latent, each way; frames are continued to multiples of it
LEVEL_WEIGHT = 0.5  # of the error of a flow, for each level below the finest


@keras.saving.register_keras_serializable("kompakt")
class VideoCodec(Configured):
    """A codec of clips to train.

    `call` takes runs of frames [B, T, H, W, 3] float32 in [0, 1], T at least 2, and returns for those behind the first
    {"decoded", "warped", "predicted": [B, T-1, H, W, 3] float32, not clipped; "motion_bits", "residual_bits": [B]
    float32, bits of the run; "lmbda": [B] float32}; where only motion is learned {"flows": of all levels}. In the joint
    stage each frame's reference is the decoded one before it, before that the frame itself.

    Attributes:
      intra: the image codec, which does not learn. flow: None, or finds motion. motion: None, or codes it.
      compensation, enhancement: None, or networks. residual: codes what is not predicted.

    Raises:
      ConfigError: there is no such image codec.
    """

    config_class = VideoConfig

    def __init__(self, config: VideoConfig, **kwargs):
        super().__init__(config, **kwargs)
        self.intra = chosen.built("intra", config.intra, config.intra_about)
        self.intra.trainable = False
        self.flow = self.motion = self.compensation = self.enhancement = None
        shared = {"lmbda": config.lmbda, "rates": config.rates, "quantisation": config.quantisation}
        if config.motion:
            self.flow = networks.FlowPyramid(config.flow_width, config.flow_kernel, config.flow_levels, name="flow")
            width = config.motion_channels if config.motion_codec else 2
            of_motion = codec.CodecConfig(channels=width, latents=width, seed=config.seed, **shared)
            self.motion = (networks.MotionCodec if config.motion_codec else networks.RawMotion)(of_motion)
        if config.compensation:
            self.compensation = networks.Compensation(config.compensation_channels, name="compensation")
        self.residual = _residual_codec(config, shared | {"seed": config.seed + 1})
        if config.enhancement != "off":
            factor = {"half": 2, "full": 1}[config.enhancement]
            self.enhancement = Enhancement(config.enhancement_filters, factor, name="enhancement")
        self.trackers = [keras.metrics.Mean(name=n) for n in self._measured()]
        self.reads = ()

    def build(self, input_shape):
        """Makes all variables; the networks are called one by one, so that nothing need be run for them."""
        if self.compensation is not None:
            self.compensation.build()
        if self.enhancement is not None:
            self.enhancement.build((None, None, None, 3))
        for name in ("motion", "residual"):
            if (part := getattr(self, name)) is None:
                continue
            width = part.config.latents if name == "motion" else part.config.channels
            part.prior.build((None, None, None, width))
            for layer in (part, *([part.gain_units] if part.gain_units is not None else [])):
                layer.built = True
        if self.flow is not None:
            self.flow.built = True
        self.built = True

    def get_build_config(self):
        return {"input_shape": None}

    def build_from_config(self, config):
        self.build(None)

    def _measured(self) -> tuple[str, ...]:
        """Names of what is told of a training."""
        if self.config.stage == "flow":
            return ("endpoint_error",)
        return ("bpp", "motion_bpp", "psnr", "predicted_psnr", "warped_psnr")

    def parts(self) -> dict:
        """The codecs within, by the name that their tables begin with."""
        found = {"intra": self.intra, "motion": self.motion, "residual": self.residual}
        return {name: part for name, part in found.items() if part is not None}

    @property
    def tables(self):
        """Integers by name of those codecs within that have them, or None."""
        given = {n: getattr(part, "tables", None) or {} for n, part in self.parts().items()}
        return {f"{n} {key}": values for n, tables in given.items() for key, values in tables.items()} or None

    @tables.setter
    def tables(self, tables):
        for name, part in self.parts().items():
            own = {k.removeprefix(f"{name} "): v for k, v in (tables or {}).items() if k.startswith(f"{name} ")}
            if own:
                part.tables = types.MappingProxyType(own)  # no dict: Keras would look for layers in it

    def first(self, x, rate):
        """Pictures [B, H, W, 3], sides multiples of 16, as the image codec draws them at rate points [B]; 8 bits."""
        gain_units = getattr(self.intra, "gain_units", None)
        if gain_units is None:
            drawn = self.intra(x, training=False)["x_hat"]
        else:
            gain, inverse = gain_units.gains(self.intra_rate(rate))
            y_hat, _ = self.intra.code(ops.cast(self.intra.analysis(x), "float32") * gain, False)
            drawn = self.intra.synthesis(y_hat * inverse)
        return ops.stop_gradient(to_8_bits(drawn))

    def intra_rate(self, rate):
        """Rate points of the image codec, float32, at those of the clip's, any shape."""
        last = self.intra.config.rates - 1.0
        offset = math.log2(max(self.config.intra_factor * self.config.lmbda, 1e-9) / self.intra.config.lmbda)
        return ops.clip(offset + rate - (self.config.rates - 1.0) + last, 0.0, last)

    def find(self, frame, reference):
        """Motion latents before rounding, [B, h, w, M] float32, of frames and references [B, H, W, 3]."""
        return ops.cast(self.motion.analysis(self.flow(frame, reference)[-1]), "float32")

    def predict(self, reference, flow):
        """(warped, predicted), [B, H, W, 3] float32, of references and decoded flows (None without motion)."""
        warped = reference if flow is None else networks.warp(reference, flow)
        return warped, warped if self.compensation is None else self.compensation(warped, reference)

    def decoded_flow(self, latents):
        """Flows [B, H, W, 2] float32 of decoded latents of motion, gains taken off."""
        return ops.cast(self.motion.synthesis(latents), "float32")

    def finish(self, predicted, latents):
        """Decoded frames, not clipped, of predicted ones and decoded latents of the residual, gains taken off."""
        decoded = predicted + ops.cast(self.residual.synthesis(latents), "float32")
        return decoded if self.enhancement is None else ops.cast(self.enhancement(decoded), "float32")

    def call(self, x, training=None):
        """Codes and decodes runs of frames, see the class."""
        stage, training = self.config.stage, bool(training)
        height, width = ops.shape(x)[2:4]
        frames = pad_to_multiple(ops.cast(x, "float32"), STRIDE)
        if stage == "flow":
            return {"flows": self.flow(frames[:, 1], frames[:, 0])}
        joint, length = stage == "joint", frames.shape[1]
        rate = self.residual.rate_points(ops.shape(x)[0], training)
        reference = self.first(frames[:, 0], rate) if joint else frames[:, 0]
        coded = []
        for t in range(1, length):
            coded.append(self._frame(frames[:, t], reference, rate, training))
            reference = ops.clip(coded[-1]["decoded"], 0.0, 1.0) if joint else frames[:, t]
        found = {n: sum(c[n] for c in coded) for n in ("motion_bits", "residual_bits")}
        for name in ("decoded", "warped", "predicted"):
            found[name] = ops.stack([c[name] for c in coded], 1)[:, :, :height, :width]
        return found | {"lmbda": self.residual.lmbda_at(rate)}

    def _frame(self, frame, reference, rate, training: bool) -> dict:
        """One frame by its reference, [B, H, W, 3], at rate points [B]; as `call` returns of all."""
        flow, motion_bits = None, ops.zeros_like(rate)
        if self.motion is not None:
            latents, motion_bits = self._coded(self.motion, self.find(frame, reference), rate, training)
            flow = self.decoded_flow(latents)
        warped, predicted = self.predict(reference, flow)
        if self.config.stage != "joint":
            return {"decoded": predicted, "warped": warped, "predicted": predicted, "motion_bits": motion_bits,
                    "residual_bits": ops.zeros_like(rate)}  # fmt: skip
        y = ops.cast(self.residual.analysis(frame - predicted), "float32")
        latents, bits = self._coded(self.residual, y, rate, training)
        return {"decoded": self.finish(predicted, latents), "warped": warped, "predicted": predicted,
                "motion_bits": motion_bits, "residual_bits": bits}  # fmt: skip

    @staticmethod
    def _coded(part: codec.Codec, y, rate, training: bool):
        """(decoded latents, gains taken off, bits [B]) of a part's latents."""
        gain, inverse = (1.0, 1.0) if part.gain_units is None else part.gain_units.gains(rate)
        y_hat, bits = part.code(y * gain, training and part.config.quantisation != "rounded")
        return y_hat * inverse, bits

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        """The loss of the stage over weighed examples, scalar: bits per pixel, or pixels of a flow's error."""
        if self.config.stage == "flow":
            return ops.mean(weighed(flow_loss(y, y_pred["flows"]), sample_weight))
        frames, lmbda = ops.cast(x, "float32")[:, 1:], y_pred["lmbda"]
        error = mse(frames, y_pred["predicted" if self.config.stage == "compensation" else "decoded"])
        if self.config.stage == "motion":
            error = mse(frames, y_pred["warped"])
        if self.config.stage == "joint" and self.config.supervision:
            error += self.config.supervision * (mse(frames, y_pred["warped"]) + mse(frames, y_pred["predicted"]))
        # Rate points are weighed as of the image codecs.
        weights = ops.sqrt(self.residual.lmbda_at((self.config.rates - 1.0) / 2.0) / lmbda)
        return ops.mean(weighed(weights * (_bpp(frames, y_pred) + lmbda * 255.0**2 * error), sample_weight))

    def compute_metrics(self, x, y, y_pred, sample_weight=None):
        """Means over the examples of what the stage is about: bits a pixel, PSNR in dB, or pixels of a flow's error."""
        if self.config.stage == "flow":
            values = [endpoint_error(y, y_pred["flows"][-1])]
        else:
            frames = ops.cast(x, "float32")[:, 1:]
            values = [_bpp(frames, y_pred), _bpp(frames, y_pred, ("motion_bits",))]
            for name in ("decoded", "predicted", "warped"):
                values.append(-10.0 * ops.log10(ops.maximum(mse(frames, y_pred[name]), 1e-10)))
        for tracker, value in zip(self.trackers, values, strict=True):
            tracker.update_state(value)
        return self.get_metrics_result()


def _residual_codec(config: VideoConfig, shared: dict) -> codec.Codec:
    """EDIC's, where one of its parts is asked for, else a scale hyperprior."""
    sizes = {"channels": config.channels, "latents": config.latents}
    if not (config.attention or config.components):
        return Hyperprior(codec.CodecConfig(**sizes, **shared))
    own = {"attention": config.attention, "components": max(config.components, 1), "head_width": config.head_width}
    return Edic(EdicConfig(**sizes, **shared, **own, enhancement="off"))


def to_8_bits(pixels):
    """Pixels on [0, 1], float, as those that 8 bits hold."""
    return ops.round(255.0 * ops.clip(ops.cast(pixels, "float32"), 0.0, 1.0)) / 255.0


def mse(frames, decoded):
    """Mean squared errors of runs [B, T, H, W, 3]: [B] float32."""
    return ops.mean(ops.square(frames - decoded), axis=(1, 2, 3, 4))


def _bpp(frames, outputs, names=("motion_bits", "residual_bits")):
    """Bits a pixel of runs [B, T, H, W, 3]: [B] float32."""
    pixels = ops.cast(ops.shape(frames)[1] * ops.shape(frames)[2] * ops.shape(frames)[3], "float32")
    return sum(outputs[name] for name in names) / pixels


def endpoint_error(known, flow):
    """Mean distance of flows [B, H, W, 2] from known ones [B, H, W, 3], where their last channel is one: [B] pixels."""
    shown = known[..., 2]
    distance = shown * ops.sqrt(ops.sum(ops.square(known[..., :2] - flow), -1) + 1e-6)
    return ops.sum(distance, (1, 2)) / ops.maximum(ops.sum(shown, (1, 2)), 1.0)


def flow_loss(known, flows):
    """Errors of the flows of all levels, each less than the next finer one, in pixels of the finest: [B] float32."""
    total = 0.0
    for level, flow in enumerate(flows[::-1]):
        total = total + (2.0 * LEVEL_WEIGHT) ** level * endpoint_error(known, flow)
        known = networks.halved(known) * ops.convert_to_tensor([0.5, 0.5, 1.0])
    return total


def build(config: VideoConfig) -> VideoCodec:
    """Makes the codec under its dtype policy, with every variable.

    Raises:
      ConfigError: it is not known of which image codec the first frames are, or there is none such.
    """
    with policy_of(config):
        model = VideoCodec(config)
        model.build(None)
        model._build_shapes_dict = None  # with shapes, Keras would save a graph of `call` beside the signatures
        haar.initialize(model.residual.analysis, model.residual.synthesis, codec.GAIN)
    return model
