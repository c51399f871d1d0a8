"""The side of PyTorch in bench_generative: needs it and nothing of this project.

    python peer_torch_gan.py BATCH SIDE THREADS

Says its version, then plays one round of GC's game (arXiv:1804.02958) for each line that it reads, the critic's turn
and the generator's, of the layers and sizes of the small preset, and says so.
"""

import sys

import torch
from torch import nn

WIDTH, LATENTS, BLOCKS, CRITIC, SCALES, HALVINGS = 16, 8, 3, 16, 2, 4


class ChannelNorm(nn.LayerNorm):
    """Each position over its channels."""

    def forward(self, x):
        """[B, C, H, W] to itself."""
        return super().forward(x.movedim(1, -1)).movedim(-1, 1)


def conv(before: int, after: int, kernel: int = 3, stride: int = 1) -> nn.Module:
    """Padded like the other side's: sides are divided by the stride."""
    return nn.Conv2d(before, after, kernel, stride, (kernel - 1) // 2 if kernel != 4 or stride == 2 else "same")


def rectified(before: int, after: int, kernel: int = 3, stride: int = 1) -> list:
    """Convolution, norm, ReLU."""
    return [conv(before, after, kernel, stride), ChannelNorm(after), nn.ReLU()]


class Block(nn.Module):
    """A residual block of the generator."""

    def __init__(self, width: int):
        super().__init__()
        self.body = nn.Sequential(*rectified(width, width), conv(width, width), ChannelNorm(width))

    def forward(self, x):
        """[B, width, H, W] to itself."""
        return x + self.body(x)


def codec() -> tuple[nn.Module, nn.Module]:
    """Encoder and generator."""
    layers = rectified(3, WIDTH, 7)
    for level in range(HALVINGS):
        layers += rectified(WIDTH << level, WIDTH << level + 1, 3, 2)
    widest = WIDTH << HALVINGS
    drawn = [*rectified(LATENTS, widest), *(Block(widest) for _ in range(BLOCKS))]
    for level in reversed(range(HALVINGS)):
        drawn += [nn.Upsample(scale_factor=2), *rectified(WIDTH << level + 1, WIDTH << level)]
    return nn.Sequential(*layers, conv(widest, LATENTS)), nn.Sequential(*drawn, conv(WIDTH, 3, 7), nn.Tanh())


class Critic(nn.Module):
    """What the layers of all scales give, scores last."""

    def __init__(self):
        super().__init__()
        self.smaller = nn.AvgPool2d(3, 2, 1)
        self.scales = nn.ModuleList(self._scale() for _ in range(SCALES))

    @staticmethod
    def _scale() -> nn.ModuleList:
        parts, before = [], 3
        for level in range(4):
            after = CRITIC << level
            norm = [ChannelNorm(after)] if level else []
            parts.append(nn.Sequential(conv(before, after, 4, 2), *norm, nn.LeakyReLU(0.2)))
            before = after
        return nn.ModuleList([*parts, conv(before, 1, 4)])

    def forward(self, x):
        """[B, 3, H, W] -> a list a scale."""
        found = []
        for n, scale in enumerate(self.scales):
            x = self.smaller(x) if n else x
            y, layers = x, []
            for part in scale:
                y = part(y)
                layers.append(y)
            found.append(layers)
        return found


def coded(encoder: nn.Module, generator: nn.Module, x):
    """Pixels through the nearest of five centres, with the gradient of the soft ones."""
    z, centres = encoder(x)[..., None], torch.arange(-2.0, 3.0)
    distance = (z - centres) ** 2
    soft = (torch.softmax(-distance, -1) * centres).sum(-1)
    hard = centres[distance.argmin(-1)]
    return generator(soft + (hard - soft).detach())


def least_squares(found, target: float):
    """Sum over scales."""
    return sum(((layers[-1] - target) ** 2).mean() for layers in found)


def main() -> None:
    """Plays on random pictures."""
    batch, side, threads = map(int, sys.argv[1:])
    torch.set_num_threads(threads)
    (encoder, generator), critic = codec(), Critic()
    own = [*encoder.parameters(), *generator.parameters()]
    first, second = (torch.optim.Adam(p, 4e-4, (0.5, 0.999)) for p in (own, critic.parameters()))
    x = 2 * torch.rand(batch, 3, side, side) - 1
    averages = [p.detach().clone() for p in own]

    def play():
        with torch.no_grad():
            made = coded(encoder, generator, x)
        second.zero_grad()
        (least_squares(critic(x), 1.0) + least_squares(critic(made), 0.0)).backward()
        second.step()
        first.zero_grad()
        made = coded(encoder, generator, x)
        told, known = critic(made), critic(x)
        pairs = [(a, b) for one, other in zip(told, known) for a, b in zip(one[:-1], other[:-1])]  # noqa: B905
        matching = sum((a - b.detach()).abs().mean() for a, b in pairs)
        (12 * ((x - made) ** 2).mean() + least_squares(told, 1.0) + 10 * matching).backward()
        first.step()
        with torch.no_grad():
            for average, value in zip(averages, own):  # noqa: B905
                average.lerp_(value, 0.01)

    play()
    print(torch.__version__, flush=True)
    for _ in sys.stdin:
        play()
        print("done", flush=True)


if __name__ == "__main__":
    main()
