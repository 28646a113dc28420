"""What the terminal shows: on a pseudo-terminal as a person sees it, in a pipe as a program reads it."""

import io
import os
import re
import subprocess
import sys
import threading
import time

import pytest
from rich.console import Console

from genae.cli import screen
from genae.training.config import Config

pty = pytest.importorskip("pty", reason="this system has no pseudo-terminals")


class Terminal:
    """A pseudo-terminal of 100 columns; ``text()`` closes it and returns what was shown, without colours."""

    def __init__(self):
        self.master, slave = pty.openpty()
        self.slave = os.fdopen(slave, "w", buffering=1)
        self.shown = b""
        self.reader = threading.Thread(target=self._read)
        self.reader.start()

    def _read(self):
        while True:
            try:
                piece = os.read(self.master, 4096)
            except OSError:  # the other end is closed
                return
            if not piece:
                return
            self.shown += piece

    def console(self):
        return Console(file=self.slave, highlight=False, width=100)

    def text(self):
        self.slave.close()
        self.reader.join(10)
        os.close(self.master)
        return re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", self.shown.decode()).replace("\r", "")


@pytest.fixture
def terminal(monkeypatch):
    """A person at a terminal: results and progress go to the same one."""
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("RANK", raising=False)
    made = Terminal()
    monkeypatch.setattr(screen, "console", made.console())
    monkeypatch.setattr(screen, "_stderr", screen.console)
    assert screen.console.is_terminal
    return made


@pytest.fixture
def piped(monkeypatch):
    """A program that reads: ``piped("out")`` and ``piped("err")`` are what was written; times are a thousandth."""
    monkeypatch.delenv("RANK", raising=False)
    files = {"out": io.StringIO(), "err": io.StringIO()}
    monkeypatch.setattr(screen, "console", Console(file=files["out"], highlight=False, width=80))
    monkeypatch.setattr(screen, "_stderr", Console(file=files["err"], highlight=False, width=80))
    monkeypatch.setattr(screen, "FIRST_REPORT", 0.02)
    monkeypatch.setattr(screen, "REPORT_EVERY", 0.05)
    return lambda name: files[name].getvalue()


TRAINING = {"images": 640, "seconds": 3.2, "images_per_second": 213.4, "data_share": 0.01}
TRAINING |= {"losses": {"autoencoder": {"mse": 0.1234, "adversarial": 0.7}}}
VALIDATION = {"images": 640, "seconds": 3.2, "validation": {"mse": 0.05, "normal": 0.07}, "warnings": ["holes [0]"]}


def test_settings_are_a_table_for_a_person_and_a_line_for_a_program(terminal):
    config = Config(model="ae", data="[mine]", options={"width": 8})
    screen.print_settings(config)
    shown = terminal.text()
    assert re.search(r"^model +ae *$", shown, re.M)
    assert re.search(r"^data +\[mine\] *$", shown, re.M)
    assert re.search(r"^width +8 *$", shown, re.M)


def test_settings_in_a_pipe(piped):
    screen.print_settings(Config(model="ae", data="[mine]", options={"width": 8}))
    line = piped("out")
    assert line.startswith("model=ae data=[mine] ")
    assert line.endswith("width=8\n")
    assert line.count("\n") == 1


def test_tables_are_aligned_for_a_person(terminal):
    screen.print_table(["run", "mse"], [["[first]", "0.1"], ["second-run", "0.25"]])
    lines = terminal.text().splitlines()
    assert [line.split() for line in lines] == [["run", "mse"], ["[first]", "0.1"], ["second-run", "0.25"]]
    assert lines[1].index("0.1") == lines[2].index("0.25")


def test_tables_are_tab_separated_in_a_pipe(piped, capsys):
    screen.print_table(["run", "mse"], [["[first]", "0.1"]])
    assert capsys.readouterr().out == "run\tmse\n[first]\t0.1\n"
    assert not piped("err")


def test_training_on_a_terminal(terminal):
    with screen.Progress(1000) as progress:
        progress.show(TRAINING)
        progress.show(VALIDATION)
        progress.show(TRAINING | {"images": 1064})  # the last batch passes the total
    shown = terminal.text()
    assert "1,000 / 1,000 images" in shown
    assert "213 images/s" in shown
    assert "mse 0.1234" in shown
    assert "adversarial" not in shown
    assert "       640 images       3 s  validation mse 0.0500  normal 0.0700" in shown
    assert "warning: holes [0]" in shown


