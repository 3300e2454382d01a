"""pccl-run, python -m pccl.bench and python -m pccl.master, as they are typed."""

import json
import os
import pathlib
import shutil
import signal
import socket
import stat
import subprocess
import sys
import threading
import time

import pytest

import pccl
from pccl import _control
from test_operations import join

np = pytest.importorskip("numpy")

LIMIT_S = 240  # of what must end, however busy the machine is
BENCH = pathlib.Path(__file__).resolve().parents[2] / "build/release/bin/allreduce-bench"


def python_m(module, *arguments, **choices):
    return subprocess.run([sys.executable, "-m", module, *arguments], capture_output=True, text=True, timeout=LIMIT_S,
                          **choices)


def run(tmp_path, program, *flags, arguments=()):
    script = tmp_path / "program.py"
    script.write_text(program)
    return python_m("pccl.run", *flags, str(script), *arguments)


JOIN = """
import os, signal, sys, time
import pccl
communicator = pccl.Communicator(settings=pccl.Settings())
communicator.connect()
while communicator.world_size < 3:
    communicator.update_topology()
"""


def test_peers_find_their_master_and_number(tmp_path):
    found = run(tmp_path, JOIN + """
values = bytearray([1])
communicator.all_reduce_with(values)
print(os.environ["LOCAL_RANK"], "of", os.environ["LOCAL_WORLD_SIZE"], values[0], *sys.argv[1:], end="", flush=True)
""", "-n", "3", "--label", arguments=("--wide", "-n"))
    assert found.returncode == 0, found.stderr
    assert sorted(found.stdout.splitlines()) == [f"{n}: {n} of 3 3 --wide -n" for n in range(3)]


def test_who_dies_is_started_again_and_comes_back(tmp_path):
    found = run(tmp_path, JOIN + """
if os.environ["PCCL_RESTARTS"] == "0" and os.environ["LOCAL_RANK"] == "1":
    os.kill(os.getpid(), signal.SIGKILL)
while communicator.world_size == 3 and communicator.epoch < 4 and os.environ["PCCL_RESTARTS"] == "0":
    time.sleep(0.01)
while communicator.world_size < 3:
    communicator.update_topology()
communicator.barrier()
""", "-n", "3", "--restarts", "1", "--logs", str(tmp_path / "logs"))
    assert found.returncode == 0, found.stderr
    assert "peer 1 was killed by SIGKILL, and is started again (1 of 1)" in found.stderr
    assert sorted(path.name for path in (tmp_path / "logs").iterdir()) == [f"peer-{n}.log" for n in range(3)]


def test_labelled_lines_are_each_of_one_process_and_never_too_long(tmp_path):
    found = run(tmp_path, """
import os, sys
sys.stdout.write("first" if os.environ["PCCL_RESTARTS"] == "0" else 100_000 * "x")
sys.stdout.flush()
os.kill(os.getpid(), 9) if os.environ["PCCL_RESTARTS"] == "0" else None
""", "-n", "1", "--restarts", "1", "--label")
    lines = found.stdout.splitlines()
    assert found.returncode == 0 and lines[0] == "0: first" and len(lines) > 2, found.stdout[:200]


DIE = """
import os, sys, time
if os.environ["LOCAL_RANK"] == "1":
    sys.exit(7)
time.sleep(float(sys.argv[1]))
"""


def test_a_run_ends_with_too_few_peers(tmp_path):
    found = run(tmp_path, DIE, "-n", "3", arguments=("600",))
    assert found.returncode == 1 and "peer 1 ended with status 7" in found.stderr
    assert "SIGTERM" not in found.stderr  # that they ended as they were told
    found = run(tmp_path, DIE, "-n", "3", "--least", "2", arguments=("0.2",))
    assert found.returncode == 0, found.stderr



