"""What travels to a device: stored bytes, to a GPU from pinned memory and without waiting."""

from typing import Any

import pytest
import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from genae.data.sources import ImageData, open_data
from genae.data.transfer import has_room, rows_sent, sent
from tests.reading import pixels_of

GPU = torch.device("cuda", 0)


class Copies(TorchFunctionMode):
    """Copies to a GPU that is not there: they stay on the CPU, and are noted."""

    def __init__(self) -> None:
        super().__init__()
        self.pinned: list[int] = []
        self.noted: list[tuple[torch.dtype, bool, bool]] = []
        """Type, from pinned memory, without waiting."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = dict(kwargs or {})
        if kwargs.pop("pin_memory", False):
            result = func(*args, **kwargs)
            self.pinned.append(result.data_ptr())
            return result
        if func is Tensor.pin_memory:
            self.pinned.append(args[0].data_ptr())
            return args[0]
        if func is Tensor.to and args[1] == GPU:
            pinned = args[0].data_ptr() in self.pinned
            self.noted.append((args[0].dtype, pinned, kwargs.get("non_blocking", False)))
            return args[0].clone()
        return func(*args, **kwargs)


def test_what_is_sent_to_a_gpu_is_pinned_and_not_waited_for() -> None:
    rows = torch.arange(60, dtype=torch.uint8).view(10, 2, 3)
    indices = torch.tensor([7, 0, 7])
    with Copies() as copies:
        arrived, flags = rows_sent(rows, indices, GPU), sent(torch.tensor([True, False]), GPU)
    assert torch.equal(arrived, rows[indices])
    assert flags.tolist() == [True, False]
    assert copies.noted == [(torch.uint8, True, True), (torch.bool, True, True)]
    assert torch.equal(rows_sent(rows, indices, torch.device("cpu")), rows[indices])


@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32])
def test_images_are_converted_where_they_arrive(dtype: torch.dtype) -> None:
    pixels = (torch.rand(12, 3, 4, 4) * 255).to(dtype)
    data = open_data(pixels, layout="NCHW", value_range=(0, 200))
    indices = torch.tensor([3, 1])
    with Copies() as copies:
        images = data.images(indices, GPU)
    assert copies.noted == [(dtype, True, True)]
    assert torch.equal(images, (pixels[indices].float() * (2 / 200) - 1).clamp(-1, 1))
    assert torch.equal(images, data.images(indices))
    assert torch.equal(data.stored(indices), pixels[indices])


def test_a_data_set_moves_to_a_gpu_if_it_takes_at_most_half_of_the_free_memory(monkeypatch) -> None:
    data = open_data(torch.zeros(10, 1, 8, 8, dtype=torch.uint8))
    free = 2 * pixels_of(data).nbytes
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (free, 10 * free))
    assert has_room(GPU, pixels_of(data).nbytes)
    assert not has_room(GPU, pixels_of(data).nbytes + 1)
    with Copies() as copies:
        assert data.to(GPU) is not data
        free -= 1
        assert data.to(GPU) is data
    assert len(copies.noted) == 1
    assert isinstance(data.to(torch.device("cpu")), ImageData)
