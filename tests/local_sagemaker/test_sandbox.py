"""What stands around a job's process: bindings, rewriting, overlays, archives, image names, failure texts."""

import io
import os
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

from helpers.local_sagemaker import failures, images, overlays, rewriting, sandbox, staging
from helpers.local_sagemaker.errors import AwsError


@pytest.fixture
def ml_root(tmp_path: Path) -> Path:
    """A folder that stands behind /opt/ml, with a script in it."""
    root = tmp_path / "host" / "ml"
    (root / "code").mkdir(parents=True)
    (root / "code" / "show.sh").write_text('cat /opt/ml/note; echo "$WHERE"; pwd\n')
    (root / "note").write_text("bound\n")
    return root


def run(ml_root: Path, argv: list[str], **env: str) -> subprocess.CompletedProcess:
    """A sandboxed process, to its end."""
    clean = sandbox.clean_environment("http://127.0.0.1:1", "us-east-1", Path(sys.executable), ml_root)
    process = sandbox.launch(argv, ml_root, clean | env, stdout=subprocess.PIPE, cwd="/opt/ml/code")
    output, _ = process.communicate(timeout=60)
    return subprocess.CompletedProcess(argv, process.returncode, output.decode())


@pytest.mark.parametrize("way", ["", "rewrite"])
def test_a_process_sees_its_folder_in_files_arguments_environment_and_cwd(ml_root, monkeypatch, way):
    monkeypatch.setenv("LOCAL_SAGEMAKER_BIND", way)
    done = run(ml_root, ["sh", "/opt/ml/code/show.sh"], WHERE="/opt/ml/model")
    root = ml_root if sandbox.binding().way == "rewrite" else "/opt/ml"
    assert done.stdout.splitlines() == ["bound", f"{root}/model", f"{root}/code"]