def await_until(condition):
    deadline = time.monotonic() + LIMIT_S
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def is_running(process):
    try:
        return bool(pathlib.Path(f"/proc/{process}/cmdline").read_bytes())
    except OSError:  # it may end right before it is read
        return False


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_peers_end_with_the_run(tmp_path, number):
    word = str(tmp_path / "sleeper.py")
    pathlib.Path(word).write_text(f"open({word!r} + str(__import__('os').getpid()), 'w')\n"
                                  "__import__('time').sleep(600)\n")
    parent = subprocess.Popen([sys.executable, "-m", "pccl.run", "-n", "2", word], stderr=subprocess.PIPE)
    await_until(lambda: len(list(tmp_path.glob("sleeper.py?*"))) == 2)
    parent.send_signal(number)
    assert parent.wait(LIMIT_S) == (128 + number if number == signal.SIGTERM else -number)
    peers = [int(path.name.removeprefix("sleeper.py")) for path in tmp_path.glob("sleeper.py?*")]
    await_until(lambda: not any(is_running(peer) for peer in peers))


@pytest.mark.parametrize("flags", [["--peers", "0", "x"], ["--least", "3", "x"], ["no-such-script.py"], []])
def test_bad_flags_are_refused(flags):
    assert python_m("pccl.run", *flags).returncode == 2


def test_the_bench_has_the_figures_of_allreduce_bench():
    flags = ["--local", "2", "--sizes", "4K,1M", "--iters", "3", "--warmup", "1"]
    found = python_m("pccl.bench", *flags)
    assert found.returncode == 0, found.stdout + found.stderr
    rows = json.loads(found.stdout.splitlines()[-1])["rows"]
    assert [row["bytes"] for row in rows] == [4096, 1 << 20]
    assert all(row["parity"] and row["errors"] == 0 and row["busbw_GBps"] > 0 for row in rows)
    theirs = subprocess.run([BENCH, *flags, "--json"], capture_output=True, text=True, check=True, timeout=LIMIT_S)
    for mine, line in zip(rows, theirs.stdout.splitlines(), strict=True):
        other = json.loads(line)
        assert list(mine) == list(other)
        same = ("collective", "plan", "dtype", "op", "peers", "bytes", "iters", "wire_bytes_per_peer")
        assert [mine[key] for key in same] == [other[key] for key in same]


@pytest.mark.parametrize("flags", [
    ["--dtype", "int32", "--op", "avg", "--inplace"], ["--dtype", "bfloat16"], ["--codec", "int8", "--plan", "direct"]])
def test_the_bench_checks_what_it_measures(flags):
    found = python_m("pccl.bench", "--sizes", "8K", "--iters", "2", *flags)
    assert found.returncode == 0, found.stdout + found.stderr
    assert " same right" in found.stdout


def test_the_bench_takes_whole_flags_only():
    """Those of peers are what it was given but for --local."""
    found = python_m("pccl.bench", "--loc", "2")
    assert found.returncode == 2 and "--loc" in found.stderr


class Master:
    """`python -m pccl.master` in a process of its own, for as long as the block lasts."""

    def __init__(self, address, *flags, **environment):
        self.command = [sys.executable, "-m", "pccl.master", "--listen", address, *flags]
        self.environment = os.environ | environment

    def __enter__(self):
        self.process = subprocess.Popen(self.command, stderr=subprocess.PIPE, text=True, env=self.environment)
        for line in self.process.stderr:
            if "listening on" in line:
                return self
        raise AssertionError("no master")

    def __exit__(self, *_):
        self.process.terminate()
        self.process.communicate(timeout=LIMIT_S)
        assert self.process.returncode == 0


@pytest.mark.parametrize(("one", "other", "differing"), [
    (["--peers", "2", "--iters", "2"], ["--peers", "2"], "--iters"),
    (["--peers", "2", "--inplace"], ["--peers", "3"], "--peers, --inplace")])
def test_peers_of_the_bench_with_different_flags_say_so_and_end(free_address, one, other, differing):
    with Master(free_address):
        command = [sys.executable, "-m", "pccl.bench", "--master", free_address, "--sizes", "4K"]
        peers = [subprocess.Popen([*command, *flags], stderr=subprocess.PIPE, text=True) for flags in (one, other)]
        said = [peer.communicate(timeout=LIMIT_S)[1] for peer in peers]
    assert [peer.returncode for peer in peers] == [1, 1]
    assert all(words.endswith(f"were started with different {differing}\n") for words in said), said


