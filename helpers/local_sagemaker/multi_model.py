"""Multi-model containers: models are loaded when they are asked for, and unloaded when others need their memory.

The container says whether there is memory: it answers 507 to a model that does not fit, and the least recently used
model goes. Archives stay on disk, as on AWS, until the disk has to hold others.

Source: "Custom Containers Contract for Multi-Model Endpoints" and "Set SageMaker AI multi-model endpoint model caching
behavior" in the SageMaker developer guide.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import hashlib
import json
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import aiohttp
from botocore.exceptions import BotoCoreError

from helpers.local_sagemaker import rewriting, sandbox, staging
from helpers.local_sagemaker.errors import InvocationError
from helpers.local_sagemaker.invocations import TARGET_MODEL, Answer, ask_container
from helpers.local_sagemaker.staging import Location

if TYPE_CHECKING:
    from helpers.local_sagemaker.containers import Container
    from helpers.local_sagemaker.workers import Worker

ROOT = "http://worker"
LOAD_SECONDS = 480.0  # a model that loads for longer is given up
DISK_BYTES = 10 * 2**30  # of the archives that a container keeps
BUSY = 4  # an instance with so many more invocations under way leaves the next to one that must load the model first
PATIENCE_SECONDS = 1.0  # a model that is in use is unloaded when none gets idle for so long


@dataclass(frozen=True)
class ModelSource:
    """Where a multi-model container's models come from.

    Args:
        prefix: what the target model's name is added to.
        cached: False unloads each model as soon as it has answered.
        download: extracts the archive at a place in S3 into a folder.
    """

    prefix: Location
    cached: bool
    download: Callable[[Location, Path], None]


@dataclass
class _Model:
    """One model of a container, used on the event loop only.

    Args:
        target: its name in requests.
        name: its name in the container.
        folder: on disk.
    """

    target: str
    name: str
    folder: Path
    size: int | None = None  # bytes on disk, None when it is not there
    loaded: bool = False
    users: int = 0  # invocations that wait for it or run
    loading: asyncio.Task[Answer | None] | None = None
    changing: asyncio.Lock = field(default_factory=asyncio.Lock)  # held while it is loaded or unloaded

    @property
    def idle(self) -> bool:
        """Whether it may be unloaded."""
        return self.loaded and not self.users


class NoSuchModelError(Exception):
    """The archive of a model is not there, or cannot be extracted; the message is AWS's."""


