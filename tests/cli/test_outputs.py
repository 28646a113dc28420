"""What commands write, and what they leave alone."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from genae.data.sources import open_data


@pytest.mark.parametrize(
    ("arguments", "name"),
    [
        (["reconstruct"], "reconstructions.png"),
        (["encode"], "codes.npz"),
        (["interpolate", "--out", "i.gif"], "i.gif"),
        (["anomaly", "--out", "a.csv"], "a.csv"),
        (["encode", "--out", "c.safetensors"], "c.safetensors"),
    ],
)
def test_files_of_other_programs_are_not_overwritten(genae, run, arguments, name, capsys) -> None:
    command, *flags = arguments
    Path(name).write_bytes(b"somebody's own")
    assert genae(command, run, *flags) == 2
    assert (
        f"{name} was not written by genae; choose another --out, or replace it with --force" in capsys.readouterr().err
    )
    assert Path(name).read_bytes() == b"somebody's own"
    assert genae(command, run, *flags, "--force") == 0
    assert Path(name).read_bytes() != b"somebody's own"
    assert genae(command, run, *flags) == 0, "genae's own files are replaced"
    assert f"{name} is replaced" in capsys.readouterr().err


def test_a_folder_of_samples_is_of_one_prior(genae, run, capsys) -> None:
    assert genae("sample", run, "--count", 5, "--out", "my-samples") == 0
    shown = capsys.readouterr()
    assert "these are samples of the" in shown.out + shown.err
    assert len(list(Path("my-samples").glob("*.png"))) == 5
    assert genae("data", "my-samples") == 0
    (Path("my-samples") / "000003.png").write_bytes(b"somebody's own")
    assert genae("sample", run, "--count", 5, "--out", "my-samples") == 2
    assert "000003.png was not written by genae" in capsys.readouterr().err


def test_sheets_of_several_priors_leave_a_file_of_the_plain_name_alone(genae, run, capsys) -> None:
    Path("samples.png").write_bytes(b"somebody's own")
    assert genae("sample", run, "--count", 4) == 0
    assert Path("samples.png").read_bytes() == b"somebody's own"
    assert "replaced" not in capsys.readouterr().err
    Path("samples-uniform.png").write_bytes(b"somebody's own")
    Path("samples-normal.png").unlink()
    assert genae("sample", run, "--count", 4) == 2
    assert "samples-uniform.png was not written by genae" in capsys.readouterr().err
    assert not Path("samples-normal.png").exists(), "refused before any sheet is drawn"


def test_fewer_samples_leave_none_of_an_earlier_call(genae, run) -> None:
    assert genae("sample", run, "--count", 8, "--out", "my-samples") == 0
    (Path("my-samples") / "000007.png").write_bytes(b"somebody's own")
    (Path("my-samples") / "notes.txt").write_text("mine")
    assert genae("sample", run, "--count", 5, "--out", "my-samples", "--force") == 0
    kept = sorted(path.name for path in Path("my-samples").iterdir())
    assert kept == [*(f"{n:06d}.png" for n in range(5)), "000007.png", "notes.txt"]


def test_somebody_s_page_and_weights_are_not_overwritten(genae, run, capsys) -> None:
    Path("site").mkdir()
    for out in (Path("site/index.html"), Path("alae.safetensors")):
        out.write_text("somebody's own")
    assert genae("explore", run, "--export", "site") == 2
    assert "index.html was not written by genae; choose another --export, or replace it" in capsys.readouterr().err
    assert genae("import-alae", "training.pth") == 2
    assert "alae.safetensors was not written by genae; choose another --out" in capsys.readouterr().err
    assert genae("explore", run, "--export", "site", "--force") == 0
    assert genae("explore", run, "--export", "site") == 0, "genae's own page is replaced"


@pytest.mark.parametrize("command", ["sample", "encode"])
def test_an_empty_name_is_refused(command, genae, run, capsys) -> None:
    assert genae(command, run, "--out", "") == 2
    assert "--out is ''; expected" in capsys.readouterr().err
    assert not list(Path().iterdir())


def test_nobody_is_advised_to_run_the_code_of_a_file(genae, run, capsys) -> None:
    Path("picture.jpg").write_bytes(b"\xff\xd8\xff\xe0")
    for arguments in (["decode", run, "picture.jpg"], ["import-alae", "picture.jpg"]):
        assert genae(*arguments) == 2
        error = capsys.readouterr().err
        assert "picture.jpg is " in error
        assert "allow_pickle" not in error
        assert "weights_only" not in error
        assert error.count("\n") == 1


def test_samples_in_a_folder_can_be_measured(genae, run, capsys) -> None:
    assert genae("sample", run, "--count", 20, "--out", "my-samples") == 0
    capsys.readouterr()
    flags = ["--metrics", "kid", "--network", "pixels", "--data", "digits"]
    assert genae("evaluate", "my-samples", *flags) == 0
    assert "kid20-pixels\t" in capsys.readouterr().out


def test_figures_have_a_limit(genae, run, capsys) -> None:
    for arguments in (["sample", run, "--count", 100_000_000], ["interpolate", run, "--steps", 100_000]):
        assert genae(*arguments) == 2
        assert "expected at most 10,000: ask for fewer" in capsys.readouterr().err


def test_nan_codes_are_refused(genae, run, capsys) -> None:
    np.savez("nan.npz", codes=np.full((2, 6), np.nan, np.float32))
    assert genae("decode", run, "nan.npz") == 2
    assert "code 0 holds NaN or infinity" in capsys.readouterr().err


def test_figures_draw_across_classes(genae, tmp_path) -> None:
    from genae.cli.inputs import some
    from genae.data.sources import open_data

    data = open_data("digits")
    test = data.split("test")
    assert data.labels is not None
    assert len(set(data.labels[some(data, test, 10)].tolist())) == 10
    assert some(data, test[:4], 4).tolist() == test[:4].tolist()


def test_an_edit_shows_the_originals(genae, run) -> None:
    assert genae("edit", run, "--attribute", "3", "--count", 2, "--strengths", "0") == 0
    assert Image.open("edit.png").width >= 2 * 66


def test_a_folder_of_several_classes_has_a_folder_for_each(genae, told, capsys) -> None:
    assert genae("sample", told, "--given", "all", "--count", 3, "--out", "mine") == 0
    (Path("mine") / "3" / "000099.png").write_bytes(b"somebody's own")
    assert genae("sample", told, "--given", "3,7", "--count", 2, "--out", "mine") == 2
    assert "000099.png was not written by genae" in capsys.readouterr().err
    assert genae("sample", told, "--given", "3,7", "--count", 2, "--out", "mine", "--force") == 0
    files = sorted(path.relative_to("mine").as_posix() for path in Path("mine").rglob("*.png"))
    assert files == ["3/000000.png", "3/000001.png", "3/000099.png", "7/000002.png", "7/000003.png"]
    (Path("mine") / "3" / "000099.png").unlink()
    assert open_data("mine").classes == ("3", "7"), "genae reads their classes"
    assert genae("sample", told, "--given", "7", "--count", 2, "--out", "mine") == 0
    assert sorted(path.name for path in Path("mine").rglob("*.png")) == ["000000.png", "000001.png"]
    assert genae("sample", told, "--prior", "plain", "--count", 1, "--out", "mine/before") == 0
    assert genae("sample", told, "--given", "all", "--count", 1, "--out", "mine") == 0
    assert Path("mine/before/000000.png").exists(), "no class is called so: these are of another call"


def test_an_array_of_samples_has_their_classes(genae, told) -> None:
    assert genae("sample", told, "--given", "9", "--given", "4", "--count", 2, "--out", "s.npz") == 0
    assert np.load("s.npz")["labels"].tolist() == ["9", "9", "4", "4"]
    data = open_data("s.npz")
    assert data.labels is not None
    assert [data.classes[label] for label in data.labels.tolist()] == ["9", "9", "4", "4"]
    assert genae("sample", told, "--prior", "plain", "--out", "t.npz") == 0
    assert "labels" not in np.load("t.npz")


@pytest.mark.parametrize("name", ["a/b", "..", ".hidden", "aux", "a.", "a:b"])
def test_a_class_that_no_folder_can_be_called_is_refused(name, tmp_path) -> None:
    from genae.cli.arguments import expect_writable
    from genae.errors import GenaeError

    with pytest.raises(GenaeError, match=r"no folder can be called .*; write an \.npz, or one class with --given"):
        expect_writable(str(tmp_path / "mine"), False, folders=["7", name])
