"""The contract of AWS's training toolkit: what a training container finds in `/opt/ml` and in its environment.

Source: the public `sagemaker-training` toolkit and the drivers of the SageMaker Python SDK 3.
"""

from __future__ import annotations

import json
import re
import shlex
import zlib
from dataclasses import dataclass
from pathlib import Path

from helpers.local_sagemaker.images import Runtime

FOLDERS = (
    "input/config",
    "input/data",
    "model",
    "code",
    "checkpoints",
    "output/data",
    "output/intermediate",
    "output/tensorboard",
)
CODE_DIR = "/opt/ml/code"
SM_DRIVERS_DIR = "input/data/sm_drivers"
XGBOOST_ALGORITHM = Path(__file__).parent / "xgboost_algorithm.py"
_RESERVED_PREFIX = "sagemaker_"
TUNING_METRIC = "_tuning_objective_metric"  # the hyperparameter of a tuned job that names its objective
# How the SDK 2 asks for a launcher: hyperparameters such as sagemaker_torch_distributed_enabled.
_LAUNCHERS = re.compile(r"sagemaker_(\w+)_enabled")
_TORCHRUN = ("torch_distributed", "pytorch_ddp")
_FIRST_PORT, _PORTS = 20_000, 10_000


@dataclass(frozen=True)
class Training:
    """What the toolkit needs to know of a job.

    Attributes:
        name: the job's name.
        arn: the job's ARN.
        runtime: what stands in for the image.
        hyperparameters: as in the request: strings.
        channels: the content of inputdataconfig.json.
        environment: the request's Environment.
        instance_type: of all hosts.
        hosts: names of all hosts.
        host: the name of this one.
        cpus: how many the job may use.
        region: the AWS region.
    """

    name: str
    arn: str
    runtime: Runtime
    hyperparameters: dict[str, str]
    channels: dict[str, dict]
    environment: dict[str, str]
    instance_type: str
    hosts: list[str]
    host: str
    cpus: int
    region: str

    @property
    def program(self) -> str | None:
        """The entry point in script mode, None for a job without a script."""
        return self._reserved("program")

    @property
    def submit_directory(self) -> str | None:
        """Where the source code is: `s3://.../sourcedir.tar.gz` or a folder of the container."""
        return self._reserved("submit_directory")

    def _reserved(self, name: str) -> str | None:
        value = self.hyperparameters.get(_RESERVED_PREFIX + name)
        return None if value is None else str(decode(value))

    @property
    def user_hyperparameters(self) -> dict[str, object]:
        """The hyperparameters of the script, decoded from JSON where they are JSON."""
        return {
            name: decode(value)
            for name, value in self.hyperparameters.items()
            if not name.startswith(_RESERVED_PREFIX) and name != TUNING_METRIC
        }

    @property
    def resource_config(self) -> dict:
        """The content of resourceconfig.json."""
        group = {"instance_group_name": "homogeneousCluster", "instance_type": self.instance_type, "hosts": self.hosts}
        return {
            "current_host": self.host,
            "current_instance_type": self.instance_type,
            "current_group_name": "homogeneousCluster",
            "hosts": self.hosts,
            "instance_groups": [group],
            "network_interface_name": "eth0",
        }


def decode(value: str) -> object:
    """A hyperparameter's value: JSON where it is JSON, else the string itself."""
    try:
        return json.loads(value)
    except ValueError:
        return value


def write_configuration(training: Training, ml_root: Path) -> None:
    """Writes `/opt/ml/input/config/*.json`."""
    folder = ml_root / "input" / "config"
    contents = {
        "hyperparameters": training.hyperparameters,
        "resourceconfig": training.resource_config,
        "inputdataconfig": training.channels,
    }
    for name, content in contents.items():
        (folder / f"{name}.json").write_text(json.dumps(content))


def script_command(training: Training, code: Path) -> list[str]:
    """The command that runs the entry point of script mode, hyperparameters as its arguments.

    Raises:
        FileNotFoundError: the source code has no such entry point.
        ValueError: the hyperparameters ask for a launcher that the local SageMaker does not have.
    """
    program = training.program or ""
    launcher = _launcher(training)
    if not (code / program).is_file():
        found = sorted(path.relative_to(code).as_posix() for path in code.rglob("*") if path.is_file())
        raise FileNotFoundError(f"the entry point {program!r} is not in the source code, which has {found[:20]}")
    arguments = user_arguments(training.user_hyperparameters)
    if program.endswith(".sh"):
        return ["/bin/sh", "-c", shlex.join(["/bin/sh", f"./{program}", *arguments])]
    return ["python3", *launcher, program, *arguments]