def enters(address, security):
    try:
        settings = pccl.Settings(security=security, connect_attempts=1)
        communicator = pccl.Communicator(address, settings=settings)
        communicator.connect(1)
    except pccl.errors.MasterConnectionFailedError:
        return False
    communicator.close()
    return True


def test_a_master_takes_its_secret_from_a_file_or_the_environment(tmp_path, free_address):
    said = python_m("pccl.master", "--generate-secret")
    secret = said.stdout.strip()
    assert said.stderr == ""  # no warning that the package has loaded it already
    file = tmp_path / "secret"
    file.write_text(secret + "\n")
    file.chmod(0o600)
    ours = pccl.Security(secret_file=file)
    theirs = pccl.Security(secret=pccl.generate_secret())
    with Master(free_address, "--security", "psk", "--secret-file", file):
        assert enters(free_address, ours) and not enters(free_address, theirs)
    with Master(free_address, PCCL_SECRET_FILE=str(file)):
        assert enters(free_address, ours) and not enters(free_address, theirs)
    found = python_m("pccl.master", "--listen", free_address, "--secret-file", str(tmp_path / "none"))
    assert found.returncode == 1 and "none" in found.stderr


def test_a_master_has_a_key_and_a_list(tmp_path, free_address):
    secret, key, ours, list_file = pccl.generate_secret(), tmp_path / "master", tmp_path / "ours", tmp_path / "list"
    said = python_m("pccl.master", "--show-key", str(key)).stdout.strip()
    assert said == pccl.describe_key(key)
    list_file.write_text(f"key {pccl.describe_key(ours)}\n")
    security = pccl.Security(secret=secret, identity_file=ours, master_keys=said)
    misled = pccl.Security(secret=secret, identity_file=ours, master_keys=pccl.describe_key(ours))
    with Master(free_address, "--key", key, "--allow", list_file, PCCL_SECRET=secret) as master:
        assert enters(free_address, security)
        assert not enters(free_address, pccl.Security(secret=secret)) and not enters(free_address, misled)
        list_file.write_text("# nobody\n")
        master.process.send_signal(signal.SIGHUP)
        assert "lets nobody join" in next(line for line in master.process.stderr if "pccl.master:" in line)
        assert enters(free_address, security)
        list_file.write_text(f"key {said}\n")
        master.process.send_signal(signal.SIGHUP)
        assert "read again" in next(line for line in master.process.stderr if "pccl.master:" in line)
        assert not enters(free_address, security)


def test_a_master_has_a_socket_for_its_operator(tmp_path, free_address):
    path = str(tmp_path / "control")
    with Master(free_address, "--control", path):
        assert stat.S_IMODE(os.lstat(path).st_mode) == 0o600
        assert _control.ask(path, "list") == []
        for line, words in (("lists", "no command"), ("reload", "no files"), ("evict name nobody", "nobody here is")):
            with pytest.raises(ValueError, match=words):
                _control.ask(path, line)
        with pytest.raises(ValueError, match="another master listens there"):
            _control.listen(path)
        told = subprocess.run([BENCH.with_name("pccl-master"), "--control", path, "--do", "bans"], timeout=LIMIT_S)
        assert told.returncode == 0
        found = python_m("pccl.master", "--control", path, "--do", "evict uuid 0")
        assert found.returncode == 1 and "is no uuid" in found.stderr
    assert not os.path.exists(path)
    _control.listen(path).close()
    _control.listen(path).close()  # where one that was killed has left it


def test_a_master_without_files_has_nothing_to_read_again(free_address):
    with Master(free_address) as master:
        master.process.send_signal(signal.SIGHUP)
        assert "no files to read again" in master.process.stderr.readline()