def test_work_on_a_terminal(terminal):
    with screen.Work() as work:
        work("features [inception]", 0, 2000)
        work("features [inception]", 1500, 2000)
        work("distances", 7, 9)
        work.bar.refresh()
    shown = terminal.text()
    assert re.search(r"features \[inception\] .* 1,500 / 2,000|distances .* 7 / 9", shown)
    assert re.search(r"distances .* 7 / 9", shown)


def test_notes_are_not_markup(terminal):
    screen.note("there is no [bold]run")
    assert terminal.text() == "note: there is no [bold]run\n"


def test_a_bar_is_drawn_beside_a_result_that_is_piped(terminal, monkeypatch, capsys):
    monkeypatch.setattr(screen, "console", Console(highlight=False, width=80))  # standard output, which is no terminal
    with screen.Work() as work:
        work("features", 1, 2)
        print("result")
        screen.console.print("another")
    assert capsys.readouterr().out == "result\nanother\n"
    assert re.search(r"features .* 1 / 2", terminal.text())


def until(condition):
    """Wait for a thread, however busy the machine is."""
    end = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < end, "nothing came"
        time.sleep(0.005)


def test_long_work_in_a_pipe_says_how_far_it_is(piped):
    with screen.Work() as work:
        work("features of [x]", 0, 1000)
        assert piped("err").startswith("features of [x]: 0 of 1,000\n"), "at once"
        until(lambda: re.search(r"^features of \[x\]: 0 of 1,000, \d+ s so far$", piped("err"), re.M))
        work("features of [x]", 500, 1000)
        until(lambda: len(re.findall(r"^features of \[x\]: 500 of 1,000, about \d+ s left$", piped("err"), re.M)) > 2)
        work("opening inception", 0, 1)
        until(lambda: re.search(r"^opening inception: \d+ s so far$", piped("err"), re.M))
    assert piped("err").count("opening inception ...\n") == 1
    assert not piped("out")


def test_short_work_in_a_pipe_is_a_line(piped, monkeypatch):
    monkeypatch.setattr(screen, "FIRST_REPORT", 10.0)
    with screen.Work() as work:
        for done in range(5):
            work("features", done, 5)
        work("distances", 0, 3)
    assert piped("err") == "features: 0 of 5\ndistances: 0 of 3\n"


def test_an_error_ends_the_lines(piped):
    work = screen.Work()
    with pytest.raises(ValueError, match="broken"), work:
        raise ValueError("broken")
    assert not work.log.thread.is_alive()


def test_training_in_a_pipe(piped):
    with screen.Progress(1000) as progress:
        assert not piped("err"), "the settings were printed just before"
        until(lambda: re.search(r"^training: 1,000 images, \d+ s so far$", piped("err"), re.M))
        progress.show(TRAINING)
        progress.show(VALIDATION)
        until(lambda: "training: 640 of 1,000 images, 213 images/s, " in piped("err"))
        progress.show(TRAINING | {"images": 900})
        until(lambda: re.search(r"^training: 900 of 1,000 images, 213 images/s, about \d+ s left$", piped("err"), re.M))
    assert piped("out") == (
        "       640 images       3 s  validation mse 0.0500  normal 0.0700\n           warning: holes [0]\n"
    )


def test_other_processes_are_silent(piped, monkeypatch):
    monkeypatch.setenv("RANK", "1")
    with screen.Work() as work:
        work("features", 0, 5)
    assert work.log is None
    assert not piped("err")


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.4, "0 s"), (59, "59 s"), (60, "1 min"), (3540, "59 min"), (7500, "2 h 5 min")]
)
def test_durations(seconds, text):
    assert screen.duration(seconds) == text


def test_a_command_on_a_terminal():
    terminal = Terminal()
    command = [sys.executable, "-m", "genae", "--version"]
    subprocess.run(command, stdout=terminal.slave, stderr=terminal.slave, stdin=subprocess.DEVNULL, check=True)
    assert re.fullmatch(r"genae \d+\.\d+\.\d+\S*\n", terminal.text())
