"""Records of the online store: what may be put, which version stays, and what ends it."""

import itertools
import time
from datetime import UTC, datetime

import featured
import pytest
from botocore.exceptions import ClientError

EARLY, NOON, LATE = (f"2026-01-01T{hour}:00:00Z" for hour in ("06", "12", "18"))


@pytest.fixture(scope="module")
def features(client, bucket, role_arn):
    """Creates feature groups."""
    numbers = itertools.count()
    return featured.Features(client, bucket, role_arn, lambda prefix: f"{prefix}-kept-{next(numbers)}")


@pytest.fixture(scope="module")
def group(features):
    """A group with an online store."""
    return features.create()


def now(offset: float = 0) -> str:
    """A moment as an event time."""
    return datetime.fromtimestamp(time.time() + offset, UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def test_a_record_is_read_back_with_the_features_that_are_asked_for(features, group):
    features.put(group, "read", NOON, age=41, spend=2.5)
    assert features.get(group, "read") == {"customer": "read", "at": NOON, "age": "41", "spend": "2.5"}
    assert features.get(group, "read", FeatureNames=["spend", "age"]) == {"age": "41", "spend": "2.5"}
    assert features.get(features.described(group)["FeatureGroupArn"], "read")["age"] == "41"
    assert features.get(group, "nobody") is None
    assert features.described(group)["OnlineStoreTotalSizeBytes"] > 0


def test_an_older_event_time_never_replaces_a_newer_one(features, group):
    for at, age in ((NOON, 1), (EARLY, 2)):
        features.put(group, "order", at, age=age)
    assert features.get(group, "order")["age"] == "1"
    features.put(group, "order", NOON, age=3)  # the same time: the last writer wins
    assert features.get(group, "order")["age"] == "3"
    features.put(group, "order", LATE, spend=1)
    assert features.get(group, "order") == {"customer": "order", "at": LATE, "spend": "1"}


def test_event_times_of_other_zones_and_fractions_are_compared_as_moments(features, group):
    features.put(group, "zone", "2026-01-01T12:00:00+02:00", age=1)
    features.put(group, "zone", "2026-01-01T10:00:00.500Z", age=2)
    features.put(group, "zone", "2026-01-01T11:59:59+02:00", age=3)
    assert features.get(group, "zone")["age"] == "2"


def test_event_times_may_be_unix_seconds(features):
    definitions = [
        each | ({"FeatureType": "Fractional"} if each["FeatureName"] == "at" else {}) for each in featured.DEFINITIONS
    ]
    name = features.create(definitions=definitions)
    features.put(name, "1", "1767225600.5", age=1)
    features.put(name, "1", "1767225600.25", age=2)
    assert features.get(name, "1") == {"customer": "1", "at": "1767225600.5", "age": "1"}
    for wrong in (NOON, "1e300", "inf"):
        with pytest.raises(ClientError, match=r"Unix time in seconds|not of its type"):
            features.put(name, "1", wrong)


@pytest.mark.parametrize(
    ("record", "message"),
    [
        ({"age": "4.5"}, "not of its type Integral"),
        ({"age": "1_000"}, "not of its type Integral"),
        ({"age": str(2**63)}, "not of its type Integral"),
        ({"spend": "much"}, "not of its type Fractional"),
        ({"height": "2"}, "height does not exist"),
        ({"age": ["1"]}, "age must have a ValueAsString"),
        ({"at": "2026-01-01"}, "ISO-8601"),
        ({"at": "2026-13-01T00:00:00Z"}, "ISO-8601"),
        ({"at": "1767225600"}, "ISO-8601"),
        ({"customer": ""}, "Missing required feature value: customer"),
    ],
)
def test_a_record_that_does_not_fit_is_refused(features, group, record, message):
    with pytest.raises(ClientError, match=f"ValidationError.*{message}"):
        features.put(group, **{"customer": "wrong", "at": NOON} | record)
    assert features.get(group, "wrong") is None


def test_a_record_needs_its_identifier_and_its_event_time_once(features, group):
    identifier = {"FeatureName": "customer", "ValueAsString": "1"}
    for record, message in (
        ([identifier], "Missing required feature value: at"),
        ([identifier, identifier], "customer is given twice"),
        ([{"FeatureName": "customer"}], "needs either"),
    ):
        with pytest.raises(ClientError, match=message):
            features.runtime.put_record(FeatureGroupName=group, Record=record)


def test_collections_hold_to_their_kinds(features):
    kinds = {"list": "List", "set": "Set", "vector": "Vector"}
    definitions = [
        {"FeatureName": name, "FeatureType": "Fractional", "CollectionType": kind} for name, kind in kinds.items()
    ]
    definitions[2]["CollectionConfig"] = {"VectorConfig": {"Dimension": 2}}
    online = {"EnableOnlineStore": True, "StorageType": "InMemory"}
    name = features.create(definitions=[*featured.DEFINITIONS, *definitions], OnlineStoreConfig=online)
    features.put(name, "1", NOON, list=[1, 2, 1], set=[1, 2, 1], vector=[0.5, 0.25])
    found = features.get(name, "1", FeatureNames=list(kinds))
    assert found == {"list": ["1", "2", "1"], "set": ["1", "2"], "vector": ["0.5", "0.25"]}
    for wrong, message in (
        ({"vector": [1]}, "vector of 2 elements, got 1"),
        ({"list": ["many"]}, "not of its type"),
        ({"list": 1}, "must have a ValueAsStringList"),
    ):
        with pytest.raises(ClientError, match=message):
            features.put(name, "1", LATE, **wrong)


def test_a_soft_deletion_hides_a_record_until_a_later_one_comes(features, group):
    features.put(group, "soft", NOON, age=1)
    features.delete(group, "soft", EARLY)  # before the record: it stays
    assert features.get(group, "soft")["age"] == "1"
    features.delete(group, "soft", LATE)
    assert features.get(group, "soft") is None
    features.put(group, "soft", NOON, age=2)
    assert features.get(group, "soft") is None
    features.put(group, "soft", "2026-01-01T19:00:00Z", age=3)
    assert features.get(group, "soft")["age"] == "3"


def test_a_hard_deletion_forgets_a_record_and_must_be_later(features, group):
    features.put(group, "hard", NOON, age=1)
    with pytest.raises(ClientError, match=r"ValidationError.*EventTime must be later"):
        features.delete(group, "hard", EARLY, DeletionMode="HardDelete")
    features.delete(group, "hard", LATE, DeletionMode="HardDelete")
    assert features.get(group, "hard") is None
    features.put(group, "hard", EARLY, age=2)
    assert features.get(group, "hard")["age"] == "2"


def test_a_record_expires_after_its_time_to_live(features):
    online = {"EnableOnlineStore": True, "TtlDuration": {"Unit": "Hours", "Value": 1}}
    name = features.create(OnlineStoreConfig=online)
    features.put(name, "stays", now(-3000), age=1)
    features.put(name, "over", now(-3700), age=1)
    assert features.get(name, "over") is None
    asked = {"FeatureGroupName": name, "RecordIdentifierValueAsString": "stays"}
    answer = features.runtime.get_record(**asked, ExpirationTimeResponse="Enabled")
    left = datetime.fromisoformat(answer["ExpiresAt"]).timestamp() - time.time()
    assert 500 < left <= 600
    assert "ExpiresAt" not in features.runtime.get_record(**asked)
    # A record's own time to live comes before the group's; what expired keeps nothing older away.
    features.put(name, "stays", now(-2900), request={"TtlDuration": {"Unit": "Seconds", "Value": 2901}}, age=2)
    deadline = time.monotonic() + featured.PATIENCE_SECONDS
    while features.get(name, "stays") is not None:
        assert time.monotonic() < deadline
        time.sleep(0.1)
    features.put(name, "stays", now(-3000), age=3)
    assert features.get(name, "stays")["age"] == "3"


def test_records_of_several_groups_are_read_at_once(features, group):
    other = features.create()
    features.put(group, "batch", NOON, age=1)
    features.put(other, "batch", NOON, age=2, spend=3)
    asked = [
        {"FeatureGroupName": group, "RecordIdentifiersValueAsString": ["batch", "nobody"]},
        {"FeatureGroupName": other, "RecordIdentifiersValueAsString": ["batch"], "FeatureNames": ["spend"]},
        {"FeatureGroupName": "no-such-group", "RecordIdentifiersValueAsString": ["batch"]},
    ]
    answer = features.runtime.batch_get_record(Identifiers=asked)
    found = [(each["FeatureGroupName"], featured.values(each["Record"])) for each in answer["Records"]]
    assert found == [(group, {"customer": "batch", "at": NOON, "age": "1"}), (other, {"spend": "3"})]
    [error] = answer["Errors"]
    assert (error["FeatureGroupName"], error["ErrorCode"]) == ("no-such-group", "ResourceNotFound")
    assert answer["UnprocessedIdentifiers"] == []


def test_errors_of_the_runtime_api_are_its_own(features, group):
    with pytest.raises(features.runtime.exceptions.ResourceNotFound):
        features.get("no-such-group", "1")
    with pytest.raises(ClientError, match=r"ValidationError.*\['nothing'\] do not exist"):
        features.get(group, "1", FeatureNames=["nothing"])
    offline = features.create(OnlineStoreConfig=None, **features.offline())
    with pytest.raises(ClientError, match="has no OnlineStore"):
        features.get(offline, "1")
    with pytest.raises(ClientError, match="has no OfflineStore"):
        features.put(group, "1", NOON, request={"TargetStores": ["OfflineStore"]})
    raw = features.client("sagemaker-featurestore-runtime", validate=False)
    with pytest.raises(ClientError, match=r"ValidationError.*Member must not be null"):
        raw.put_record(FeatureGroupName=group, Record=[{"ValueAsString": "1"}])


def test_records_are_written_by_the_batch(features, group):
    entries = [
        {
            "FeatureGroupName": name,
            "Record": [{"FeatureName": key, "ValueAsString": text} for key, text in record.items()],
        }
        for name, record in (
            (group, {"customer": "many-1", "at": NOON, "age": "1"}),
            (group, {"customer": "many-2", "at": NOON, "age": "old"}),
            ("no-such-group", {"customer": "many-3", "at": NOON}),
        )
    ]
    answer = features.runtime.batch_write_record(Entries=entries, TtlDuration={"Unit": "Weeks", "Value": 9000})
    assert [(error["Entry"], error["ErrorCode"]) for error in answer["Errors"]] == [
        (entries[1], "ValidationError"),
        (entries[2], "ResourceNotFound"),
    ]
    assert features.get(group, "many-1")["age"] == "1"
    asked = {"FeatureGroupName": group, "RecordIdentifierValueAsString": "many-1"}
    assert "ExpiresAt" in features.runtime.get_record(**asked, ExpirationTimeResponse="Enabled")


def test_the_identifiers_of_a_group_are_listed_by_pages(features):
    name = features.create()
    for customer in "dbca":
        features.put(name, customer, NOON)
    features.delete(name, "c", LATE)
    page = features.runtime.list_records(FeatureGroupName=name, MaxResults=2)
    assert page["RecordIdentifiers"] == ["a", "b"]
    rest = features.runtime.list_records(FeatureGroupName=name, MaxResults=2, NextToken=page["NextToken"])
    assert (rest["RecordIdentifiers"], "NextToken" in rest) == (["d"], False)
    everything = features.runtime.list_records(FeatureGroupName=name, IncludeSoftDeletedRecords=True)
    assert everything["RecordIdentifiers"] == ["a", "b", "c", "d"]


def test_some_features_of_a_record_are_updated(features, group):
    name = features.create(OnlineStoreConfig={"EnableOnlineStore": True, "StorageType": "Standard_V2"})
    features.put(name, "1", NOON, age=1, spend=2, request={"TtlDuration": {"Unit": "Weeks", "Value": 9000}})

    def update(customer: str = "1", of: str = name, ttl: dict | None = None, **given: str) -> None:
        features.runtime.update_record(
            FeatureGroupName=of,
            RecordIdentifierValueAsString=customer,
            Features=[{"FeatureName": key, "ValueAsString": text} for key, text in given.items()],
            **({"TtlDuration": ttl} if ttl else {}),
        )

    update(age="5")
    assert features.get(name, "1") == {"customer": "1", "at": NOON, "age": "5", "spend": "2"}
    update(at=LATE, spend="9")
    asked = {"FeatureGroupName": name, "RecordIdentifierValueAsString": "1", "ExpirationTimeResponse": "Enabled"}
    expires = datetime.fromisoformat(features.runtime.get_record(**asked)["ExpiresAt"])
    assert (expires - datetime.fromisoformat(LATE)).days == 9000 * 7
    week = {"Unit": "Weeks", "Value": 1}
    for arguments, message in (
        ({"at": NOON}, "ConflictException"),
        ({"customer": "nobody", "age": "1"}, "ResourceNotFound"),
        ({"age": "1", "ttl": week}, "TtlDuration needs"),
        ({"age": "old"}, "not of its type"),
        ({"of": group, "age": "1"}, "Standard_V2 or InMemory"),
    ):
        with pytest.raises(ClientError, match=message):
            update(**arguments)
