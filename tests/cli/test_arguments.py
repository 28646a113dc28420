"""Text that becomes settings and files, with the paths of Windows."""

from pathlib import Path, PureWindowsPath

import pytest

from genae.autoencoders import AUTOENCODERS
from genae.cli.arguments import settings_of, weight_files
from genae.settings.presets import PRESETS
from genae.training.config import Config, resolve

PHOTOS = str(PureWindowsPath("C:/photos, of=2024/cats"))


@pytest.mark.parametrize(
    "arguments", [["--data", PHOTOS, "--attributes", PHOTOS], [f"--data={PHOTOS}", f"--attributes={PHOTOS}"]]
)
def test_a_path_with_a_drive_is_a_setting_like_any_other(arguments: list[str]) -> None:
    settings = settings_of(arguments)
    assert settings == {"data": PHOTOS, "attributes": PHOTOS}
    config = resolve("vae", settings, PRESETS, AUTOENCODERS)
    assert config.data == PHOTOS
    assert Config.from_json(config.to_json(), "config.json") == config


def test_a_weight_file_with_a_drive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    name = str(PureWindowsPath("C:/weights/a=b.pth"))
    Path(name).parent.mkdir(parents=True, exist_ok=True)
    Path(name).write_bytes(b"")
    assert weight_files([f"inception={name}"], ["fd"], ["inception"]) == {"inception": Path(name)}
