"""A tuning job while it goes on: its training jobs are started, watched, stopped early, and counted.

All that a tuner knows is in the store before anything comes of it, so after the end of the server it goes on: training
jobs that ended count, and one that the server's end cut short is started anew with its hyperparameters.
"""

from __future__ import annotations

import logging
import math
import secrets
import threading
import time
from collections.abc import Iterable
from typing import TYPE_CHECKING

from helpers.local_sagemaker import disk_space, tags
from helpers.local_sagemaker.failures import shortened
from helpers.local_sagemaker.job_records import UNFINISHED
from helpers.local_sagemaker.tuning import completion, definitions, trials
from helpers.local_sagemaker.tuning.definitions import Definition
from helpers.local_sagemaker.tuning.proposals import Tried
from helpers.local_sagemaker.tuning.search import Search

if TYPE_CHECKING:
    from helpers.local_sagemaker.app import Server

logger = logging.getLogger(__name__)

KIND = "HyperParameterTuningJob"
# Private members: of a tuning job, its seed and what it learned from its parents.
SEED, HISTORY, PARENTS_BEST = "_Seed", "_History", "_ParentsBest"
_TRAINING = "TrainingJob"
_LOOK_SECONDS = 0.1
_MOST_TRIES = 3  # for the same hyperparameters, where it is the server that failed
_ATTEMPTS = 5  # without any success, until the tuning job fails


