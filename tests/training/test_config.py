"""A configuration from presets and settings, and what is refused."""

import pytest

from genae.autoencoders import AUTOENCODERS
from genae.errors import GenaeError
from genae.settings.presets import PRESETS
from genae.training.config import Config, anneals_to_the_end, resolve


@pytest.mark.parametrize("name", PRESETS)
def test_presets_resolve(name: str) -> None:
    config = resolve(name, {"data": "digits"}, PRESETS, AUTOENCODERS)
    assert config == Config.from_json(config.to_json(), "text")


def test_a_bare_name_takes_the_preset_of_its_data() -> None:
    bare = resolve("stacked-wae", {"data": "digits", "width": "8"}, PRESETS, AUTOENCODERS)
    assert bare == resolve("stacked-wae/digits", {"width": 8}, PRESETS, AUTOENCODERS)


@pytest.mark.parametrize(
    ("model", "settings", "message"),
    [
        ("stacked-wea", {"data": "digits"}, "did you mean 'stacked-wae'"),
        ("stacked-wae/mist", {}, "did you mean 'stacked-wae/mnist'"),
        ("stacked-wae", {}, "name a source with --data"),
        ("stacked-wae", {"data": "digits", "witdh": "3"}, "no setting 'witdh'; did you mean 'width'"),
        ("stacked-wae", {"data": "digits", "width": "wide"}, "width is 'wide'; expected a whole number"),
        ("stacked-wae", {"data": "digits", "flip": "maybe"}, "flip is 'maybe'; expected true or false"),
        ("stacked-wae", {"data": "digits", "images": "0"}, "images is 0; expected at least 1"),
        ("stacked-wae", {"data": "digits", "precision": "half"}, "expected auto, float32 or bfloat16"),
        ("stacked-wae", {"data": "digits", "patience": "-1"}, "patience is -1"),
        ("stacked-wae", {"data": "digits", "seed": "-1"}, "seed is -1; expected a whole number from 0 up"),
    ],
)
def test_settings_that_cannot_be_used(model: str, settings: dict[str, str], message: str) -> None:
    with pytest.raises(GenaeError, match=message):
        resolve(model, settings, PRESETS, AUTOENCODERS)


TIED, UNTIED = {"images": 100, "anneal": 100, "data": "digits"}, {"images": 100, "anneal": 50, "data": "digits"}


@pytest.mark.parametrize(
    ("preset", "settings", "anneal"),
    [
        (TIED, {}, 100),
        (TIED, {"images": "40"}, 40),
        (TIED, {"images": 40, "anneal": 70}, 70),
        (UNTIED, {"images": 40}, 50),
        ({"images": 100, "data": "digits"}, {"images": 40}, 0),
    ],
)
def test_the_anneal_of_a_preset_follows_the_images_where_both_end_together(
    preset: dict[str, object], settings: dict[str, object], anneal: int
) -> None:
    assert resolve("ae/mine", settings, {"ae/mine": preset}, AUTOENCODERS).options["anneal"] == anneal


def test_presets_that_anneal_to_their_end_are_known() -> None:
    assert anneals_to_the_end(PRESETS["stacked-wae/digits"])
    assert resolve("stacked-wae/digits", {"images": 9000}, PRESETS, AUTOENCODERS).options["anneal"] == 9000
    assert not anneals_to_the_end(PRESETS["stacked-wae/mnist"])
