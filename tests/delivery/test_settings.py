"""How the service is set up: by default for this machine alone, and for others only with a token."""

import dataclasses

import pytest
import yaml

from delivery.settings import DeliveryParams, ServiceSettings, SettingsError, StageParams, is_loopback, port
from digits import params
from digits.params import ParamsError
from tests.delivery.serving import PARAMS, ROOT


def settings(**environment: str) -> ServiceSettings:
    return ServiceSettings.from_environment("staging", PARAMS, environment)


def test_the_defaults_listen_to_this_machine_alone():
    found = settings()
    assert (found.host, found.port, found.admin_token) == ("127.0.0.1", 8001, None)
    assert found.log_url == "sqlite:///logs/staging.db"
    assert found.deployments.as_posix() == "deployments"


def test_the_environment_decides():
    found = settings(
        MNIST_HOST="0.0.0.0",
        MNIST_PORT="0",
        MNIST_DEPLOYMENTS="/srv/models",
        MNIST_LOG_URL="postgresql://host/log",
        MNIST_ADMIN_TOKEN="secret",
    )
    assert (found.host, found.port, found.admin_token) == ("0.0.0.0", 0, "secret")
    assert (found.deployments.as_posix(), found.log_url) == ("/srv/models", "postgresql://host/log")


@pytest.mark.parametrize(
    "host", ["0.0.0.0", "::", "192.0.2.1", "2001:db8::1", "example.org", "0", "127.1", "localhost.x"]
)
def test_a_public_address_needs_a_token(host):
    for absent in ({}, {"MNIST_ADMIN_TOKEN": ""}):
        with pytest.raises(
            SettingsError, match=r"can be reached from other machines.*; set MNIST_ADMIN_TOKEN, or bind"
        ):
            settings(MNIST_HOST=host, **absent)
    assert settings(MNIST_HOST=host, MNIST_ADMIN_TOKEN="secret").host == host


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.9.1", "::1", "localhost", "LocalHost"])
def test_this_machine_needs_none(host):
    assert settings(MNIST_HOST=host).admin_token is None


@pytest.mark.parametrize("token", ["a\nb", "tøken", "a\x7f"])
def test_a_token_has_to_fit_into_a_header(token):
    with pytest.raises(SettingsError, match="MNIST_ADMIN_TOKEN: expected printable ASCII"):
        settings(MNIST_ADMIN_TOKEN=token)


@pytest.mark.parametrize("text", ["65536", "-1", "http", "²", "٣", "8000 ", "", "1e3", "9" * 5000])
def test_a_port_is_a_number(text):
    with pytest.raises(SettingsError, match=r"--port: expected a number from 0 .* to 65535"):
        port(text, "--port")


@pytest.mark.parametrize("text", ["65536", "²"])
def test_so_is_the_one_from_the_environment(text):
    with pytest.raises(SettingsError, match=f"MNIST_PORT: .* found '{text}'"):
        settings(MNIST_PORT=text)


def test_a_stage_that_is_none_is_refused_with_those_that_are():
    with pytest.raises(
        SettingsError, match=r"stage 'test' is none of params.yaml's delivery.stages: staging, production"
    ):
        ServiceSettings.from_environment("test", PARAMS, {})


@pytest.mark.parametrize(
    "url", ["ftp://host", "host:8000", "http://", "http://:80", "http://host:x", "http://host:65536"]
)
def test_a_stages_address_is_one_of_http(url):
    with pytest.raises(ValueError, match="url: expected"):
        StageParams(url)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("max_batch", 0),
        ("max_request_bytes", 9_999),
        ("max_waiting", 0),
        ("max_waiting_bytes", 0),
        ("max_picture_pixels", 783),
        ("timeout_seconds", 0),
        ("timeout_seconds", float("nan")),
        ("smoke_accuracy", 1.1),
        ("log_power_safe", "maybe"),
        ("stages", {"staging": {"url": "http://host:x"}}),
    ],
)
def test_params_out_of_range_are_refused_by_name(tmp_path, key, value):
    document = yaml.safe_load((ROOT / "params.yaml").read_text())
    document["delivery"][key] = value
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(document))
    with pytest.raises(ParamsError, match=rf"delivery\.{key}"):
        params.load(DeliveryParams, "delivery", tmp_path / "params.yaml")


def test_every_param_is_documented_by_a_value():
    names = {field.name for field in dataclasses.fields(DeliveryParams)}
    assert set(yaml.safe_load((ROOT / "params.yaml").read_text())["delivery"]) == names


@pytest.mark.parametrize(
    ("host", "loopback"),
    [
        ("127.0.0.1", True),
        ("[::1]", True),
        ("localhost", True),
        ("", False),
        ("10.0.0.1", False),
        ("localhost.evil", False),
    ],
)
def test_loopback(host, loopback):
    assert is_loopback(host) is loopback
