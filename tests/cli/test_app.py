"""Options of genae itself."""

import genae as package


def test_the_version(genae, capsys):
    assert genae("--version") == 0
    assert capsys.readouterr().out == f"genae {package.__version__}\n"


def test_no_arguments_show_the_help(genae, capsys):
    assert genae() == 2
    shown = capsys.readouterr()
    assert "evaluate" in shown.out
    assert "--version" in shown.out
    assert not shown.err
