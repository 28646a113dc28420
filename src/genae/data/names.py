"""The names of the built-in data sets; light, so that listing them needs no torch."""

OFFLINE = ("digits", "shapes")
"""Sets that need neither files nor a network."""
DOWNLOADED = ("mnist", "mnist-sw", "mnist-dw", "fashion-mnist", "cifar10", "cifar100")
"""Sets that are read from ``--data-root`` or downloaded by torchvision."""
NAMES = (*OFFLINE, *DOWNLOADED)
