"""The side of PyTorch in bench_faces: needs it and nothing of this project.

    python peer_faces.py '{"batch", "side", "width", "depth", "embedding", "classes", "margin", "scale", "rate"}'

Says its version and how many weights its network has, then does one training step of it under ArcFace's loss
(arXiv:1801.07698) for each line that it reads, and says so.
"""

import json
import math
import sys

import torch
from torch import nn
from torch.nn import functional

STAGES = ((2, 64, 5, True), (4, 128, 1, True), (2, 128, 6, False), (4, 128, 1, True), (2, 128, 2, False))


class Unit(nn.Sequential):
    """Convolution, normalisation and, if it is active, PReLU."""

    def __init__(self, before: int, after: int, size: int, stride: int = 1, groups: int = 1, active: bool = True):
        super().__init__(nn.Conv2d(before, after, size, stride, size // 2, groups=groups, bias=False),
                         nn.BatchNorm2d(after), *([nn.PReLU(after)] if active else []))  # fmt: skip


class Block(nn.Module):
    """An inverted residual."""

    def __init__(self, before: int, after: int, expansion: int, stride: int):
        super().__init__()
        inner = expansion * before
        self.way = nn.Sequential(Unit(before, inner, 1), Unit(inner, inner, 3, stride, inner),
                                 Unit(inner, after, 1, active=False))  # fmt: skip
        self.short = stride == 1 and before == after

    def forward(self, x):
        """Maps to maps."""
        return x + self.way(x) if self.short else self.way(x)


class Face(nn.Module):
    """The network of the recipe `face`: MobileFaceNet (arXiv:1804.07573) and directions of persons."""

    def __init__(self, side: int, width: int, depth: int, embedding: int, classes: int, **_):
        super().__init__()

        def scaled(channels):
            return max(8, channels * width // 100)

        halvings = 0
        while halvings < 4 and -(-side // 2 ** (halvings + 1)) >= 4:
            halvings += 1
        left = 4 - halvings
        layers, before, last = [], scaled(64), side
        strides = []
        for halves in (True, *(h and not part for _, _, n, h in STAGES for part in range(min(n, depth)))):
            strides.append(2 if halves and not left else 1)
            left -= bool(halves and left)
            last = -(-last // strides[-1])
        rest = iter(strides)
        layers += [Unit(3, before, 3, next(rest)), Unit(before, before, 3, groups=before)]
        for expansion, channels, blocks, _ in STAGES:
            for _ in range(min(blocks, depth)):
                layers.append(Block(before, scaled(channels), expansion, next(rest)))
                before = scaled(channels)
        wide = scaled(512)
        layers += [Unit(before, wide, 1), nn.Conv2d(wide, wide, last, groups=wide, bias=False), nn.BatchNorm2d(wide)]
        self.features = nn.Sequential(*layers, nn.Flatten(), nn.Linear(wide, embedding, bias=False),
                                      nn.BatchNorm1d(embedding))  # fmt: skip
        self.head = nn.Parameter(torch.randn(embedding, classes) * 0.1)

    def forward(self, x):
        """Pictures to cosines with the directions of the persons."""
        return functional.normalize(self.features(2 * x - 1)) @ functional.normalize(self.head, dim=0)


def arcface(cosines, labels, margin: float, scale: float):
    """The mean loss of a batch."""
    rows = torch.arange(len(labels))
    own = cosines[rows, labels]
    turned = own * math.cos(margin) - torch.sqrt((1 - own**2).clamp_min(1e-7)) * math.sin(margin)
    turned = torch.where(own > math.cos(math.pi - margin), turned, own - margin * math.sin(margin))
    return functional.cross_entropy(scale * cosines.index_put((rows, labels), turned), labels)


def main() -> None:
    """Trains on random pictures."""
    told = json.loads(sys.argv[1])
    model = Face(**told)
    optimizer = torch.optim.Adam(model.parameters(), told["rate"])
    x = torch.rand(told["batch"], 3, told["side"], told["side"])
    y = torch.randint(0, told["classes"], (told["batch"],))

    def step():
        optimizer.zero_grad()
        arcface(model(x), y, told["margin"], told["scale"]).backward()
        optimizer.step()

    step()
    count = sum(p.numel() for p in model.parameters() if p.requires_grad)
    print(f"{torch.__version__}, {count} weights", flush=True)
    for _ in sys.stdin:
        step()
        print("done", flush=True)


if __name__ == "__main__":
    main()
