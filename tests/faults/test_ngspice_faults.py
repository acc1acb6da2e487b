"""The golden engine under attack, through the public API: the right error or the right numbers."""

from __future__ import annotations

import os
import resource
import shutil
import signal
import stat
import subprocess
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

import xbarspice as xb
from tests.helpers import LIMITS, PATIENCE, asymmetric_crossbar, is_running, wait_until
from xbarspice.core.errors import (
    ConvergenceError,
    EngineError,
    EngineMissingError,
    FloatingNodeError,
    InputError,
)
from xbarspice.devices import Device
from xbarspice.engines.ngspice import NgspiceEngine, golden_gradient
from xbarspice.engines.process import Program, run_group

REAL = shutil.which("ngspice")


def fake(folder: Path, body: str, name: str = "ngspice") -> str:
    """A program that passes the probe with the real ngspice, and then does `body` (sh)."""
    path = folder / name
    path.write_text(
        f'#!/bin/sh\nif [ "$3" = probe.cir ]; then exec {REAL} "$@"; fi\n{body}\n', encoding="utf-8"
    )
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return str(path)


def solve(executable=None, *, timeout=PATIENCE, **changes):
    crossbar, V_in = asymmetric_crossbar(**changes)
    engine = NgspiceEngine(executable=executable, timeout=timeout)
    return xb.solve(crossbar, V_in, engine=engine, full=True)


@pytest.fixture(autouse=True)
def temporary_directory(tmp_path, monkeypatch):
    """Run directories that a failure keeps are made below the test's own folder."""
    folder = tmp_path / "kept"
    folder.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(folder))
    return folder


def test_missing_binary_says_what_to_install(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(EngineMissingError, match="apt-get install ngspice"):
        solve()


def test_binary_that_cannot_be_run(tmp_path):
    path = tmp_path / "ngspice"
    path.write_bytes(b"\x00not a program")
    path.chmod(0o755)
    with pytest.raises(EngineMissingError, match="can be run"):
        solve(str(path))


def test_binary_that_is_not_ngspice(tmp_path):
    path = tmp_path / "ngspice"
    path.write_text("#!/bin/sh\necho blue moon\n")
    path.chmod(0o755)
    with pytest.raises(EngineError, match=r"behave like ngspice.*blue moon"):
        solve(str(path))


def test_binary_that_prints_garbage_and_no_results(tmp_path, temporary_directory):
    with pytest.raises(EngineError, match="last line not reached") as caught:
        solve(fake(tmp_path, "head -c 5000 /dev/urandom; head -c 5000 /dev/urandom >&2; exit 0"))
    directories = list(temporary_directory.iterdir())
    assert len(directories) == 1  # the directory stays, and the error names it
    assert str(directories[0]) in str(caught.value)
    assert (directories[0] / "deck.cir").is_file()


def test_binary_that_prints_without_end(tmp_path):
    with pytest.raises(EngineError, match="print less than"):
        solve(fake(tmp_path, "exec cat /dev/zero"))


def test_binary_that_lies_about_success(tmp_path):
    """Sentinel and exit status 0, but no raw file."""
    with pytest.raises(EngineError, match="raw file"):
        solve(fake(tmp_path, "echo Using KLU; echo XBARSPICE-DONE"))


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ("mv circuit0.raw spare; mv circuit1.raw circuit0.raw; mv spare circuit1.raw", "must"),
        ("cp circuit0.raw circuit2.raw", "must"),
        ("rm circuit1.raw", "raw file"),
        ("truncate -s 400 circuit1.raw", "raw file"),
    ],
)
def test_arrays_that_share_a_process_cannot_take_each_others_answers(tmp_path, fault, message):
    rng = np.random.default_rng(3)
    crossbar = xb.Crossbar(rng.uniform(1e-5, 1e-3, (3, 4, 3)))
    engine = NgspiceEngine(executable=fake(tmp_path, f'{REAL} "$@" || exit 1; {fault}'), workers=1)
    with pytest.raises(EngineError, match=message):
        xb.solve(crossbar, np.full(4, 0.1), engine=engine)


def test_a_circuit_that_is_not_solved_is_named_and_its_lines_are_shown(tmp_path):
    """Of three arrays the second has no operating point: the program says so of its deck."""
    body = "echo Using KLU; echo XBARSPICE-FAILED circuit1.cir; echo 'singular rd_1_1' >&2; exit 3"
    rng = np.random.default_rng(3)
    crossbar = xb.Crossbar(rng.uniform(1e-5, 1e-3, (3, 4, 3)))
    engine = NgspiceEngine(executable=fake(tmp_path, body), workers=1)
    with pytest.raises(ConvergenceError, match=r"point of circuit1\.cir.*row 1, column 1"):
        xb.solve(crossbar, np.full(4, 0.1), engine=engine)


