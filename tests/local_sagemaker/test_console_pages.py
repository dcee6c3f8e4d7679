"""The console over HTTP: what its pages say, that they are valid, and that they are safe."""

import itertools
import time
from collections.abc import Iterator
from urllib.parse import quote

import console_world
import deployed
import pytest
from bs4 import BeautifulSoup
from console_world import HOSTILE, KEY, PAYLOADS, World, get
from justhtml import JustHTML
from monitored import Monitored, rows


@pytest.fixture(scope="module")
def world(server, client, role_arn) -> Iterator[World]:
    names = iter(range(1000))
    made = console_world.make(server, client, role_arn, lambda prefix: f"{prefix}-pages{next(names)}")
    yield made
    client("sagemaker").delete_endpoint(EndpointName=made.endpoint)
    client("cloudwatch").delete_alarms(AlarmNames=[made.alarm])


def opened(world: World, page: str) -> BeautifulSoup:
    """A page of the world, or of an address."""
    status, _, text = get(world.url + world.pages.get(page, page))
    assert status == 200, text
    return BeautifulSoup(text, "html.parser")


def words(soup: BeautifulSoup) -> str:
    return " ".join(soup.main.get_text(" ").split())


def test_the_overview_says_what_runs_what_failed_and_how_to_reach_the_server(world):
    page = opened(world, "overview")
    rows = {row.th.get_text(strip=True): " ".join(row.get_text(" ").split()) for row in page.select("tbody tr")}
    assert "InService" in rows[world.endpoint]
    assert "ValueError" in rows[world.failed], "the reason in one line is the script's own error"
    assert f"export AWS_ENDPOINT_URL={world.url}" in page.select_one(".exports").text
    assert "pid" in words(page)


def test_a_training_job_has_its_timeline_metrics_locations_and_log(world, sm):
    page = opened(world, "training job")
    stages = [row.th.get_text(strip=True).removeprefix("✓").strip() for row in page.select("#live-head tbody tr")]
    described = sm.describe_training_job(TrainingJobName=world.trained)
    assert stages == [each["Status"] for each in described["SecondaryStatusTransitions"]]
    (chart,) = [svg["aria-label"] for svg in page.select("svg[role=img]")]
    assert chart.startswith("loss, ")
    assert "train: latest" in chart
    assert "validation: latest" in chart
    links = [link["href"] for link in page.select("main a")]
    key = described["ModelArtifacts"]["S3ModelArtifacts"].removeprefix(f"s3://{world.bucket}/")
    assert f"/console/s3/{world.bucket}?prefix={quote(key, safe='')}" in links
    assert "epoch 2 train:loss" in page.select_one("#live-log").text
    assert HOSTILE in page.select_one("#live-log").text, "what the job printed is shown as it is"
    assert "team" in page.select_one(".tags").text


def test_a_failed_job_says_why(world):
    assert HOSTILE.split()[0] in opened(world, "failed job").select_one(".failure").text


def test_an_endpoint_shows_its_variants_and_their_traffic(world):
    page = opened(world, "endpoint")
    shares = {row.th.get_text(strip=True): row.meter["value"] for row in page.select("#live-head tbody tr")}
    assert shares == {"champion": "0.75", "challenger": "0.25"}
    described = [svg["aria-label"] for svg in page.select("#live-traffic svg[role=img]")]
    assert [text.partition(",")[0] for text in described] == 2 * ["Requests", "Model latency", "Errors"]


def test_the_charts_of_an_endpoint_show_its_traffic_once_a_window_is_over(world):
    def latency() -> str:
        page = opened(world, f"/console/endpoints/{world.endpoint}?span=5m")
        return page.select("#live-traffic svg[role=img]")[1]["aria-label"]

    assert deployed.becomes_true(lambda: "p99: latest" in latency()), latency()
    assert "highest" in latency()
    assert latency().endswith("ms.")


def test_an_execution_is_a_graph_with_the_states_of_its_steps(world):
    page = opened(world, "execution")
    boxes = {node.title.text: node.select_one(".node-status").text for node in page.select("svg .node")}
    assert boxes == {
        "Prepare": "✓ Succeeded",
        "Break": "✕ Failed",
        "Gate": "■ NotExecuted",
        "Never": "■ NotExecuted",
    }
    assert {label.text for label in page.select(".edge-label")} == {"True"}
    assert "Break leads to Gate" in page.select_one(".graph svg")["aria-label"]
    rows = {row["id"]: row for row in page.select("tr[id]")}
    assert "/console/jobs/processing/" in rows["step-Prepare"].a["href"]
    assert PAYLOADS[0] in rows["step-Break"].text, "the reason of the step is shown as it is"


