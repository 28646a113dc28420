"""What each model says of itself agrees with what it is, and with ALAE's Table 1."""

import pytest

from genae.autoencoders import AUTOENCODERS
from genae.protocol import Criteria

# Pidhorskyi, Adjeroh, Doretto 2020, Table 1.
PUBLISHED = {
    "vae": Criteria("similarity", "imposed/divergence", "data"),
    "aae": Criteria("similarity", "imposed/adversarial", "data"),
    "vae-gan": Criteria("similarity", "imposed/divergence", "data"),
    "vamp-vae": Criteria("similarity", "learned/divergence", "data"),
    "bigan": Criteria("adversarial", "imposed/adversarial", "adversarial"),
    "ali": Criteria("adversarial", "imposed/adversarial", "adversarial"),
    "veegan": Criteria("adversarial", "imposed/divergence", "latent"),
    "age": Criteria("adversarial", "imposed/adversarial", "latent"),
    "intro-vae": Criteria("adversarial", "imposed/adversarial", "data"),
    "alae": Criteria("adversarial", "learned/divergence", "latent"),
}


def test_the_papers_table() -> None:
    here = [name for name in PUBLISHED if name in AUTOENCODERS]
    assert {name: AUTOENCODERS[name].criteria for name in here} == {name: PUBLISHED[name] for name in here}


@pytest.mark.parametrize("name", AUTOENCODERS)
def test_a_model_is_what_it_says(name: str, tiny_model) -> None:
    model = tiny_model(name)
    data, latent, reciprocity = model.criteria
    assert data in ("similarity", "adversarial", "likelihood")
    assert (data == "likelihood") == (reciprocity == "exact") == model.has_likelihood
    assert reciprocity in (("data", "latent", "adversarial", "exact") if model.has_encoder else ("none",))
    assert latent in (
        "free",
        *(f"{how}/{by}" for how in ("imposed", "learned") for by in ("divergence", "adversarial")),
    )
    assert (latent == "free") == (not model.priors)
    learned = any(True for prior in model.priors.values() for _ in prior.parameters())
    assert latent.startswith("learned") == learned
    if data == "similarity":
        assert model.minimises_error