def test_run_that_hangs_is_killed_with_its_children(tmp_path):
    """The time limit ends the whole process group: nothing of it is left."""
    note = tmp_path / "pids"
    program = fake(tmp_path, f"sleep 3600 & echo $! $$ > '{note}'; wait")
    for limit in LIMITS:
        with pytest.raises(EngineError, match=f"within {limit:g} s"):
            solve(program, timeout=limit)
        if note.exists():
            break
    processes = [int(number) for number in note.read_text().split()]
    assert len(processes) == 2
    wait_until(lambda: not any(map(is_running, processes)))


def test_a_run_that_ended_in_time_counts_though_nobody_looked(tmp_path, monkeypatch):
    """The program is over before this process comes to look, which it does after the limit."""

    def started(*arguments, **options):
        process = popen(*arguments, **options)
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
        time.sleep(0.02)
        return process

    popen = subprocess.Popen
    monkeypatch.setattr(subprocess, "Popen", started)
    program = Program(name="echo", remedy="")
    run = run_group(["echo", "done"], tmp_path, program=program, timeout=0.01)
    assert (run.status, run.stdout) == (0, "done\n")


def test_binary_killed_mid_run(tmp_path):
    """Killed by its process id from outside: an error that names the signal."""
    note = tmp_path / "pid"

    def kill() -> None:
        wait_until(lambda: note.exists() and note.read_text().strip())
        os.kill(int(note.read_text()), signal.SIGKILL)

    killer = threading.Thread(target=kill)
    killer.start()
    with pytest.raises(EngineError, match="signal 9"):
        solve(fake(tmp_path, f"echo $$ > '{note}'; exec sleep 60"))
    killer.join()


@pytest.mark.parametrize("tenth", range(10))
def test_truncated_raw_file(tmp_path, tenth):
    """A raw file cut at any tenth of its length is never read as an answer."""
    body = (
        f'{REAL} "$@"; status=$?; size=$(stat -c %s result.raw); '
        f"truncate -s $((size * {tenth} / 10)) result.raw; exit $status"
    )
    with pytest.raises(EngineError, match="raw file"):
        solve(fake(tmp_path, body))


def test_raw_file_with_a_value_that_is_not_finite(tmp_path):
    patch = "printf '\\000\\000\\000\\000\\000\\000\\370\\177'"
    body = (
        f'{REAL} "$@"; status=$?; size=$(stat -c %s result.raw); '
        f"{patch} | dd of=result.raw bs=1 seek=$((size - 8)) conv=notrunc 2>/dev/null; exit $status"
    )
    with pytest.raises(EngineError, match="finite"):
        solve(fake(tmp_path, body))


FALSIFIER = """
import re, sys
import numpy as np
head, _, data = open("result.raw", "rb").read().partition(b"Binary:\\n")
names = [line.split()[1] for line in head.decode().partition("Variables:\\n")[2].splitlines()]
at = {name: k for k, name in enumerate(names)}
values = np.frombuffer(data).reshape(-1, len(names)).copy()
outputs = [k for n, k in at.items() if re.match(r"i\\([vb](bs|out)_", n)]
currents = [k for n, k in at.items() if re.match(r"i\\([vb](in|out|ws|bs)_", n)]
cells = [k for n, k in at.items() if re.match(r"v\\([wb]_", n)]
%s
open("result.raw", "wb").write(head + b"Binary:\\n" + values.tobytes())
"""
"""Changes the raw file of a good run: `values` (points, columns), columns by kind."""

SWAP = "values[:, outputs[:2]] = values[:, outputs[1::-1]]"
FALSEHOODS = {
    "two outputs swapped": SWAP,
    "all currents one percent large": "values[:, currents] *= 1.01",
    "one output one percent large": "values[:, outputs[2]] *= 1.01",
    "currents of the points rotated": "values[:, currents] = np.roll(values[:, currents], 1, 0)",
    "all of the points rotated": "values = np.roll(values, 1, 0)",
    "two points exchanged, not their drives": (
        "moved = currents + cells; values[:2, moved] = values[1::-1, moved]"
    ),
    "one node voltage changed": "values[0, cells[0]] += 1e-4",
    "all node voltages moved": "values[:, cells] += 1e-4",
    "sense nodes away from 0 V": (
        "values[:, [k for n, k in at.items() if re.match(r'v.bs_', n)]] += 1e-6"
    ),
    "index of the sweep shifted": "values[:, at['v(idx)']] += 1",
}


