"""One training in several processes: each computes on its share of a batch, with the results of the whole batch.

Every process draws the same order of images from the seed and takes its rows of each batch. DistributedDataParallel
sums the gradients; the mean over a share has the share's part of the batch as its weight, so that the sum is the mean
over the batch, also where that does not divide evenly. Weights, optimiser, schedules, decisions and random state are
then the same in all processes, and the first one's are saved: a training may go on with another number of processes.

The loop gives an objective its share before each step (`Objective.share`). A loss that is a mean over samples needs
nothing of it. Any other one takes its sums and means over the whole batch by `total` and `mean`, its random numbers by
`point` and `normal`, and the sums of gradients of its own by `summed`. In a single process these return what they are
given.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from absdomain.region import Region
from absdomain.runtime.processes import ALONE, World


@dataclass(frozen=True)
class Share:
    """Rows first..first + count of a batch of `images`: what one process of a world works on.

    Where a batch has fewer images than there are processes, those without an image compute on its first one, with
    weight 0.
    """

    world: World = ALONE
    first: int = 0
    count: int = 0
    images: int = 0  # 0: of any number, all of which are here

    @staticmethod
    def of(world: World, images: int) -> Share:
        """The rank's share; shares differ by one image at most."""
        ends = [images * rank // world.size for rank in (world.rank, world.rank + 1)]
        return Share(world, ends[0], ends[1] - ends[0], images)

    @property
    def weight(self) -> float:
        """What the share is of the batch; 1 in a single process."""
        return 1.0 if self.world.alone else self.count / self.images

    def rows(self, x: Tensor) -> Tensor:
        """Of a tensor with a row for each image of the batch, the rows of the share."""
        return x if self.world.alone else x[self.first :][: max(self.count, 1)]

    def whole(self, count: int) -> int:
        """How many images the batch has of which `count` are here."""
        return count if self.world.alone else self.images

    def mean(self, x: Tensor) -> Tensor:
        """The mean over the batch of x, a mean over the share.

        Law, as for `total`: gradients are those of the sum over processes of weight * loss, which is what is minimised,
        each process having computed its loss from what all of them gave.
        """
        return x if self.world.alone else self.world.sum(self.weight * x)

    def total(self, x: Tensor) -> Tensor:
        """The sum over the batch of x, a sum over the share."""
        return x if self.world.alone else self.world.sum(x if self.count else 0 * x)

    def summed(self, parts: Sequence[Tensor]) -> list[Tensor]:
        """The sums over the processes of several tensors, such as gradients of weight * loss in the parameters."""
        if self.world.alone:
            return list(parts)
        flat = self.world.sum(torch.cat([part.flatten() for part in parts]))
        sizes = [part.numel() for part in parts]
        return [piece.view_as(part) for piece, part in zip(flat.split(sizes), parts, strict=True)]

    def point(self, region: Region) -> Tensor:
        """A random point of each sample's region, (B, *shape): the one that a single process draws for that sample.

        A region for anything but the share's own images is sampled in each process for itself.
        """
        if self.world.alone or len(region.centre) != max(self.count, 1):
            return region.sample(1)[0]
        return self.rows(region.select(self._places(region.centre.device)).sample(1)[0])

    def normal(self, like: Tensor) -> Tensor:
        """Standard normal numbers, as `like`, (B, *shape), a row per image: those that a single process draws."""
        if self.world.alone:
            return torch.randn_like(like)
        return self.rows(torch.randn(self.images, *like.shape[1:], dtype=like.dtype, device=like.device))

    def _places(self, device: torch.device) -> Tensor:
        """For each image of the batch a row of the share: its own row, or else the nearest one."""
        return (torch.arange(self.images, device=device) - self.first).clamp(0, max(self.count, 1) - 1)

    def numbers(self, loss: Tensor, metrics: Mapping[str, Tensor]) -> tuple[float, dict[str, float]]:
        """The loss and the metrics of the batch, the same in all processes."""
        if self.world.alone:
            return loss.item(), {name: value.item() for name, value in metrics.items()}
        here = torch.stack([x.detach().double() for x in (loss, *metrics.values())])
        total, *seen = self.mean(here).tolist()
        return total, dict(zip(metrics, seen, strict=True))

    def backward(self, loss: Tensor) -> None:
        """Accumulate the gradients of the batch's mean loss; DistributedDataParallel averages over the processes."""
        (loss if self.world.alone else self.weight * self.world.size * loss).backward()


WHOLE = Share()  # all of the batch, in a single process
