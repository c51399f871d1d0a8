"""Options of the codecs of clips, the phases of their training, and what their models are judged by."""

import dataclasses

from models.codecs import chosen
from models.contract.recipe import Config, ConfigError, Evaluation, Metric, Search, option
from models.contract.training import Phase

MOST_FRAMES = 4096  # of a group
STAGES = ("flow", "motion", "compensation", "joint")


@dataclasses.dataclass(frozen=True)
class VideoConfig(Config):
    """Options of a codec of clips."""

    intra: str = option(
        "edic", "image codec of the first frame of a group: a released one, or the path of a pushed one", is_model=True
    )
    intra_about: str = option("", "recipe and options of that codec, JSON (empty: as they are found)")
    intra_factor: float = option(
        4.0, "lambda of the first frame over that of the others, as far as the image codec goes", low=0.0
    )
    channels: int = option(64, "filters of the residual's transforms (N)", search=Search(choices=(32, 64, 128)), low=1)
    latents: int = option(96, "channels of the residual's latents (M)", search=Search(choices=(48, 96, 192)), low=1)
    motion_channels: int = option(
        128, "filters and latents of the motion's codec", search=Search(choices=(32, 64, 128)), low=1
    )
    flow_width: int = option(32, "filters of the flow's layers", search=Search(choices=(16, 32)), low=1)
    flow_kernel: int = option(7, "side of the flow's kernels, pixels", low=1)
    flow_levels: int = option(4, "resolutions at which motion is found", low=1, high=5)
    compensation_channels: int = option(
        64, "filters of the motion compensation", search=Search(choices=(16, 24, 32, 64)), low=1
    )
    lmbda: float = option(0.0315, "weight of distortion against rate: bpp + lmbda * 255^2 * MSE", low=0.0)
    rates: int = option(
        4, "rate points of one variable-rate model, lambda halved from each to the one below; 1: fixed", low=1, high=8
    )
    motion: bool = option(True, "whether motion is found and coded; without it the reference is the prediction")
    motion_codec: bool = option(True, "whether motion has a transform; without it quarters of a pixel are coded")
    compensation: bool = option(True, "whether a network corrects the warped reference")
    attention: bool = option(False, "EDIC's channel attention in the residual's analysis")
    components: int = option(
        0, "Gaussians of a residual latent's mixture; 0: one about zero, of a scale hyperprior", low=0, high=5
    )
    head_width: int = option(2, "hidden width of the mixture's network, in components times the latents", low=1)
    enhancement: str = option("off", "resolution of EDIC's enhancement in the loop", choices=("off", "half", "full"))
    enhancement_filters: int = option(48, "channels of the enhancement", low=1)
    quantisation: str = option(
        "noise", "what training codes, as of image codecs: latents with noise; likewise, rounded ones drawn; or "
        "rounded ones", choices=("noise", "mixed", "rounded"),
    )  # fmt: skip
    clip_length: int = option(3, "frames of a run in training, the first of which is coded as a picture", low=2)
    crop_size: int = option(256, "side of a training crop, pixels, a multiple of 64", low=64)
    group: int = option(12, "frames of a group of pictures at most", low=1, high=MOST_FRAMES, in_fingerprint=False)
    flow_share: float = option(0.2, "part of the steps in which motion alone is learned", low=0.0, high=1.0)
    motion_share: float = option(0.15, "part of the steps for the motion's codec behind it", low=0.0, high=1.0)
    compensation_share: float = option(0.15, "part of the steps for motion and compensation", low=0.0, high=1.0)
    last_share: float = option(0.1, "part of the steps at the end, without `supervision`", low=0.0, high=1.0)
    supervision: float = option(0.1, "weight of the warped and predicted frames' errors in the joint training", low=0.0)
    stage: str = option("joint", "what is learned: set by the phases", choices=STAGES, in_fingerprint=False)

    def __post_init__(self):
        super().__post_init__()
        if self.crop_size % 64:
            raise ConfigError(f"crop_size={self.crop_size}: must be a multiple of 64")
        if self.flow_share + self.motion_share + self.compensation_share + self.last_share >= 1.0:
            raise ConfigError("flow_share, motion_share, compensation_share, last_share: no step is left for the rest")


PAPER = {"steps": 2_000_000, "steps_per_epoch": 5000, "batch_size": 4, "learning_rate": 1e-4, "clip_length": 3,
         "warmup_fraction": 0.001}  # fmt: skip
SMALL = {"channels": 32, "latents": 48, "motion_channels": 32, "flow_width": 12, "flow_kernel": 5,
         "compensation_channels": 16, "crop_size": 64, "batch_size": 6, "steps": 1400, "steps_per_epoch": 100,
         "learning_rate": 1e-3, "last_share": 0.0, "lmbda": 0.01, "rates": 3, "warmup_fraction": 0.02}  # fmt: skip


def adapt(config: VideoConfig, files):
    """Fills in what the image codec of the first frames is. Raises ConfigError: there is no such one."""
    del files
    if config.intra_about:
        return config
    return dataclasses.replace(config, intra_about=chosen.about(*chosen.described("intra", config.intra)))


def whole(config: VideoConfig) -> VideoConfig:
    """The configuration of a model that holds its image codec: that need not be there any more."""
    return dataclasses.replace(config, intra="")


def phases(config: VideoConfig, files):
    """Motion alone, its codec, compensation, all together; and at the end without `supervision`."""
    del files
    shares = {"flow": config.flow_share * config.motion, "motion": config.motion_share * config.motion,
              "compensation": config.compensation_share * config.compensation}  # fmt: skip
    left = config.steps
    for stage, share in shares.items():
        if steps := int(config.steps * share):
            left -= steps
            yield Phase(stage, steps, {"stage": stage}, frozen=_frozen(stage))
    last = min(int(config.steps * config.last_share) * bool(config.supervision), left - 1)
    yield Phase("joint", left - last)
    if last:
        yield Phase("last", last, {"supervision": 0.0, "learning_rate": config.learning_rate / 10.0})


def _frozen(stage: str):
    """What does not learn in a stage."""
    learns = {"flow": ("flow",), "motion": ("motion",), "compensation": ("motion", "compensation")}[stage]
    names = ("flow", "motion", "compensation", "residual", "enhancement")
    still = [name for name in names if name not in learns]
    return lambda model: [part for name in still if (part := getattr(model, name)) is not None]


EVALUATION = Evaluation(
    metrics=(
        Metric("bpp", "bpp", "lower", upper_bound=24.0, title="real rate"),
        Metric("psnr_db", "dB", "higher", lower_bound=15.0, title="PSNR"),
        Metric("ms_ssim", "", "higher", lower_bound=0.3, title="MS-SSIM"),
        Metric("estimated_bpp", "bpp", "lower", title="estimated rate"),
        Metric("rd_cost", "bpp", "lower", tolerance=0.05, title="RD cost"),
        Metric("intra_bpp", "bpp", "lower", title="first frames", detail=True),
        Metric("motion_bpp", "bpp", "lower", title="motion", detail=True),
        Metric("residual_bpp", "bpp", "lower", title="residuals", detail=True),
    ),
    comparable=("lmbda", "rates"),
)