def falsify(folder: Path, change: str) -> str:
    """A program that runs the real ngspice and then changes its results."""
    script = folder / "falsify.py"
    script.write_text(FALSIFIER % change, encoding="utf-8")
    return fake(folder, f'{REAL} "$@" || exit $?; exec {sys.executable} {script}')


def honest_case(device: str, points: int):
    """An array whose outputs all differ, and vectors of which the first drives one line only."""
    crossbar = xb.Crossbar(
        np.random.default_rng(3).uniform(1e-4, 5e-4, (4, 3)),
        R_wl=1.0,
        R_bl=2.0,
        R_sense=5.0,
        R_driver=3.0,
        device=device,
    )
    V_in = np.random.default_rng(4).uniform(-0.2, 0.2, (points, 4))
    V_in[0] = [0.2, 0, 0, 0]
    return crossbar, V_in


@pytest.mark.parametrize("falsehood", FALSEHOODS)
@pytest.mark.parametrize(
    ("device", "points"),
    [("ohmic", 1), ("ohmic", 3), ("ohmic", 9), ("sinh_tio2", 1), ("sinh_tio2", 3)],
)
def test_falsified_results_are_refused(tmp_path, falsehood, device, points):
    """By default, without node voltages asked for: one vector, a sweep, superposed unit vectors."""
    crossbar, V_in = honest_case(device, points)
    engine = NgspiceEngine(executable=falsify(tmp_path, FALSEHOODS[falsehood]))
    with pytest.raises(EngineError, match=r"Kirchhoff|asked for|order|add up"):
        xb.solve(crossbar, V_in, engine=engine)


@pytest.mark.parametrize("device", ["ohmic", "sinh_tio2"])
def test_unchanged_results_are_accepted(tmp_path, device):
    """The falsifier itself is not what is refused."""
    crossbar, V_in = honest_case(device, 3)
    actual = xb.solve(crossbar, V_in, engine=NgspiceEngine(executable=falsify(tmp_path, "")))
    expected = xb.solve(crossbar, V_in, engine="nodal")
    np.testing.assert_allclose(actual.I_out, expected.I_out, rtol=1e-9)
    assert "points checked at every node" in actual.stats.method


@pytest.mark.parametrize("undriven", [False, True])
def test_silent_inputs_do_not_hide_a_falsehood(tmp_path, undriven):
    """Nothing is driven, so every asked current is 0: the probe still knows the outputs apart."""
    crossbar, V_in = honest_case("sinh_tio2", 1)
    V_in = np.zeros(4) if undriven else V_in[0]
    engine = NgspiceEngine(executable=falsify(tmp_path, SWAP))
    with pytest.raises(EngineError, match="Kirchhoff"):
        xb.solve(crossbar, V_in, engine=engine)


@pytest.mark.parametrize("device", ["ohmic", "sinh_tio2"])
@pytest.mark.parametrize("change", ["other devices", "other wires", "transposed", "other drive"])
def test_raw_file_of_another_array_is_refused(tmp_path, device, change):
    crossbar = xb.Crossbar(
        np.random.default_rng(3).uniform(1e-4, 5e-4, (3, 3)), R_sense=5.0, device=device
    )
    V_in = np.array([[0.1, 0.15, -0.2], [0.2, 0, 0]])
    changed = {
        "other devices": crossbar.replace(G=crossbar.G[:, ::-1]),
        "other wires": crossbar.replace(R_wl=1.01),
        "transposed": crossbar.replace(G=crossbar.G.T),
        "other drive": crossbar,
    }[change]
    folder = tmp_path / "runs"
    folder.mkdir()
    engine = NgspiceEngine(keep=True, directory=folder)
    xb.solve(changed, 1.01 * V_in if change == "other drive" else V_in, engine=engine)
    (raw,) = folder.glob("*/result.raw")
    engine = NgspiceEngine(executable=fake(tmp_path, f'{REAL} "$@"; cp {raw} result.raw'))
    with pytest.raises(EngineError, match=r"Kirchhoff|asked for"):
        xb.solve(crossbar, V_in, engine=engine)


