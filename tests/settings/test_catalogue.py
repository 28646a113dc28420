"""Catalogues: names without imports, classes on access, a sentence for each."""

import re
import subprocess
import sys

import pytest

from genae.autoencoders import AUTOENCODERS
from genae.priors import PRIORS
from genae.protocol import Autoencoder, Prior
from genae.settings.catalogue import Catalogue, Entry


def test_a_class_is_imported_when_it_is_asked_for(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "cellar.py").write_text("class Wine: pass\n")
    catalogue = Catalogue({"wine": Entry("cellar:Wine", "To drink."), "none": Entry("nowhere:None", "Missing.")})
    assert list(catalogue) == ["wine", "none"]
    assert len(catalogue) == 2
    assert "wine" in catalogue
    assert "none" in catalogue
    assert "beer" not in catalogue
    assert repr(catalogue) == "Catalogue(wine, none)"
    assert catalogue.summaries() == {"wine": "To drink.", "none": "Missing."}
    assert "cellar" not in sys.modules
    assert catalogue["wine"].__name__ == "Wine"
    assert sys.modules.pop("cellar").Wine.__module__ == "cellar"
    with pytest.raises(KeyError):
        catalogue["beer"]


@pytest.mark.parametrize(("catalogue", "kind"), [(AUTOENCODERS, Autoencoder), (PRIORS, Prior)])
def test_every_entry_has_a_class_and_a_summary_in_words(catalogue, kind):
    assert list(catalogue) == sorted(catalogue)
    for name, cls in catalogue.items():
        assert issubclass(cls, kind), name
        assert catalogue.entries[name].home == f"{cls.__module__}:{cls.__name__}", "where it is, not where it came by"
    for name, summary in catalogue.summaries().items():
        assert "Choose it" in summary, name
        assert summary.endswith("."), name
        assert not re.search(r"[<>=|~^_\\{}\[\]]|->", summary), f"{name}: words, no symbols"


def test_the_names_need_no_torch():
    code = """
import sys
from genae.autoencoders import AUTOENCODERS
from genae.priors import PRIORS
assert "vae" in AUTOENCODERS and "flow" in PRIORS and len(list(AUTOENCODERS)) > 10 and AUTOENCODERS.summaries()
assert "torch" not in sys.modules and "numpy" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize("name", AUTOENCODERS)
def test_every_option_is_documented(name: str, tiny_options) -> None:
    texts = " ".join(cls.__doc__ or "" for cls in AUTOENCODERS[name].__mro__)
    common = {"batch_size", "learning_rate", "code_dim", "image_shape"}
    missing = [option for option in tiny_options(name) if f"``{option}``" not in texts and option not in common]
    assert not missing
