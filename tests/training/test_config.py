"""A configuration from presets and settings, and what is refused."""

import pytest

from genae.autoencoders import AUTOENCODERS
from genae.errors import GenaeError
from genae.settings.presets import PRESETS
from genae.training.config import Config, resolve


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
    ],
)
def test_settings_that_cannot_be_used(model: str, settings: dict[str, str], message: str) -> None:
    with pytest.raises(GenaeError, match=message):
        resolve(model, settings, PRESETS, AUTOENCODERS)