@pytest.mark.parametrize(
    ("device", "edit"),
    [
        ("ohmic", r"s/^\(Rd_1_1 .* \)[0-9.]*$/\1 2001.0/"),
        ("sinh_tio2", r"s/^\(Xd_1_1 .*xb_g=\).*$/\1 0.0002001/"),
        ("sinh_tio2", r"s/\(xb_b=\)[0-9.]*/\1 2.72/"),
        ("ohmic", r"s/^\(Rw_0_1 .* \)[0-9.]*$/\1 1.001/"),
        ("ohmic", r"s/^\(Rbb_2 .* \)[0-9.]*$/\1 5.001/"),
    ],
)
def test_deck_that_was_changed_on_the_way_is_refused(tmp_path, device, edit):
    """One device, its model, one segment, one line end other than the array's."""
    crossbar, V_in = honest_case(device, 3)
    engine = NgspiceEngine(
        executable=fake(tmp_path, f"sed -i '{edit}' deck.cir; exec {REAL} \"$@\"")
    )
    with pytest.raises(EngineError, match="Kirchhoff"):
        xb.solve(crossbar, V_in, engine=engine)


@pytest.mark.parametrize("change", ["cells[0], cells[1]", "outputs[0], outputs[1]"])
def test_falsified_small_signals_are_refused(tmp_path, change):
    """Two columns of the `.ac` run change places; the operating point before it is honest."""
    crossbar, V_in = honest_case("sinh_tio2", 1)
    code = f"a, b = {change}\nif b'complex' in head: values[:, [a, b]] = values[:, [b, a]]"
    script = FALSIFIER.replace(
        "np.frombuffer(data)", "np.frombuffer(data, 'c16' if b'complex' in head else 'f8')"
    )
    (tmp_path / "falsify.py").write_text(script % code)
    body = f'{REAL} "$@" || exit $?; exec {sys.executable} {tmp_path}/falsify.py'
    golden_gradient(crossbar, V_in[0], column=1)
    with pytest.raises(EngineError, match="small-signal"):
        golden_gradient(crossbar, V_in[0], column=1, executable=fake(tmp_path, body))


def test_disk_full(tmp_path):
    """The raw file does not fit (file-size limit): ngspice says 0, the engine does not."""
    code = (
        "import resource, signal, numpy as np, xbarspice as xb\n"
        "from xbarspice.core.errors import EngineError\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "from xbarspice.engines.ngspice import ngspice_info; ngspice_info()\n"
        "array = xb.Crossbar(np.full((8, 8), 1e-4), device='sinh_tio2')\n"
        "V = np.random.default_rng(0).uniform(0, .2, (400, 8))\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000))\n"
        "try:\n    xb.solve(array, V, engine='ngspice', full=True)\n"
        "except EngineError as error:\n    print('EngineError', error)\n"
    )
    import subprocess

    process = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        env=os.environ | {"TMPDIR": str(tmp_path)},
    )
    assert "EngineError" in process.stdout, process.stderr
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[0] == resource.RLIM_INFINITY


def test_directory_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("")
    crossbar, V_in = asymmetric_crossbar()
    engine = NgspiceEngine(directory=tmp_path / "file" / "below")
    with pytest.raises(EngineError, match="run directory must be made"):
        xb.solve(crossbar, V_in, engine=engine)


def test_floating_node_is_named_before_any_run():
    ends = xb.LineEnds(bl_bottom=["sensed", "floating", "sensed"])
    G = [[1e-4, 0, 1e-4], [1e-4, 0, 1e-4]]
    with pytest.raises(FloatingNodeError, match="bit line 1"):
        xb.solve(xb.Crossbar(G, ends=ends), [0.1, 0.2], engine="ngspice")


@dataclass(frozen=True, kw_only=True)
class Hostile(Device):
    """A device whose SPICE form is what a test wants it to be."""

    name = "hostile"
    source = "test"
    body: str

    def current(self, V, G):
        return G * V

    def derivative(self, V, G):
        return G + 0 * V

    def spice_parameters(self, G):
        return {}

    def spice_body(self):
        return self.body

    def verilog_a(self):
        return ""


def test_device_without_a_solution_does_not_converge():
    """No voltage fulfils this device's law; the error quotes what ngspice said."""
    jump = Hostile(body="B1 p n i=v(p,n) > 0.05 ? 1e-3 : 0")
    with pytest.raises(ConvergenceError, match="operating point"):
        solve(device=jump, R_driver=1000.0)


