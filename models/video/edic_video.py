"""EDIC's parts in DVC: its image codec, its attention and mixtures for the residual, its enhancement in the loop.

Liu, Lu, Hu, Xu, arXiv:2002.03370, whose text says no more than that its parts go into DVC. The order of an ablation:
`intra`; `attention` and `components`; `enhancement`. Motion and compensation are DVC's.
"""

from models.contract.recipe import Recipe
from models.video import options
from models.video.recipe import SHARED

_PARTS = {"attention": True, "components": 3, "enhancement": "half"}

RECIPE = Recipe(
    name="edic_video",
    summary="EDIC's parts in a codec of clips (arXiv:2002.03370)",
    data="clips",
    presets={
        "small": options.SMALL | _PARTS | {"head_width": 1, "enhancement_filters": 16},
        "paper": options.PAPER | _PARTS,
    },
    served=lambda model, config: (RECIPE, model, options.whole(config)),
    **SHARED,
)