def test_an_operator_is_answered_whatever_fails_and_the_next_one_is_heard(tmp_path):
    path = str(tmp_path / "control")
    listener = _control.listen(path)

    def obey(line):
        if line == "stumble":
            raise KeyError(line)
        return [line]

    thread = threading.Thread(target=_control.serve, args=(listener, obey))
    thread.start()
    with pytest.raises(ValueError, match="KeyError"):
        _control.ask(path, "stumble")
    assert _control.ask(path, "go on") == ["go on"]
    listener.shutdown(socket.SHUT_RDWR)
    thread.join(LIMIT_S)
    listener.close()


def test_a_master_refuses_a_log_level_that_is_none(free_address, monkeypatch):
    monkeypatch.setenv("PCCL_LOG_LEVEL", "bogus")
    found = python_m("pccl.master", "--listen", free_address)
    assert found.returncode == 1 and "bogus" in found.stderr


def test_a_master_that_does_not_answer_is_given_up(tmp_path):
    """Also by who hears signals all the time."""
    path = str(tmp_path / "control")
    listener = _control.listen(path)
    before = signal.signal(signal.SIGALRM, lambda *_: None)
    signal.setitimer(signal.ITIMER_REAL, 0.2, 0.2)
    try:
        with pytest.raises(ValueError, match="does not answer"):
            _control.ask(path, "list")
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    listener.close()


def test_a_master_in_this_process_obeys(free_address):
    secret = pccl.generate_secret()
    with pccl.MasterNode(free_address, security=pccl.Security(secret=secret)) as master:
        communicator = pccl.Communicator(free_address, settings=pccl.Settings(security=pccl.Security(secret=secret)))
        communicator.connect(1)
        line, = master.command("list")
        words = line.split()
        assert words[:3] == ["member", "group", "0"] and "pccl-key-" in line
        assert master.command(f"ban key {words[words.index('key') + 1]} because of this test") == [line]
        with pytest.raises(pccl.errors.EvictedError, match="banned this peer: of this test"):
            while True:
                communicator.update_topology()
        communicator.close()
        with pytest.raises(pccl.errors.PCCLError, match="no command"):
            master.command("lists")


def openssl(*arguments):
    subprocess.run(["openssl", *map(str, arguments)], check=True, capture_output=True)


class Authority:
    """Makes certificates in a folder."""

    def __init__(self, folder, name):
        self.folder = folder
        self.certificate, self.key = folder / f"{name}.pem", folder / f"{name}.key"
        openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", 2, "-subj",
                f"/CN={name}", "-keyout", self.key, "-out", self.certificate)

    def security(self, name):
        certificate, key, request = (self.folder / f"{name}.{kind}" for kind in ("pem", "key", "csr"))
        openssl("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", f"/CN={name}",
                "-keyout", key, "-out", request)
        openssl("x509", "-req", "-in", request, "-CA", self.certificate, "-CAkey", self.key, "-CAcreateserial", "-days",
                2, "-out", certificate)
        return pccl.Security("tls", authority_file=self.certificate, certificate_file=certificate, key_file=key)


def flags_of(security):
    return ["--security", "tls", "--authority-file", str(security.authority_file), "--certificate-file",
            str(security.certificate_file), "--key-file", str(security.key_file)]


def reduce_by_certificate(number, count, address, security):
    with join(address, count, security=security) as communicator:
        values = np.full(1000, number + 1)
        communicator.all_reduce_with(values)
        return int(values[0])


def test_certificates_let_in_those_whose_authority_counts(tmp_path, free_address, run_peers):
    if shutil.which("openssl") is None:
        pytest.skip("there is no openssl to make certificates with")
    authority, other = Authority(tmp_path, "authority"), Authority(tmp_path, "other")
    peer = authority.security("peer")
    with Master(free_address, *flags_of(authority.security("master"))):
        assert run_peers(reduce_by_certificate, 2, free_address, peer) == {0: 3, 1: 3}
        assert not enters(free_address, other.security("stranger"))
        assert not enters(free_address, pccl.Security(secret=pccl.generate_secret()))
    found = python_m("pccl.master", "--listen", free_address, "--security", "tls", "--key-file", str(peer.key_file))
    assert found.returncode == 1 and "certificate" in found.stderr.lower()
