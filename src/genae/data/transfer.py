"""Images on their way from where they are kept to the device that computes."""

import torch
from torch import Tensor

SHARE = 0.5  # of a GPU's free memory, that a whole data set may take there; the rest is for the model
THREADS = 4
"""That read ahead what is not in memory: so many requests hide the latency of a disk."""


def pinned(x: Tensor, device: torch.device) -> Tensor:
    """``x`` where `sent` begins: in pinned memory, if it is to go from the host to a GPU."""
    return x.pin_memory() if _from_host_to_gpu(x, device) else x


def sent(x: Tensor, device: torch.device) -> Tensor:
    """``x`` on ``device``; to a GPU it goes from pinned memory, and the host does not wait for its arrival."""
    return pinned(x, device).to(device, non_blocking=_from_host_to_gpu(x, device))


def rows_sent(rows: Tensor, indices: Tensor, device: torch.device) -> Tensor:
    """The rows [B, ...] of ``rows`` [N, ...] with ``indices`` [B], of the same type, on ``device``; as `sent`."""
    if not _from_host_to_gpu(rows, device):
        return rows.index_select(0, sent(indices, rows.device)).to(device)
    gathered = torch.empty(len(indices), *rows.shape[1:], dtype=rows.dtype, pin_memory=True)
    return sent(torch.index_select(rows, 0, indices, out=gathered), device)


def has_room(device: torch.device, size: int) -> bool:
    """Whether ``size`` bytes of images are better kept on ``device``: on a GPU, if they take at most `SHARE` of its
    free memory."""
    if device.type == "cuda":
        return size <= SHARE * torch.cuda.mem_get_info(device)[0]
    if device.type == "mps":
        return size <= SHARE * (torch.mps.recommended_max_memory() - torch.mps.driver_allocated_memory())
    return True


def _from_host_to_gpu(x: Tensor, device: torch.device) -> bool:
    return x.device.type == "cpu" and device.type == "cuda"