@pytest.mark.parametrize("way", ["bwrap", "unshare", "rewrite"])
def test_a_process_has_the_callers_user(ml_root, way):
    code = f"""
import pathlib, subprocess, sys
from helpers.local_sagemaker import sandbox
root = pathlib.Path({str(ml_root)!r})
clean = sandbox.clean_environment("http://127.0.0.1:1", "us-east-1", pathlib.Path(sys.executable), root)
process = sandbox.launch(["id", "-u"], root, clean, stdout=subprocess.PIPE, cwd="/opt/ml/code")
print(process.communicate(timeout=60)[0].decode())
"""
    as_user = ["unshare", "--user", "--map-user=1234", "--map-group=1234"]
    environment = os.environ | {"LOCAL_SAGEMAKER_BIND": way}
    done = subprocess.run(
        [*as_user, sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=90, check=False
    )
    assert done.stdout.split() == ["1234"], done.stderr


def test_the_environment_of_the_server_is_not_inherited(ml_root, monkeypatch):
    monkeypatch.setenv("DATABASE_PASSWORD", "secret")
    assert "secret" not in run(ml_root, ["env"]).stdout


def test_the_rest_of_opt_stays_visible(ml_root):
    siblings = {path.name for path in Path("/opt").iterdir()} - {"ml"}
    assert set(run(ml_root, ["ls", "/opt"]).stdout.split()) - {"ml"} == siblings


def test_the_exit_code_comes_through(ml_root):
    assert run(ml_root, ["sh", "-c", "exit 7"]).returncode == 7


def test_a_missing_command_is_told_before_anything_runs(ml_root):
    with pytest.raises(FileNotFoundError, match="no-such-command"):
        run(ml_root, ["no-such-command"])


def test_an_unknown_way_of_binding_is_refused(monkeypatch):
    monkeypatch.setenv("LOCAL_SAGEMAKER_BIND", "chroot")
    with pytest.raises(RuntimeError, match="expected one of bwrap, unshare, rewrite"):
        sandbox.binding()


def test_rewriting_leaves_other_paths_and_binary_files_alone(tmp_path):
    root = tmp_path / "ml"
    root.mkdir()
    assert rewriting.rewrite("/opt/ml/model /opt/mlflow /opt/ml:", root) == f"{root}/model /opt/mlflow {root}:"
    (root / "model.bin").write_bytes(b"\0/opt/ml")
    (root / "train.py").write_text("open('/opt/ml/a')")
    rewriting.rewrite_folders([root], root)
    rewriting.rewrite_folders([root], root)
    assert (root / "model.bin").read_bytes() == b"\0/opt/ml"
    assert (root / "train.py").read_text() == f"open('{root}/a')"


def test_rewriting_reaches_into_source_bundles(tmp_path):
    root = tmp_path / "ml"
    (root / "code").mkdir(parents=True)
    (root / "train.py").write_text("open('/opt/ml/a')")
    with tarfile.open(root / "code" / "sourcedir.tar.gz", "w:gz") as tar:
        tar.add(root / "train.py", "train.py")
    rewriting.rewrite_folders([root / "code"], root)
    with tarfile.open(root / "code" / "sourcedir.tar.gz") as tar:
        assert tar.extractfile("train.py").read().decode() == f"open('{root}/a')"


def test_an_interpreter_sees_the_host_and_installs_into_itself(tmp_path):
    python = overlays.make_interpreter(tmp_path / "python")
    code = (
        "import sys, sysconfig, numpy; print(sys.prefix); print(sysconfig.get_path('purelib')); print(numpy.__file__)"
    )
    prefix, packages, numpy = subprocess.check_output([python, "-c", code], text=True).splitlines()
    assert prefix == str(tmp_path / "python")
    assert packages.startswith(prefix)
    assert not numpy.startswith(prefix)


def test_an_overlay_is_installed_once_for_the_same_requirements(tmp_path):
    requirements, installs = tmp_path / "requirements.txt", []
    requirements.write_text("numpy\n")

    def pip(argv: list[str], cwd: Path, env: dict[str, str]) -> tuple[int, list[str]]:
        installs.append(argv)
        return 0, []

    first = overlays.overlay(tmp_path / "cache", requirements, run=pip)
    assert overlays.overlay(tmp_path / "cache", requirements, run=pip) == first
    assert len(installs) == 1
    requirements.write_text("numpy\npandas\n")
    assert overlays.overlay(tmp_path / "cache", requirements, run=pip) != first


@pytest.mark.parametrize(
    ("output", "named"),
    [
        (["ERROR: No matching distribution found for prophet==9"], "the requirement prophet==9"),
        (["ERROR: Could not find a version that satisfies the requirement x>2 (from versions: none)"], "x>2"),
        (["ERROR: Invalid requirement: '=='"], "Invalid requirement"),
    ],
)
def test_a_failed_installation_names_the_requirement(tmp_path, output, named):
    requirements = tmp_path / "requirements.txt"
    requirements.write_text("whatever\n")
    with pytest.raises(overlays.RequirementsError, match=named):
        overlays.overlay(tmp_path / "cache", requirements, run=lambda *_: (1, output))


@pytest.mark.parametrize("name", ["../outside.txt", "/etc/outside.txt"])
def test_an_archive_that_leaves_its_folder_is_refused(tmp_path, name):
    archive = tmp_path / "model.tar.gz"
    with tarfile.open(archive, "w:gz") as tar:
        member = tarfile.TarInfo(name)
        member.size = 1
        tar.addfile(member, io.BytesIO(b"x"))
    folder = tmp_path / "a" / "model"
    try:
        staging.extract_tar(archive, folder)
    except staging.StagingError as error:
        assert name.strip("/") in str(error)
    assert not (tmp_path / "a" / "outside.txt").exists()
    assert not Path("/etc/outside.txt").exists()


def test_a_file_that_is_no_archive_is_refused(tmp_path):
    (tmp_path / "model.tar.gz").write_text("no archive")
    with pytest.raises(staging.StagingError, match=r"model\.tar\.gz cannot be extracted"):
        staging.extract_tar(tmp_path / "model.tar.gz", tmp_path / "model")


@pytest.mark.parametrize(
    "uri",
    [
        "s3://data/a/b.csv",
        "https://data.s3.amazonaws.com/a/b.csv",
        "https://data.s3.us-east-1.amazonaws.com/a/b.csv",
        "https://s3.us-east-1.amazonaws.com/data/a/b.csv",
    ],
)
def test_every_spelling_of_an_s3_url_is_the_same_place(uri):
    assert staging.parse(uri) == staging.Location("data", "a/b.csv")


def test_what_is_no_s3_url_is_refused():
    with pytest.raises(staging.StagingError, match="file:///a"):
        staging.parse("file:///a")


@pytest.mark.parametrize(
    ("image", "name"),
    [
        ("683313688378.dkr.ecr.us-east-1.amazonaws.com/sagemaker-xgboost:3.0-5", "xgboost"),
        ("683313688378.dkr.ecr.us-east-1.amazonaws.com/sagemaker-scikit-learn:1.2-1-cpu-py3", "sklearn"),
        ("763104351884.dkr.ecr.eu-west-1.amazonaws.com/pytorch-training:2.6.0-cpu-py312", "pytorch"),
        ("763104351884.dkr.ecr.eu-west-1.amazonaws.com/huggingface-pytorch-inference:2.6.0", "huggingface"),
        ("local/mine", "local"),
    ],
)
def test_an_image_is_known_by_its_repository(image, name):
    assert images.runtime_for(image).name == name


def test_an_unknown_image_names_the_known_ones():
    with pytest.raises(AwsError, match="sagemaker-scikit-learn"):
        images.runtime_for("111122223333.dkr.ecr.us-east-1.amazonaws.com/mine:latest")


SDK_LOG = """\
Executing command: python3 train.py
Traceback (most recent call last):
File "/opt/ml/input/data/code/train.py", line 5, in <module>
raise RuntimeError('no data')
^^^^^^^^^^^^^^^^
RuntimeError: no data
Command failed with exit code 1. Traceback: Traceback (most recent call last):
  File "/opt/ml/input/data/sm_drivers/common/utils.py", line 1, in run
    raise subprocess.CalledProcessError(exitcode, commands)
subprocess.CalledProcessError: Command 'train.py' returned non-zero exit status 1.

++ exit 1""".splitlines()


def test_the_last_error_is_the_scripts_not_the_drivers():
    assert failures.last_error(SDK_LOG).splitlines()[-1] == "RuntimeError: no data"


def test_without_a_traceback_the_last_lines_tell():
    assert failures.last_error(["a", "", "Killed"]) == "a\nKilled"


def test_a_long_reason_keeps_its_beginning_and_its_end():
    reason = failures.shortened("AlgorithmError: " + "x" * 5000 + " the end")
    assert len(reason) == 1024
    assert reason.startswith("AlgorithmError: ")
    assert reason.endswith(" the end")
