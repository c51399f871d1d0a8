"""DVC: motion found by a network and coded by another, a compensated prediction, and its residual with a hyperprior.

Lu, Ouyang, Xu, Zhang, Cai, Gao, arXiv:1812.00101. Published on UVG, groups of 12: 34.55 dB at 0.0601 bpp, 37.69 dB at
0.1853 bpp (the authors' figures, RGB, the image codec of their own). `motion`, `motion_codec` and `compensation` switch
parts off, as in the paper's ablation.
"""

from models.contract.recipe import Recipe
from models.video import options
from models.video.recipe import SHARED

RECIPE = Recipe(
    name="dvc",
    summary="Codec of clips: learned motion, compensation, residual with hyperprior (arXiv:1812.00101)",
    data="clips",
    presets={"small": options.SMALL, "paper": options.PAPER},
    served=lambda model, config: (RECIPE, model, options.whole(config)),
    **SHARED,
)
