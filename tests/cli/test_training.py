"""Commands that train."""


def test_training_one_owns_pictures(folder_of_images, genae, tiny_flags):
    (folder_of_images / "table.csv").write_text(
        "file,bright\n" + "".join(f"{c}/{i}.png,{i % 2}\n" for c in ("cat", "dog") for i in range(12))
    )
    arguments = ["--data", folder_of_images, "--run", "mine", "--images", "64", *tiny_flags]
    assert genae("train", "stacked-wae", *arguments) == 0
    edit = ["edit", "mine", "--attributes", folder_of_images / "table.csv", "--attribute", "bright", "--count", "2"]
    assert genae(*edit) == 0
    assert genae("report", "mine") == 0


def test_the_prior_of_a_preset_is_fitted(tmp_path, monkeypatch, capsys, genae):
    from genae.settings.presets import FITTED

    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(FITTED, "ae", {"name": "after", "kind": "gaussian"})
    assert genae("train", "ae", "--data", "digits", "--run", "r", "--images", "64") == 0
    assert "gaussian prior: r/priors/after.safetensors" in capsys.readouterr().out
    assert genae("train", "ae", "--data", "digits", "--run", "r", "--dry-run") == 0
    assert "then a prior is fitted: name after, kind gaussian" in capsys.readouterr().out


def test_a_dry_run_says_what_fits(capsys, genae):
    flags = ["--data", "digits", "--size", "32", "--run", "x", "--dry-run"]
    assert genae("train", "style-alae/tiny", *flags) == 0
    shown = capsys.readouterr()
    lines = [line.split("\t") for line in shown.out.splitlines() if "\t" in line]
    assert lines[0][4:] == ["weights, Adam", "iteration", "validation", "together"]
    assert "counted in float32: with bfloat16 an iteration takes less" in shown.err
    assert "1,797 images with 8 bits a value are 2 MB; a GPU keeps them if that is at most 50%" in shown.err
    assert [line[:3] for line in lines[1:]] == [
        ["4", "0", "16"], ["8", "20,000", "16"], ["16", "40,000", "16"], ["32", "60,000", "16"],
    ]  # fmt: skip
    sizes = [int(line[5].removesuffix(" MB")) for line in lines[1:]]
    assert sizes == sorted(sizes)
    assert genae("train", "style-alae/tiny", *flags[2:]) == 0
    assert "memory is not known" in capsys.readouterr().err
    assert genae("train", "style-alae/tiny", *flags, "--slope-weight=inf") == 2
    assert "slope-weight is inf; expected a finite number" in capsys.readouterr().err


def test_importing_refuses_what_is_no_checkpoint(tmp_path, capsys, genae):
    assert genae("import-alae", tmp_path / "none.pth") == 2
    assert "there is no file" in capsys.readouterr().err
    assert genae("import-alae", tmp_path / "none.pth", "--out", "x.pth") == 2
    assert "expected .safetensors" in capsys.readouterr().err
    for content in ("", "name,value\na,1\n"):
        (tmp_path / "table.csv").write_text(content)
        assert genae("import-alae", tmp_path / "table.csv") == 2
        said = capsys.readouterr().err
        assert "table.csv is damaged, or not a PyTorch checkpoint" in said.replace("\n", " ")
        assert "Traceback" not in said


def test_a_folder_of_the_users_is_refused(tmp_path, capsys, genae, tiny_flags):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "config.json").write_text("{}")
    command = ["train", "ae", "--data", "digits", "--images", "64", *tiny_flags[:2]]
    assert genae(*command, "--run", tmp_path / "mine") == 2
    assert "no training of genae" in capsys.readouterr().err.replace("\n", " ")
    assert [file.name for file in (tmp_path / "mine").iterdir()] == ["config.json"]
    assert (tmp_path / "mine" / "config.json").read_text() == "{}"
    assert genae(*command, "--run", "new", "--seed", "-1") == 2
    assert "seed is -1; expected a whole number from 0 up" in capsys.readouterr().err.replace("\n", " ")
    assert not (tmp_path / "new").exists()


def test_a_shorter_training_says_that_its_learning_rate_follows(capsys, genae):
    flags = ["--run", "x", "--dry-run", "--images", "9000"]
    assert genae("train", "stacked-wae/digits", *flags) == 0
    assert "anneal is 9,000: the learning rate falls until the end" in capsys.readouterr().err.replace("\n", " ")
    assert genae("train", "stacked-wae/digits", *flags, "--anneal", "5000") == 0
    assert "anneal is" not in capsys.readouterr().err


def test_reproduce_writes_a_table_from_flags(genae, tmp_path, capsys):
    flags = ["--budget", "smoke", "--rows", "true data", "--columns", "celeba_mse", "--out", tmp_path / "tables"]
    assert genae("reproduce", "swae/table1", *flags, "--runs", tmp_path / "runs") == 0
    assert "swae-table1-smoke.md" in capsys.readouterr().out
    page = (tmp_path / "tables" / "swae-table1-smoke.md").read_text()
    assert "true data, celeba_mse: real data have no reconstructions" in page
    assert genae("reproduce", "swae/table1", "--data", "celeba") == 2
    assert "--data is 'celeba'; expected NAME=SOURCE such as celeba=FOLDER" in capsys.readouterr().err
