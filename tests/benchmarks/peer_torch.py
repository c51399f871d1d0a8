"""The side of PyTorch in bench_distillation: needs it and nothing of this project.

    python peer_torch.py BATCH

Says its version, then does one training step of ResNet-20 for each line that it reads, and says so.
"""

import sys

import torch
from torch import nn


class Block(nn.Module):
    """Two 3x3 convolutions with a shortcut, a 1x1 convolution where the channels change (arXiv:1512.03385)."""

    def __init__(self, before: int, after: int, stride: int):
        super().__init__()
        self.one, self.two = (
            nn.Sequential(nn.Conv2d(c, after, 3, s, 1, bias=False), nn.BatchNorm2d(after))
            for c, s in ((before, stride), (after, 1))
        )
        self.short = nn.Sequential()
        if before != after:
            self.short = nn.Sequential(nn.Conv2d(before, after, 1, stride, bias=False), nn.BatchNorm2d(after))

    def forward(self, x):
        """Maps to maps."""
        return torch.relu(self.short(x) + self.two(torch.relu(self.one(x))))


def resnet20() -> nn.Module:
    """ResNet-20 for ten classes."""
    widths = [16] * 4 + [32] * 3 + [64] * 3
    blocks = [Block(a, b, 1 if a == b else 2) for a, b in zip(widths, widths[1:])]  # noqa: B905 (one is longer)
    stem = (nn.Conv2d(3, 16, 3, 1, 1, bias=False), nn.BatchNorm2d(16), nn.ReLU())
    return nn.Sequential(*stem, *blocks, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, 10))


def main() -> None:
    """Trains on random pictures."""
    batch = int(sys.argv[1])
    model = resnet20()
    optimizer = torch.optim.Adam(model.parameters(), 1e-3)
    x, y = torch.rand(batch, 3, 32, 32), torch.randint(0, 10, (batch,))

    def step():
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(x), y).backward()
        optimizer.step()

    step()
    print(torch.__version__, flush=True)
    for _ in sys.stdin:
        step()
        print("done", flush=True)


if __name__ == "__main__":
    main()