class Tuner:
    """Runs one tuning job in a thread.

    Args:
        server: the server.
        name: the tuning job.
    """

    def __init__(self, server: Server, name: str) -> None:
        self._server, self._name = server, name
        record = server.store.require(KIND, name)
        self._config = record["HyperParameterTuningJobConfig"]
        self._arn, self._created = record["HyperParameterTuningJobArn"], record["CreationTime"]
        self._search = Search(
            self._config, definitions.of(record), record[SEED], [Tried(*learned) for learned in record[HISTORY]]
        )
        self._minimize = self._search.minimize
        self._parents_best = record.get(PARENTS_BEST)
        self._converged = record["TuningJobCompletionDetails"].get("ConvergenceDetectedTime")
        self._trials = {trial["TrainingJobName"]: trial for trial in trials.of(server, name)}
        self._judged: dict[str, int] = {}
        self._told: dict = {}
        self._woken, self._closed = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"tuner {name}", daemon=True)

    def start(self) -> None:
        """Begins, or goes on."""
        self._thread.start()

    def wake(self) -> None:
        """Something has changed."""
        self._woken.set()

    def close(self) -> None:
        """Ends the thread, because the server goes away; the tuning job goes on at the next start."""
        self._closed.set()
        self._woken.set()
        self._thread.join(timeout=5)

    @property
    def ended(self) -> bool:
        """Whether the tuning job has."""
        return not self._thread.is_alive()

    def _run(self) -> None:
        from botocore.exceptions import BotoCoreError

        while not self._closed.is_set():
            try:
                if self._look():
                    return
            except Exception as error:
                if self._closed.is_set():
                    return
                if not (isinstance(error, BotoCoreError) or disk_space.is_full(error)):
                    logger.exception("tuning job %s failed", self._name)
                    self._end("Failed", f"InternalServerError: {error!r}, see the log of the local SageMaker")
                    self._stop_running()
                    return
                logger.warning("tuning job %s waits: %s", self._name, error)
            self._woken.wait(_LOOK_SECONDS)
            self._woken.clear()

    def _look(self) -> bool:
        """Takes the next steps; whether the tuning job has ended."""
        for trial in self._pending():
            self._follow(trial)
        stopping = self._server.store.require(KIND, self._name)["HyperParameterTuningJobStatus"] == "Stopping"
        failure = self._failure()
        if stopping or failure or self._is_complete():
            self._stop_running()
            places: list[int] = []
        else:
            self._stop_early()
            places = self._next_places()
            for place in places:
                self._launch(place)
        if self._pending() or places:
            self._tell()
            return False
        failure = failure or self._failure(at_the_end=True)
        self._end("Failed" if failure and not stopping else "Completed", failure)
        return True

    def _pending(self) -> list[dict]:
        return [trial for trial in self._trials.values() if trial["ObjectiveStatus"] == trials.PENDING]

    def _settled(self) -> list[dict]:
        """The trials that have ended, in that order; those that the server cut short are left out."""
        found = [trial for trial in self._trials.values() if trial["ObjectiveStatus"] != trials.PENDING]
        found.sort(key=lambda trial: trial.get("TrainingEndTime", 0))
        return [trial for trial in found if not trials.is_retryable(trial)]

    def _values(self) -> list[float]:
        return [value for trial in self._settled() if (value := trials.value(trial)) is not None]

    def _follow(self, trial: dict) -> None:
        """Writes down what became of a trial's training job; creates it where that was not done."""
        name, definition = trial["TrainingJobName"], self._search.definition(trial[trials.PLACE])
        job = self._server.store.get(_TRAINING, name)
        if job is None:
            trial = self._create(trial, definition)
        elif job["TrainingJobStatus"] not in UNFINISHED:
            trial = trials.ended(trial, job, definition.objective)
        else:
            self._trials[name] = trials.with_job(trial, job)
            return
        if trial["ObjectiveStatus"] != trials.PENDING:
            self._trials[name] = self._server.store.update(trials.KIND, name, **trial)

    def _create(self, trial: dict, definition: Definition) -> dict:
        """Creates the training job of a trial, and returns the trial, which has failed where the request is refused."""
        from botocore.exceptions import ClientError

        name, values = trial["TrainingJobName"], trial["TunedHyperParameters"]
        request = definition.training_request(name, values, tags.of(self._server.store, self._arn))
        try:
            self._server.client("sagemaker").create_training_job(**request)
        except ClientError as error:
            if error.response["Error"]["Code"] != "ResourceInUse":
                reason = shortened(f"ClientError: {error.response['Error']['Message']}")
                told = {"TrainingJobStatus": "Failed", "FailureReason": reason, "TrainingEndTime": time.time()}
                return trials.ended(trial, trial | told, definition.objective)
        return trial

    def _next_places(self) -> list[int]:
        """The places to be tried now: first those that the server's end cut short."""
        limits = self._config["ResourceLimits"]
        last = {trial[trials.PLACE]: trial for trial in self._trials.values()}
        again = [
            place for place, trial in last.items() if trials.is_retryable(trial) and trial[trials.TRY] < _MOST_TRIES
        ]
        new = range(len(last), self._search.jobs)
        return [*again, *new][: limits["MaxParallelTrainingJobs"] - len(self._pending())]

    def _launch(self, place: int) -> None:
        """Writes a trial down, and creates its training job."""
        tries = [trial for trial in self._trials.values() if trial[trials.PLACE] == place]
        definition = self._search.definition(place)
        values = tries[0]["TunedHyperParameters"] if tries else self._propose(place)
        name = f"{self._name}-{len(self._trials) + 1:03}-{secrets.token_hex(4)}"
        trial = {
            "TrainingJobName": name,
            "TrainingJobArn": self._server.arn("training-job", name),
            "TuningJobName": self._name,
            "TrainingJobStatus": "InProgress",
            "TunedHyperParameters": values,
            "ObjectiveStatus": trials.PENDING,
            "TrainingJobDefinitionName": definition.name,
            trials.PLACE: place,
            trials.TRY: len(tries) + 1,
            trials.HYPERPARAMETERS: definition.static | values,
        }
        trial = self._server.store.put(
            trials.KIND, name, {key: value for key, value in trial.items() if value is not None}
        )
        self._trials[name] = trial
        self._follow(trial)

    def _propose(self, place: int) -> dict[str, str]:
        definition = self._search.definition(place)
        known = [
            Tried(trial[trials.HYPERPARAMETERS], trials.value(trial))
            for trial in self._trials.values()
            if trial["ObjectiveStatus"] != trials.FAILED and self._search.definition(trial[trials.PLACE]) is definition
        ]
        return self._search.propose(place, known)

    def _stop_early(self) -> None:
        """Stops the training jobs that are not worth their time."""
        for trial in self._pending():
            name, curve = trial["TrainingJobName"], self._curve(trial)
            before, self._judged[name] = self._judged.get(name, 0), len(curve)
            if len(curve) > before and self._search.is_hopeless(
                trial[trials.PLACE],
                curve,
                before,
                earlier=[each[trials.CURVE] for each in self._siblings(trial, self._settled())],
                others=[self._curve(each) for each in self._siblings(trial, self._trials.values())],
            ):
                self._stop(trial)

    def _siblings(self, trial: dict, found: Iterable[dict]) -> list[dict]:
        """The others of some trials that are of the same definition."""
        definition = self._search.definition(trial[trials.PLACE])
        return [
            each for each in found if each is not trial and self._search.definition(each[trials.PLACE]) is definition
        ]

    def _curve(self, trial: dict) -> list[float]:
        """The values of the objective so far."""
        return trial.get(trials.CURVE) or self._server.jobs.curve(_TRAINING, trial["TrainingJobName"])[:]

    def _stop_running(self) -> None:
        for trial in self._pending():
            self._stop(trial)

    def _stop(self, trial: dict) -> None:
        from botocore.exceptions import ClientError

        if trial["TrainingJobStatus"] == "InProgress":
            try:
                self._server.client("sagemaker").stop_training_job(TrainingJobName=trial["TrainingJobName"])
            except ClientError as error:
                # It may have ended in this moment.
                if error.response["Error"]["Code"] != "ValidationException":
                    raise

    def _failure(self, at_the_end: bool = False) -> str | None:
        """Why the tuning job fails, if it does: no training job has told an objective."""
        ended = self._settled()
        if not (at_the_end or len(ended) >= _ATTEMPTS) or any(trials.value(trial) is not None for trial in ended):
            return None
        if any(trial["TrainingJobStatus"] == "Completed" for trial in ended):
            return (
                f"No objective metrics found after running {len(ended)} training jobs. Please ensure that the custom "
                "algorithm is emitting the objective metric as defined by the regular expression provided."
            )
        if at_the_end:
            return "All training jobs failed. Please take a look at the training jobs failures to get more details."
        return (
            f"No training job succeeded after {_ATTEMPTS} attempts. For additional details, please take a look at the "
            "training job failures by listing training jobs for the hyperparameter tuning job."
        )

    def _is_complete(self) -> bool:
        seconds = self._config["ResourceLimits"].get("MaxRuntimeInSeconds")
        if seconds is not None and time.time() - self._created >= seconds:
            return True
        values = self._values()
        if completion.has_converged(values, self._minimize):
            self._converged = self._converged or time.time()
        return completion.is_complete(self._config.get("TuningJobCompletionCriteria", {}), values, self._minimize)

    def _tell(self) -> None:
        """Keeps the tuning job's record up to date."""
        best = trials.best(self._settled(), self._minimize)
        details = {
            "NumberOfTrainingJobsObjectiveNotImproving": completion.not_improving(self._values(), self._minimize),
            "ConvergenceDetectedTime": self._converged,
        }
        told = trials.counters(self._trials.values()) | {
            "BestTrainingJob": best and trials.public(best),
            "TuningJobCompletionDetails": {name: each for name, each in details.items() if each is not None},
        }
        if self._parents_best:
            overall = trials.best(filter(None, (self._parents_best, best)), self._minimize)
            told["OverallBestTrainingJob"] = trials.public(overall)
        if told != self._told:
            self._server.store.update(KIND, self._name, **told)
            self._told = told

    def _end(self, status: str, reason: str | None = None) -> None:
        store = self._server.store
        with store.transaction():
            self._tell()
            if store.require(KIND, self._name)["HyperParameterTuningJobStatus"] == "Stopping":
                status, reason = "Stopped", None
            now = time.time()
            store.update(
                KIND,
                self._name,
                HyperParameterTuningJobStatus=status,
                HyperParameterTuningEndTime=now,
                FailureReason=reason and shortened(reason),
                ConsumedResources={"RuntimeInSeconds": math.ceil(now - self._created)},
            )


class Tuners:
    """The tuning jobs that go on."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._running: dict[str, Tuner] = {}
        self._lock = threading.Lock()

    def begin(self, name: str) -> None:
        """Lets a tuning job begin, or go on."""
        tuner = Tuner(self._server, name)
        with self._lock:
            self._running = {other: running for other, running in self._running.items() if not running.ended}
            self._running[name] = tuner
            tuner.start()

    def wake(self, name: str) -> None:
        """Has a tuning job look at once at what changed."""
        with self._lock:
            tuner = self._running.get(name)
        if tuner:
            tuner.wake()

    def close(self) -> None:
        """Ends the threads."""
        with self._lock:
            running = list(self._running.values())
        for tuner in running:
            tuner.close()


def start(server: Server) -> None:
    """Gives the server its tuners; the tuning jobs that it left go on."""
    server.tuners = Tuners(server)
    for record in server.store.list(KIND):
        if record["HyperParameterTuningJobStatus"] in UNFINISHED:
            server.tuners.begin(record["HyperParameterTuningJobName"])


def stop(server: Server) -> None:
    """Ends the tuners; their training jobs end with the server."""
    server.tuners.close()
