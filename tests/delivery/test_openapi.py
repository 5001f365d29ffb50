"""The service against its own OpenAPI document, by schemathesis: what is generated from it is answered as it says."""

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from tests.delivery.pictures import SEEDS
from tests.delivery.serving import placed, serving

# Another example each time would make a test that fails now and then for somebody who changed something else.
EXAMPLES = settings(
    max_examples=40, derandomize=True, deadline=None, database=None, suppress_health_check=list(HealthCheck)
)
CHECKS = [
    schemathesis.checks.not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]
OPERATIONS = [
    "POST /v1/predict",
    "POST /v1/feedback",
    "POST /v1/admin/reload",
    "GET /healthz",
    "GET /readyz",
    "GET /metrics",
]

POSITIVE, NEGATIVE = schemathesis.GenerationMode
# Of a GET, which has no params here, there is none that the document does not allow.
CASES = [(name, mode) for name in OPERATIONS for mode in (POSITIVE, NEGATIVE) if mode is POSITIVE or name[:3] != "GET"]


@pytest.fixture(scope="module")
def running(finished, tmp_path_factory):
    folder = tmp_path_factory.mktemp("openapi")
    with serving(folder, placed(folder / "models", finished)) as running:
        yield running


@pytest.fixture(scope="module")
def operations(running):
    schema = schemathesis.openapi.from_url(f"{running.client.base_url}/openapi.json")
    return {result.ok().label: result.ok() for result in schema.get_all_operations()}


def test_the_document_is_valid_and_names_every_operation(running, operations):
    schemathesis.openapi.from_dict(running.client.get("/openapi.json").json()).validate()
    assert sorted(operations) == sorted(OPERATIONS)


@pytest.mark.parametrize(("operation", "mode"), CASES)
def test_generated_requests_are_answered_as_documented(running, operations, operation, mode):
    """Such as the document allows, and such as it does not."""
    negative = mode is NEGATIVE
    before, scored = running.count(), set()

    # An image takes long to be generated, number by number.
    @settings(parent=EXAMPLES, max_examples=12 if "predict" in operation else 40)
    @given(operations[operation].as_strategy(generation_mode=mode))
    def ask(case):
        response = case.call_and_validate(checks=CHECKS)
        if operation == "POST /v1/predict" and response.status_code == 200:
            scored.add(response.json()["predictions"][0]["id"])
            assert not negative

    ask()
    assert bool(scored) is (operation == "POST /v1/predict" and not negative)
    assert (running.count() > before) is bool(scored)


@settings(parent=EXAMPLES, max_examples=60)
@given(
    content=st.sampled_from(SEEDS) | st.binary(max_size=300),
    kind=st.sampled_from(["image/png", "image/jpeg", "application/json", "multipart/form-data; boundary=x"]),
    place=st.floats(0, 1),
    new=st.binary(max_size=5),
)
def test_no_bytes_are_a_fault_of_the_service(running, content, kind, place, new):
    """In images.py it is tested with many more; here with all that is around it."""
    cut = int(place * len(content))
    before = running.count()
    answer = running.predict(content[:cut] + new + content[cut + len(new) :], kind)
    assert answer.status_code in (200, 400, 413, 415, 422), answer.text
    assert running.count() - before == (answer.status_code == 200)
