"""Asks a model for predictions: an endpoint that is there, or a shadow endpoint that is made of a model for a while."""

from __future__ import annotations

import contextlib
import csv
import io
import json
import secrets
from collections.abc import Iterator
from typing import TYPE_CHECKING

from .job import DataError

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

_ROWS_AT_ONCE = 500
_DEFAULT_PREFIX = "sm-clarify"


class Predictor:
    """An endpoint that is asked as the `predictor` of an analysis configuration says.

    Args:
        endpoint: its name.
        config: the predictor's configuration.
    """

    def __init__(self, endpoint: str, config: dict) -> None:
        import boto3

        self._runtime = boto3.client("sagemaker-runtime")
        self._endpoint, self._config = endpoint, config
        self._content_type = config.get("content_type", "text/csv")
        self._accept = config.get("accept_type", self._content_type)

    def records(self, features: pd.DataFrame) -> list:
        """The answer for each row: a list of values, or an object of JSON.

        Raises:
            DataError: there are more or fewer answers than rows.
        """
        extra = {"TargetModel": self._config["target_model"]} if "target_model" in self._config else {}
        if "custom_attributes" in self._config:
            extra["CustomAttributes"] = self._config["custom_attributes"]
        found = []
        for begin in range(0, len(features), _ROWS_AT_ONCE):
            body = self._body(features.iloc[begin : begin + _ROWS_AT_ONCE])
            kinds = {"ContentType": self._content_type, "Accept": self._accept}
            answer = self._runtime.invoke_endpoint(EndpointName=self._endpoint, Body=body, **kinds, **extra)
            found += self._parsed(answer["Body"].read().decode(), len(features.iloc[begin : begin + _ROWS_AT_ONCE]))
        return found

    def scores(self, features: pd.DataFrame) -> np.ndarray:
        """The numbers that the model gives each row, shape (n, k): the probability's where it is configured.

        Raises:
            DataError: an answer holds no number.
        """
        import numpy as np

        way = self._config.get("probability", self._config.get("label"))
        try:
            rows = [np.ravel(np.asarray(self._at(record, way), dtype=float)) for record in self.records(features)]
            return np.stack(rows)
        except (TypeError, ValueError) as error:
            raise DataError(f"The model's answers are no numbers: {error}") from error

    def labels(self, features: pd.DataFrame) -> list:
        """The predicted label of each row.

        Raises:
            DataError: an answer has none.
        """
        return [self._at(record, self._config["label"]) for record in self.records(features)]

    def _at(self, record: object, way: int | str | None) -> object:
        import jmespath

        if way is None:
            return record
        found = record[way] if isinstance(record, list) and isinstance(way, int) else jmespath.search(str(way), record)
        if found is None:
            raise DataError(f"The model's answer {json.dumps(record)[:200]} has nothing at {way!r}.")
        return found

    def _body(self, rows: pd.DataFrame) -> str:
        if self._content_type == "text/csv":
            return rows.to_csv(header=False, index=False)
        if self._content_type != "application/jsonlines":
            raise DataError(f"content_type {self._content_type} is not available in the local SageMaker.")
        template = self._config.get("content_template", '{"features": $features}')
        lines = json.loads(rows.to_json(orient="values"))
        return "".join(template.replace("$features", json.dumps(line)) + "\n" for line in lines)

    def _parsed(self, text: str, rows: int) -> list:
        if self._accept == "text/csv":
            found: list = [row for row in csv.reader(io.StringIO(text)) if row]
            if len(found) == 1 and rows > 1 and len(found[0]) == rows:  # all scores in one line
                found = [[value] for value in found[0]]
        elif self._accept == "application/jsonlines":
            found = [json.loads(line) for line in text.splitlines() if line.strip()]
        else:
            raise DataError(f"accept_type {self._accept} is not available in the local SageMaker.")
        if len(found) != rows:
            raise DataError(f"The model gave {len(found)} answers for {rows} rows.")
        return found


@contextlib.contextmanager
def serving(config: dict) -> Iterator[Predictor]:
    """The predictor of an analysis; a shadow endpoint is deleted afterwards.

    Raises:
        DataError: the configuration names neither an endpoint nor a model.
    """
    import boto3

    if "endpoint_name" in config:
        yield Predictor(config["endpoint_name"], config)
        return
    if "model_name" not in config:
        raise DataError("predictor needs endpoint_name or model_name.")
    client = boto3.client("sagemaker")
    name = f"{config.get('endpoint_name_prefix', _DEFAULT_PREFIX)}-{secrets.token_hex(6)}"
    variant = {
        "VariantName": "AllTraffic",
        "ModelName": config["model_name"],
        "InstanceType": config.get("instance_type", "ml.m5.xlarge"),
        "InitialInstanceCount": config.get("initial_instance_count", 1),
    }
    client.create_endpoint_config(EndpointConfigName=name, ProductionVariants=[variant])
    try:
        client.create_endpoint(EndpointName=name, EndpointConfigName=name)
        try:
            client.get_waiter("endpoint_in_service").wait(
                EndpointName=name, WaiterConfig={"Delay": 1, "MaxAttempts": 900}
            )
            yield Predictor(name, config)
        finally:
            client.delete_endpoint(EndpointName=name)
    finally:
        client.delete_endpoint_config(EndpointConfigName=name)