def _launcher(training: Training) -> list[str]:
    """What stands before the entry point: nothing, or torchrun with one process for each instance, which has no GPU."""
    matches = [_LAUNCHERS.fullmatch(name) for name, value in training.hyperparameters.items() if decode(value) is True]
    wanted = [match[1] for match in matches if match]
    if others := sorted(set(wanted) - set(_TORCHRUN)):
        raise ValueError(f"distribution by {', '.join(others)} is not available in the local SageMaker")
    if not wanted:
        return []
    # On AWS the port is 7777: there no two jobs share an instance.
    port = _FIRST_PORT + zlib.crc32(training.name.encode()) % _PORTS
    rendezvous = ["--nnodes", str(len(training.hosts)), "--node_rank", str(training.hosts.index(training.host))]
    address = ["--master_addr", training.hosts[0], "--master_port", str(port)]
    return ["-m", "torch.distributed.run", *rendezvous, "--nproc_per_node", "1", *address]


def user_arguments(hyperparameters: dict[str, object]) -> list[str]:
    """Hyperparameters as command-line arguments, in the order of their names: `-x` for one letter, else `--name`."""
    arguments = []
    for name, value in sorted(hyperparameters.items()):
        if isinstance(value, dict):
            value = ",".join(f"{key}={item}" for key, item in sorted(value.items()))
        arguments += [f"--{name}" if len(name) > 1 else f"-{name}", str(value)]
    return arguments


def environment(training: Training) -> dict[str, str]:
    """The SM_* variables, and what SageMaker itself sets; the request's Environment wins over all."""
    values: dict[str, object] = {
        "model_dir": "/opt/ml/model",
        "input_dir": "/opt/ml/input",
        "input_data_dir": "/opt/ml/input/data",
        "input_config_dir": "/opt/ml/input/config",
        "output_dir": "/opt/ml/output",
        "output_data_dir": "/opt/ml/output/data",
        "output_intermediate_dir": "/opt/ml/output/intermediate",
        "channels": sorted(training.channels),
        "hps": training.user_hyperparameters,
        "hosts": training.hosts,
        "current_host": training.host,
        "current_instance_type": training.instance_type,
        "current_instance_group": "homogeneousCluster",
        "num_cpus": training.cpus,
        "num_gpus": 0,
        "num_neurons": 0,
        "network_interface_name": "eth0",
        "resource_config": training.resource_config,
        "input_data_config": training.channels,
        "log_level": _log_level(training),
        "framework_module": training.runtime.framework_module,
        "framework_params": {},
        "training_env": training_env(training),
    }
    values |= {f"channel_{name}": f"/opt/ml/input/data/{name}" for name in training.channels}
    values |= {f"hp_{name}": value for name, value in training.user_hyperparameters.items()}
    if training.program:
        values |= {
            "user_entry_point": training.program,
            "user_args": user_arguments(training.user_hyperparameters),
            "module_name": training.program.removesuffix(".py"),
            "module_dir": training.submit_directory or CODE_DIR,
        }
    job = {"TRAINING_JOB_NAME": training.name, "TRAINING_JOB_ARN": training.arn, "PYTHONPATH": CODE_DIR}
    return {f"SM_{name.upper()}": _as_variable(value) for name, value in values.items()} | job | training.environment


def training_env(training: Training) -> dict:
    """The content of SM_TRAINING_ENV."""
    program = training.program
    return {
        "additional_framework_parameters": {},
        "channel_input_dirs": {name: f"/opt/ml/input/data/{name}" for name in sorted(training.channels)},
        "current_host": training.host,
        "current_instance_group": "homogeneousCluster",
        "current_instance_group_hosts": training.hosts,
        "current_instance_type": training.instance_type,
        "distribution_hosts": training.hosts,
        "distribution_instance_groups": ["homogeneousCluster"],
        "framework_module": training.runtime.framework_module,
        "hosts": training.hosts,
        "hyperparameters": training.user_hyperparameters,
        "input_config_dir": "/opt/ml/input/config",
        "input_data_config": training.channels,
        "input_dir": "/opt/ml/input",
        "instance_groups": ["homogeneousCluster"],
        "instance_groups_dict": {"homogeneousCluster": training.resource_config["instance_groups"][0]},
        "is_hetero": False,
        "is_master": training.host == training.hosts[0],
        "job_name": training.name,
        "log_level": _log_level(training),
        "master_hostname": training.hosts[0],
        "model_dir": "/opt/ml/model",
        "module_dir": training.submit_directory or CODE_DIR,
        "module_name": program.removesuffix(".py") if program else None,
        "network_interface_name": "eth0",
        "num_cpus": training.cpus,
        "num_gpus": 0,
        "num_neurons": 0,
        "output_data_dir": "/opt/ml/output/data",
        "output_dir": "/opt/ml/output",
        "output_intermediate_dir": "/opt/ml/output/intermediate",
        "resource_config": training.resource_config,
        "user_entry_point": program,
    }


def _log_level(training: Training) -> int:
    level = decode(training.hyperparameters.get(f"{_RESERVED_PREFIX}container_log_level", "20"))
    return level if isinstance(level, int) else 20


def _as_variable(value: object) -> str:
    if value is None:
        return ""
    return value if isinstance(value, str) else json.dumps(value)


def user_script_error(code: int, message: str, command: list[str]) -> str:
    """What the toolkit writes to `/opt/ml/output/failure` when the script fails."""
    return f'ExecuteUserScriptError:\nExitCode {code}\nErrorMessage "{message}"\nCommand "{shlex.join(command)}"'
