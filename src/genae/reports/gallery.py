"""Which figures a report shows of a model, and their captions."""

from typing import NamedTuple

from PIL import Image
from torch import Tensor

from genae.data.sampler import across_classes, shuffled
from genae.data.sources import ImageData
from genae.latent.mixing import mixing_example
from genae.model import Model
from genae.reports import figures, part_figures

IMAGES = 12
"""Held-out images that the figures show."""
SAMPLES = 64
LEARNED = 2000
"""Training images that an attribute's direction is computed from, and that parts are cut out of."""
PARTS = 8
CLASSES = 100
"""Classes whose samples are shown."""
STRENGTHS = (-2, -1, -0.5, 0, 0.5, 1, 2)


class Drawing(NamedTuple):
    """One figure of a report."""

    picture: Image.Image
    caption: str


Gallery = dict[str, Drawing]
"""Name -> drawing. What stands before the first ``-`` of a name is a key of `HEADINGS`."""

HEADINGS = {
    "reconstructions": "Reconstructions",
    "samples": "Samples",
    "classes": "Samples of each class",
    "interpolation": "Interpolation",
    "traversal": "Between samples",
    "manifold": "Between four images",
    "mixing": "Style mixing",
    "edit": "Editing",
    "parts": "Parts",
}


def draw_figures(model: Model, data: ImageData, seed: int) -> Gallery:
    """Every figure that the model and the data allow; ``seed`` is that of samples."""
    test = data.split("test")
    labels = None if data.labels is None else data.labels[test]
    images = data.images(across_classes(test, labels)[:IMAGES])
    drawn = _samples(model, seed)
    if not model.spaces:  # no encoder: there is nothing between images to show
        return drawn
    reconstructions = Drawing(
        figures.reconstruction_grid(model, images),
        "Held-out images and their reconstructions, through the code and through every prior with an encoder.",
    )
    drawn = {"reconstructions": reconstructions} | drawn | _between(model, images)
    if model.layers > 1 and len(images) >= 2:
        drawn["mixing"] = Drawing(
            figures.mixing_grid(model, *mixing_example(images, model.layers)),
            "Styles of one image in others, layer by layer (ALAE Fig. 9).",
        )
    if model.has_parts and len(images) >= 2:
        drawn |= _parts(model, data, images)
    return drawn | _edits(model, data, images)


def _samples(model: Model, seed: int) -> Gallery:
    """Samples of every prior, and ways between them."""
    drawn: Gallery = {}
    for prior in model.priors:
        sheet = figures.sample_grid(model, SAMPLES, seed, prior)
        drawn[f"samples-{prior}"] = Drawing(sheet, f"New images from the {prior} prior.")
        if model.classes(prior):
            drawn[f"classes-{prior}"] = _classes(model, prior, seed)
    for prior, network in model.autoencoder.priors.items():
        if figures.is_mapped(network):
            drawn[f"traversal-{prior}"] = Drawing(
                figures.traversal_grid(model, prior, seed=seed),
                "Straight lines between the same two samples: in the prior’s latent variables, and in codes "
                "(ALAE Fig. 4).",
            )
    return drawn


def _classes(model: Model, prior: str, seed: int) -> Drawing:
    """Samples of each class that a prior knows."""
    known = model.classes(prior)
    names = known[:CLASSES]
    of = f" The first {CLASSES} of {len(known)} classes; genae sample --given all draws all." if names != known else ""
    of_each = [name for name in names for _ in range(figures.EACH)]
    images = model.sample(len(of_each), seed, prior, given=of_each).unflatten(0, (len(names), figures.EACH))
    sheet = figures.class_grid(images, names, figures.sample_title(prior, seed))
    return Drawing(sheet, f"New images of the class at the side, from the {prior} prior.{of}")


def _between(model: Model, images: Tensor) -> Gallery:
    """Ways between pairs of images, and between four."""
    drawn: Gallery = {}
    pairs = min(4, len(images) // 2)
    for space in model.spaces if pairs else ():
        drawn[f"interpolation-{space}"] = Drawing(
            figures.interpolation_grid(model, images[:pairs], images[pairs : 2 * pairs], space=space),
            f"Straight lines in {'code' if space == 'code' else 'the ' + space + ' prior’s'} space; "
            "the outer columns are the images themselves.",
        )
    if len(images) >= 4:
        drawn["manifold"] = Drawing(
            figures.manifold_grid(model, images[-4:]), "The corners are four held-out images (SWAE Fig. 6)."
        )
    return drawn


def _parts(model: Model, data: ImageData, images: Tensor) -> Gallery:
    """Of models with parts: where they occur, what they look like, and swaps of them."""
    there = model.parts(images[:1])[1].shape[1]
    numbers = list(range(min(PARTS, there)))
    of = f" The first {PARTS} of {there} parts; genae parts draws all." if there > PARTS else ""
    return {
        "parts-maps": Drawing(
            part_figures.occurrence_grid(model, images, numbers),
            "Held-out images, and the cells in which each part is likely (PatchVAE Fig. 3)." + of,
        ),
        "parts-crops": Drawing(
            part_figures.crop_grid(model, data, data.split("train")[:LEARNED], numbers),
            "The likeliest places of each part among training images (PatchVAE Fig. 4), unpicked." + of,
        ),
        "parts-swaps": Drawing(
            part_figures.swap_grid(model, images, images.roll(1, 0), numbers),
            "Reconstructions with the appearance of one part from another image (PatchVAE Fig. 5)." + of,
        ),
    }


def _edits(model: Model, data: ImageData, images: Tensor) -> Gallery:
    """Edits along the first attribute that some training images have and others have not."""
    train = data.split("train")
    learned = train[shuffled(0, min(LEARNED, len(train)), len(train), seed=0)]
    for name, has in data.directions().items():
        if has[learned].any() and not has[learned].all():
            along = model.direction(data.images(learned), has[learned], name)
            codes, title = model.encode(images[:4]), f"“{name}”"
            grid = figures.edit_grid(model, codes, along, title, STRENGTHS, images=images[:4])
            caption = "Codes moved along the difference of means with and without an attribute (SWAE Section 4.3)."
            return {"edit": Drawing(grid, caption)}
    return {}