def test_versions_of_a_model_have_their_metrics_approval_and_endpoints(world, sm):
    package = sm.describe_model_package(ModelPackageName=world.package)
    row = opened(world, "group").select_one("tbody tr")
    assert row.th.a.text == "1"
    assert "0.93" in row.text
    assert "PendingManualApproval" in row.text
    assert package["InferenceSpecification"]["Containers"][0]["ModelDataUrl"] in words(opened(world, "package"))
    assert "No model is made of this package" in words(opened(world, "package"))


def test_a_tuning_job_shows_what_its_training_jobs_came_to(world, sm):
    page = opened(world, "tuning job")
    rows = {row.th.a.text: row.get_text(" ") for row in page.select("#live-children tbody tr")}
    best = sm.describe_hyper_parameter_tuning_job(HyperParameterTuningJobName=world.tuning)["BestTrainingJob"]
    assert len(rows) == 2
    assert "best" in page.find("a", string=best["TrainingJobName"]).parent.text
    assert "x=" in rows[best["TrainingJobName"]]


def test_a_feature_group_shows_its_features_and_stores(world):
    rows = [row.get_text(" ", strip=True) for row in opened(world, "feature group").select("tbody tr")]
    assert rows == ["card String record identifier", "time String event time", "country String"]


def test_rules_show_what_they_choose(world):
    assert PAYLOADS[0] in words(opened(world, "events"))


def test_lineage_leads_from_the_data_to_what_came_of_it(world):
    page = opened(world, "lineage")
    assert [node.title.text.split(":")[5].split("/")[0] for node in page.select("svg .node")] == 2 * ["artifact"]
    assert page.select_one(".node.start text")
    assert "Nothing is known" in words(opened(world, "/console/lineage?arn=s3://bucket/none"))


def test_lists_are_filtered_and_paged(world, sm):
    assert world.trained in words(opened(world, f"/console/jobs/training?name={world.trained}"))
    assert world.trained not in words(opened(world, "/console/jobs/training?status=Failed"))
    status, _, text = get(f"{world.url}/console/jobs/training?name=%3Cscript%3E")
    assert status == 400
    assert "failed to satisfy constraint" in text


def test_the_s3_browser_shows_heads_as_text_and_gives_downloads_away_as_attachments(world):
    page = opened(world, "object")
    assert page.select_one("pre.preview").text == HOSTILE
    status, headers, body = get(f"{world.url}/console/s3/{world.bucket}/download?key={quote(KEY, safe='')}")
    assert (status, body) == (200, HOSTILE)
    assert headers["Content-Type"] == "application/octet-stream"
    assert headers["Content-Disposition"].startswith("attachment;")
    assert headers["X-Content-Type-Options"] == "nosniff"
    table = opened(world, f"/console/s3/{world.bucket}/object?key=data/train.csv").select_one("table.data")
    assert [cell.text for cell in table.select("thead th")] == ["amount", "note"]
    assert table.select("tbody td")[1].text == PAYLOADS[0]


def test_what_is_missing_is_a_404_that_leads_on(world):
    for address in (
        "/console/endpoints/none",
        "/console/jobs/training/none",
        "/console/jobs/sewing/none",
        "/console/models/none",
        "/console/pipelines/none",
        "/console/pipelines/none/none",
        "/console/registry/none",
        "/console/features/none",
        "/console/monitoring/none",
        "/console/registry/package?arn=none",
        "/console/alarms/alarm?name=none",
        f"/console/s3/{world.bucket}/object?key=none",
        "/console/s3/no-such-bucket",
        "/console/nowhere",
    ):
        status, headers, text = get(world.url + address)
        assert status == 404, address
        assert headers["Content-Type"].startswith("text/html")
        assert BeautifulSoup(text, "html.parser").select_one('main a[href="/console/endpoints"]'), address