def test_device_that_floats_inside():
    """An island inside the device is an error, not 0 V."""
    island = Hostile(body="R1 p n {1/g}\nR2 x y 1")
    with pytest.raises(EngineError, match="singular"):
        solve(device=island)


def test_unknown_parameter_is_quoted():
    with pytest.raises(EngineError, match=r"(?i)printed.*nosuch"):
        solve(device=Hostile(body="R1 p n {nosuch}"))


def test_device_text_that_is_another_law_breaks_kirchhoff():
    """SPICE form and Python form disagree by a percent: noticed, not averaged."""
    with pytest.raises(EngineError, match="Kirchhoff"):
        solve(device=Hostile(body="R1 p n {1.01/g}"))


def test_failure_of_one_array_ends_the_others(tmp_path):
    """A batch with one failing process raises that failure and leaves no process behind."""
    executable = fake(tmp_path, "exit 7")
    crossbar = xb.Crossbar(np.full((6, 2, 2), 1e-4))
    with pytest.raises(EngineError, match="exit status 7"):
        xb.solve(crossbar, [0.1, 0.2], engine=NgspiceEngine(executable=executable, workers=2))


def test_node_names_in_another_case(tmp_path):
    """Names are found whatever the case in which the raw file spells them."""
    body = f'{REAL} "$@"; status=$?; sed -i "/^\\t/s/v(\\|i(/\\U&/" result.raw; exit $status'
    expected = xb.solve(*asymmetric_crossbar(), engine="nodal")
    actual = solve(fake(tmp_path, body))
    assert np.allclose(actual.I_out, expected.I_out, rtol=1e-10, atol=0)


def test_path_with_spaces_and_other_alphabets(tmp_path):
    """Program and run directories may lie anywhere."""
    folder = tmp_path / "Übergröße и пробел 表"
    folder.mkdir()
    executable = fake(folder, f'exec {REAL} "$@"', name="ng spice é")
    crossbar, V_in = asymmetric_crossbar()
    engine = NgspiceEngine(executable=executable, directory=folder, keep=True)
    actual = xb.solve(crossbar, V_in, engine=engine)
    expected = xb.solve(crossbar, V_in, engine="nodal")
    assert np.allclose(actual.I_out, expected.I_out, rtol=1e-10, atol=0)
    assert str(folder) in actual.stats.notes[-1]


def test_start_up_files_of_the_user_are_not_read(tmp_path, monkeypatch):
    """A .spiceinit in HOME or the working directory cannot change an answer."""
    (tmp_path / ".spiceinit").write_text("set numdgt=3\nset filetype=ascii\n")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("SPICE_ASCIIRAWFILE", "1")
    monkeypatch.chdir(tmp_path)
    expected = xb.solve(*asymmetric_crossbar(), engine="nodal")
    assert np.allclose(solve().I_out, expected.I_out, rtol=1e-10, atol=0)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("SPICE_LIB_DIR", "/nowhere"),
        ("SPICE_SCRIPTS", "/nowhere"),
        ("SPICE_PATH", "/nowhere"),
        ("SPICE_USERINIT_DIR", "/nowhere"),
        ("NGSPICE_MEAS_PRECISION", "2"),
        ("NGSPICE_INPUT_DIR", "/nowhere"),
        ("SPICE_ASCIIRAWFILE", "1"),
    ],
)
def test_variables_of_another_installation_change_nothing(monkeypatch, name, value):
    """`doctor` said ok and every solve was refused; now neither sees the variable."""
    monkeypatch.setenv(name, value)
    expected = xb.solve(*asymmetric_crossbar(), engine="nodal")
    assert np.allclose(solve().I_out, expected.I_out, rtol=1e-10, atol=0)


def test_an_installation_without_its_initialization_file_works(tmp_path):
    """It holds nothing that a run needs (the deck says everything)."""
    body = f'SPICE_LIB_DIR=/nowhere exec {REAL} "$@"'
    expected = xb.solve(*asymmetric_crossbar(), engine="nodal")
    assert np.allclose(solve(fake(tmp_path, body)).I_out, expected.I_out, rtol=1e-10, atol=0)


def test_nothing_is_left_after_success(temporary_directory):
    solve()
    assert list(temporary_directory.iterdir()) == []


@pytest.mark.parametrize("settings", [{"timeout": 0}, {"timeout": -1.0}, {"workers": 0}])
def test_misuse_is_refused(settings):
    with pytest.raises(InputError):
        NgspiceEngine(**settings)