class LoadedModels:
    """The models of one multi-model container; to be used on the event loop only.

    Args:
        container: which one.
        source: where the models come from.
        ml_root: the folder behind the container's `/opt/ml`.
    """

    def __init__(self, container: Container, source: ModelSource, ml_root: Path) -> None:
        self._container, self._source, self._ml_root = container, source, ml_root
        self._models: dict[str, _Model] = {}  # the least recently used first
        self._starts = 0
        self._posting = 0  # loads that the container is at
        self._changes = 0  # of what is loaded, or in use
        self._freed = asyncio.Event()
        self._unloading: set[asyncio.Task] = set()

    @property
    def count(self) -> int:
        """How many are loaded."""
        return sum(model.loaded for model in self._models.values())

    def holds(self, target: str) -> bool:
        """Whether a model is loaded, or is being loaded."""
        model = self._models.get(target)
        return model is not None and (model.loaded or model.loading is not None)

    async def ask(
        self, body: bytes, headers: Mapping[str, str], timeout: float, add_metrics: Callable[..., None]
    ) -> Answer:
        """What the model that the headers name answers, once it is loaded.

        Raises:
            InvocationError: the headers name no model, or it is not there, or not loaded in time.
            ClientConnectorError: the container's process has ended, and nothing was sent to it.
        """
        deadline = time.monotonic() + timeout
        model = self._model(headers.get(TARGET_MODEL, ""))
        add_metrics("None", ModelCacheHit=model.loaded)
        model.users += 1
        try:
            while True:
                if failure := await self._loaded(model, deadline, add_metrics):
                    return failure
                url = f"{ROOT}/models/{model.name}/invoke"
                answer = await self._post(url, body, headers, max(deadline - time.monotonic(), 1e-3))
                if answer.status != 404 or await self._has(model):
                    return answer
                model.loaded = False
        finally:
            model.users -= 1
            self._note_change()
            if not self._source.cached and model.idle:
                self._begin_forgetting(model, add_metrics)

    def _model(self, target: str) -> _Model:
        """A model, which is now the most recently used."""
        if not target or any(part in ("", ".", "..") for part in target.split("/")) or "\\" in target:
            raise InvocationError("ValidationError", f"Invalid target model: {target!r}.", 400)
        if self._starts != self._container.starts:  # a process that was started again has nothing loaded
            self._starts = self._container.starts
            for model in self._models.values():
                model.loaded = False
        model = self._models.pop(target, None)
        if model is None:
            name = hashlib.sha256(f"{self._container.log}/{target}".encode()).hexdigest()[:32]
            model = _Model(target, name, self._ml_root / "models" / name)
        self._models[target] = model
        return model

    async def _loaded(self, model: _Model, deadline: float, add_metrics: Callable[..., None]) -> Answer | None:
        """Returns when a model is loaded; what the container says when it cannot load it.

        One that takes too long goes on loading for those who ask again.
        """
        if model.loaded:
            return None
        if model.loading is None:
            model.loading = asyncio.create_task(self._load(model, add_metrics))
            model.loading.add_done_callback(partial(self._end_loading, model))
        began = time.perf_counter()
        loading = asyncio.shield(model.loading)
        try:
            failure = await asyncio.wait_for(loading, max(deadline - time.monotonic(), 1e-3))
        except TimeoutError:
            message = f"Model {model.target} is not ready for inference yet. Wait and try your request again."
            raise InvocationError("ModelNotReadyException", message, 429) from None
        except NoSuchModelError as error:
            self._models.pop(model.target, None)
            raise InvocationError("ValidationError", str(error), 400) from error
        add_metrics("Microseconds", ModelLoadingWaitTime=(time.perf_counter() - began) * 1e6)
        return failure

    async def _has(self, model: _Model) -> bool:
        """Whether the container has a model: if so, a 404 is the model's own answer."""
        try:
            async with self._container.session.get(f"{ROOT}/models/{model.name}") as answer:
                return answer.status == 200
        except aiohttp.ClientError:
            return False

    def _end_loading(self, model: _Model, loading: asyncio.Task) -> None:
        model.loading = None
        self._note_change()
        if not loading.cancelled():
            loading.exception()  # whoever waited for it has it; nobody may have

    def clear(self) -> None:
        """Deletes what is on disk, when the container has ended."""
        self._container.socket.with_suffix(".models").unlink(missing_ok=True)  # see runtimes/serve_models.py
        for model in list(self._models.values()):
            shutil.rmtree(model.folder, ignore_errors=True)

    async def _load(self, model: _Model, add_metrics: Callable[..., None]) -> Answer | None:
        async with model.changing:
            if model.size is None:
                began = time.perf_counter()
                model.size = await self._downloaded(model)
                add_metrics("Microseconds", ModelDownloadingTime=(time.perf_counter() - began) * 1e6)
                self._make_room_on_disk(DISK_BYTES)
            url = sandbox.as_seen(f"{sandbox.ML}/models/{model.name}/model", self._ml_root)
            order = json.dumps({"model_name": model.name, "url": url}).encode()
            headers = {"Content-Type": "application/json", TARGET_MODEL: model.target}
            while True:
                began, before = time.perf_counter(), self._changes
                self._posting += 1
                try:
                    answer = await self._post(f"{ROOT}/models", order, headers, LOAD_SECONDS)
                finally:
                    self._posting -= 1
                    self._note_change()
                if answer.status != 507:
                    break
                if not await self._make_room(model, before + 1, add_metrics):
                    return answer
            if answer.failed and answer.status != 409:
                return answer
            model.loaded = True
            add_metrics("Microseconds", ModelLoadingTime=(time.perf_counter() - began) * 1e6)
            return None

    async def _make_room(self, wanted: _Model, changes: int, add_metrics: Callable[..., None]) -> bool:
        """Unloads the least recently used model; False when there is none, and nothing else has changed either.

        It waits a moment for one that nobody uses.

        Args:
            wanted: what the room is for.
            changes: how many there had been when the container said that it had no room.
        """
        patience = time.monotonic() + PATIENCE_SECONDS
        while True:
            others = [model for model in self._models.values() if model.loaded and model is not wanted]
            left = patience - time.monotonic()
            if victim := next((model for model in others if model.idle or left <= 0), None):
                await self._unload(victim, add_metrics)
                return True
            if not others and not self._posting:
                return self._changes != changes
            self._freed.clear()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._freed.wait(), left if others else None)

    def _note_change(self) -> None:
        """Wakes those who wait for room."""
        self._changes += 1
        self._freed.set()

    async def _unload(self, model: _Model, add_metrics: Callable[..., None], deletes: bool = False) -> None:
        """Unloads a model; who asks for it meanwhile finds it on disk, or not there when it is deleted too."""
        model.loaded = False
        async with model.changing:
            began = time.perf_counter()
            try:
                async with self._container.session.delete(
                    f"{ROOT}/models/{model.name}", headers={TARGET_MODEL: model.target}
                ) as answer:
                    await answer.read()
                add_metrics("Microseconds", ModelUnloadingTime=(time.perf_counter() - began) * 1e6)
            except aiohttp.ClientError:
                pass  # the process has ended, and the model with it
            finally:
                self._note_change()
            if deletes:
                self._delete(model)

    def _begin_forgetting(self, model: _Model, add_metrics: Callable[..., None]) -> None:
        """Unloads a model and deletes it from disk, without anybody waiting for it."""
        task = asyncio.create_task(self._unload(model, add_metrics, deletes=True))
        self._unloading.add(task)
        task.add_done_callback(self._unloading.discard)

    async def _downloaded(self, model: _Model) -> int:
        """Brings a model to disk, if need be in the place of others; its size.

        Raises:
            NoSuchModelError: its archive is missing, or is none.
            InvocationError: there is no room on disk, or S3 does not answer.
        """
        try:
            try:
                return await asyncio.to_thread(self._download, model)
            except OSError as error:
                if error.errno not in (errno.ENOSPC, errno.EDQUOT):
                    raise
                self._make_room_on_disk(0)
                return await asyncio.to_thread(self._download, model)
        except (OSError, BotoCoreError) as error:
            raise InvocationError("InternalFailure", f"Model {model.target} cannot be stored: {error}", 500) from error

    def _download(self, model: _Model) -> int:
        """Brings a model to disk; its size.

        Raises:
            NoSuchModelError: its archive is missing, or is none.
        """
        location = self._source.prefix.below(model.target)
        part = model.folder.with_suffix(".part")
        shutil.rmtree(part, ignore_errors=True)
        try:
            (part / "model").mkdir(parents=True)
            self._source.download(location, part / "model")
        except staging.StagingError as error:
            shutil.rmtree(part, ignore_errors=True)
            raise NoSuchModelError(
                f"Failed to download model data(bucket: {location.bucket}, key: {location.key}). Please ensure that "
                "there is an object located at the URL and that the role passed to CreateModel has permissions to "
                f"download the model. {error}"
            ) from error
        if sandbox.binding().way == "rewrite":
            rewriting.rewrite_folders([part / "model" / "code"], self._ml_root)
        shutil.rmtree(model.folder, ignore_errors=True)
        part.rename(model.folder)
        return sum(path.stat().st_size for path in model.folder.rglob("*") if path.is_file())

    def _make_room_on_disk(self, limit: int) -> None:
        """Deletes the least recently used models that are not loaded while all have more than `limit` bytes on disk."""
        too_much = sum(model.size or 0 for model in self._models.values()) - limit
        for model in list(self._models.values()):
            if too_much > 0 and not model.loaded and not model.users and not model.changing.locked():
                too_much -= model.size or 0
                self._delete(model)

    def _delete(self, model: _Model) -> None:
        model.size = None
        if not model.users:
            self._models.pop(model.target, None)
        shutil.rmtree(model.folder, ignore_errors=True)

    async def _post(self, url: str, body: bytes, headers: Mapping[str, str], timeout: float) -> Answer:
        return await ask_container(self._container, body, headers, timeout, url)


def choose(workers: Sequence[Worker], headers: Mapping[str, str]) -> Worker | None:
    """The ready worker for a request to a multi-model variant, None when none is ready.

    One that holds the model, if there is one that is not much busier than another; else the one with the fewest models.
    """
    ready = [(worker, models) for worker in workers if worker.ready and (models := worker.models)]
    if not ready:
        return None
    target = headers.get(TARGET_MODEL, "")
    freest, _ = min(ready, key=lambda pair: (pair[0].in_flight, pair[1].count, pair[0].served))
    holding = [worker for worker, models in ready if models.holds(target)]
    nearest = min(holding, key=lambda worker: (worker.in_flight, worker.served), default=freest)
    return nearest if nearest.in_flight < freest.in_flight + BUSY else freest