def test_pages_of_another_origin_and_other_hosts_are_kept_out(world):
    for headers in (
        {"Host": "attacker.example"},
        {"Origin": "http://attacker.example"},
        {"Sec_Fetch_Site": "cross-site"},
    ):
        for address in ("/console", "/console/static/console.css", f"/console/s3/{world.bucket}/download?key=x"):
            assert get(world.url + address, **headers)[0] == 403, headers


def test_every_page_forbids_inline_scripts_frames_and_other_hosts(world):
    for name, address in world.pages.items():
        _, headers, text = get(world.url + address)
        policy = headers["Content-Security-Policy"]
        assert policy.startswith("default-src 'none'; script-src 'self'; style-src 'self'"), name
        assert "unsafe" not in policy, name
        assert "frame-ancestors 'none'" in policy, name
        assert headers["X-Content-Type-Options"] == "nosniff", name
        page = BeautifulSoup(text, "html.parser")
        assert all(script["src"].startswith("/console/static/") for script in page.select("script")), name
        assert not page.select("[style], style, iframe, object, embed"), name
        assert not page.select("form[method], [formaction]"), f"{name} has a form that does more than ask"


def test_every_page_is_valid_html_with_headings_in_order_and_captions(world):
    for name, address in world.pages.items():
        _, _, text = get(world.url + address)
        assert [f"{e.line}: {e.code}" for e in JustHTML(text, collect_errors=True, sanitize=False).errors] == [], name
        page = BeautifulSoup(text, "html.parser")
        levels = [int(heading.name[1]) for heading in page.select("h1, h2, h3, h4")]
        assert levels.count(1) == 1, name
        assert levels[0] == 1, name
        assert all(after - before <= 1 for before, after in itertools.pairwise(levels)), (name, levels)
        ids = [element["id"] for element in page.select("[id]")]
        assert len(ids) == len(set(ids)), name
        for reference in page.select("[aria-labelledby]"):
            assert reference["aria-labelledby"] in ids, name
        for table in page.select("table"):
            assert table.caption, name
            assert all(head.get("scope") for head in table.select("th")), name


def test_every_link_of_the_console_leads_somewhere(world):
    seen, waiting = set(), ["/console"]
    deadline = time.monotonic() + 120
    while waiting and time.monotonic() < deadline:
        address = waiting.pop()
        seen.add(address)
        status, headers, text = get(world.url + address)
        assert status == 200, address
        if headers["Content-Type"].startswith("text/html"):
            links = [link["href"].partition("#")[0] for link in BeautifulSoup(text, "html.parser").select("a")]
            new = {link for link in links if link.startswith("/console") and link not in seen}
            # Other tests fill this server too: of their things, a list is enough.
            waiting += sorted(new - set(waiting)) if len(seen) < 40 else []
    assert len(seen) > 20


def test_a_bucket_may_be_called_console(world, s3):
    s3.create_bucket(Bucket="console")
    s3.put_object(Bucket="console", Key="endpoints", Body=b"an object")
    assert s3.get_object(Bucket="console", Key="endpoints")["Body"].read() == b"an object"
    assert [each["Key"] for each in s3.list_objects_v2(Bucket="console")["Contents"]] == ["endpoints"]
    assert "endpoints" in words(opened(world, "/console/s3/console"))


def test_a_monitoring_schedule_shows_what_its_executions_found(world, client, role_arn):
    monitored = Monitored(client, role_arn)
    monitored.deploy()
    baseline = monitored.suggest_baseline()
    definition = monitored.define("DataQuality", f"{monitored.name}-quality", baseline={"BaseliningJobName": baseline})
    monitored.capture(rows(1, older=40))
    schedule = monitored.schedule(f"{monitored.name}-schedule", definition)
    (execution,) = monitored.ended(schedule)
    assert execution["MonitoringExecutionStatus"] == "CompletedWithViolations", execution
    found = [each["feature_name"] for each in monitored.report(execution)["violations"]]
    page = opened(world, f"/console/monitoring/{schedule}")
    assert [item.b.text for item in page.select("tbody li")] == found
    assert "/console/jobs/processing/" in page.select_one("tbody a")["href"]
    assert schedule in words(opened(world, "/console/monitoring"))
    client("sagemaker").delete_monitoring_schedule(MonitoringScheduleName=schedule)
    client("sagemaker").delete_endpoint(EndpointName=monitored.name)
