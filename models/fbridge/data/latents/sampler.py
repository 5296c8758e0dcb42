"""The rows of each batch, a function of seed and step."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor
from torch.utils.data import Sampler

from fbridge.data.latents.dataset import Draw, LatentDataset
from fbridge.errors import ConfigError


class BucketBatches(Sampler[list[Draw]]):
    """Endless batches of one bucket each, in an order decided by the seed.

    For `DataLoader(batch_sampler=...)`. Each epoch has each row once, except those that do not fill
    a last batch of their bucket, which differ between epochs. A bucket with fewer rows than a batch
    repeats them, so that none is left out. Set `step` to continue an interrupted run.

    Args:
        dataset: the data set.
        batch_size: rows of a batch.
        seed: of the order.

    Raises:
        ConfigError: the batch size is below 1.
    """

    def __init__(self, dataset: LatentDataset, batch_size: int, *, seed: int = 0) -> None:
        if batch_size < 1:
            raise ConfigError(f"batch size {batch_size}: must be at least 1")
        self.batch_size = batch_size
        self.seed = seed
        self.step = 0
        bucket = dataset.bucket
        self._rows = [(bucket == number).nonzero()[:, 0] for number in bucket.unique().tolist()]
        self.per_epoch = sum(max(1, len(rows) // batch_size) for rows in self._rows)

    def __iter__(self) -> Iterator[list[Draw]]:
        step = self.step
        while True:
            epoch, first = divmod(step, self.per_epoch)
            for rows in self._epoch(epoch)[first:]:
                yield [Draw(row, epoch) for row in rows.tolist()]
                step += 1

    def _epoch(self, epoch: int) -> Tensor:
        """(batches, batch_size) rows."""
        generator = torch.Generator().manual_seed(self.seed * 1_000_003 + epoch)
        batches = []
        for rows in self._rows:
            order = rows[torch.randperm(len(rows), generator=generator)]
            if len(order) < self.batch_size:
                order = order.repeat(-(-self.batch_size // len(order)))
            whole = len(order) // self.batch_size if len(rows) >= self.batch_size else 1
            batches.append(order[: whole * self.batch_size].view(whole, self.batch_size))
        together = torch.cat(batches)
        return together[torch.randperm(len(together), generator=generator)]
