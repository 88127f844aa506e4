"""Real handshakes with certificates of our own authority: what is trusted, and what is said of the rest."""

from __future__ import annotations

import gc
import os
import socket
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import timedelta
from pathlib import Path

import pytest

from orwatch.errors import ApiUnavailableError, CertificateError, SettingsError
from orwatch.openrouter.client import Client
from orwatch.openrouter.fan_out import ask_concurrently
from tests.openrouter.tls import EXPIRED, FUTURE, HERE, VALID, Authority, tls_server
from tests.support import SECRET, FakeClock

MakeClient = Callable[..., Client]

# A thread that is about to end may hold such a socket for longer than its test.
pytestmark = pytest.mark.filterwarnings("ignore:Exception ignored in:pytest.PytestUnraisableExceptionWarning")


@pytest.fixture(autouse=True)
def collected() -> Iterator[None]:
    """Collect here what a refused handshake leaves open: the warning would meet a later test."""
    yield
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        gc.collect()


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path / "ours")


@pytest.mark.parametrize("host", HERE)
def test_a_certificate_of_the_authority_in_ssl_cert_file_is_trusted_on_loopback_too(
    make_client: MakeClient, authority: Authority, monkeypatch: pytest.MonkeyPatch, host: str
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.file))
    with tls_server(authority.certificate(HERE, VALID)) as server:
        assert make_client(f"https://{host}:{server.port}").get("/key", SECRET) == b"{}"


def test_a_certificate_of_an_authority_in_ssl_cert_dir_is_trusted(
    make_client: MakeClient, authority: Authority, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "prepared"
    folder.mkdir()
    # As `openssl rehash` names it.
    (folder / f"{authority.hash}.0").write_bytes(authority.file.read_bytes())
    monkeypatch.setenv("SSL_CERT_DIR", f"{tmp_path}{os.pathsep}{folder}")
    with tls_server(authority.certificate(HERE, VALID)) as server:
        assert make_client(f"https://localhost:{server.port}").get("/key", SECRET) == b"{}"


@pytest.mark.parametrize(
    ("hosts", "valid", "message"),
    [
        (
            HERE,
            EXPIRED,
            "the certificate of localhost has expired. Is this machine's clock right (`date -u`)? "
            "If it is, localhost needs a new certificate.",
        ),
        (
            HERE,
            FUTURE,
            "the certificate of localhost is not valid yet. Is this machine's clock right (`date -u`)? "
            "If it is, localhost needs a new certificate.",
        ),
        (
            ("portal.example",),
            VALID,
            "the certificate of localhost is one of another host. Is ORWATCH_OPENROUTER_API_URL right? "
            "Is a login page or a proxy in between?",
        ),
    ],
)
def test_what_is_wrong_with_a_certificate_is_told_and_not_tried_again(
    make_client: MakeClient,
    clock: FakeClock,
    authority: Authority,
    monkeypatch: pytest.MonkeyPatch,
    hosts: tuple[str, ...],
    valid: tuple[timedelta, timedelta],
    message: str,
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.file))
    with tls_server(authority.certificate(hosts, valid)) as server:
        client = make_client(f"https://localhost:{server.port}")
        with pytest.raises(CertificateError) as raised:
            client.get("/key", SECRET)
    assert str(raised.value) == message
    assert (server.connections, server.requests, clock.slept) == (1, [], [])


def test_an_address_that_the_certificate_does_not_name_is_another_host(
    make_client: MakeClient, authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.file))
    with (
        tls_server(authority.certificate(("localhost",), VALID)) as server,
        pytest.raises(CertificateError, match=r"certificate of 127\.0\.0\.1 is one of another host"),
    ):
        make_client(f"https://127.0.0.1:{server.port}").get("/key", SECRET)


@pytest.mark.parametrize("name", ["SSL_CERT_FILE", None])
def test_an_unknown_authority_ends_the_whole_run_with_one_message(
    make_client: MakeClient,
    authority: Authority,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    name: str | None,
) -> None:
    if name is not None:
        monkeypatch.setenv(name, str(Authority(tmp_path / "another").file))
    with tls_server(authority.certificate(HERE, VALID)) as server:
        client = make_client(f"https://localhost:{server.port}")
        with pytest.raises(CertificateError) as raised:
            dict(ask_concurrently(range(50), lambda _number: client.get("/key", SECRET), 4))
    assert raised.value.exit_code == 78
    assert str(raised.value) == (
        "the certificate of localhost is not trusted: unable to get local issuer certificate. "
        "If a proxy of your company or a server of your own is in between, set SSL_CERT_FILE to a file (PEM) "
        "with the certificate of the authority that signs its certificates."
    )
    assert server.requests == []
    assert server.connections <= 8


@pytest.mark.parametrize("is_trusted", [True, False])
def test_the_certificate_of_a_proxy_is_looked_at_in_the_same_way(
    make_client: MakeClient, authority: Authority, monkeypatch: pytest.MonkeyPatch, is_trusted: bool
) -> None:
    if is_trusted:
        monkeypatch.setenv("SSL_CERT_FILE", str(authority.file))
    with tls_server(authority.certificate(HERE, VALID)) as proxy:
        monkeypatch.setenv("HTTPS_PROXY", f"https://localhost:{proxy.port}")
        error = ApiUnavailableError if is_trusted else CertificateError
        with pytest.raises(error):
            make_client().get("/key", SECRET)
    assert all(request.startswith(b"CONNECT openrouter.example:443 ") for request in proxy.requests)
    assert bool(proxy.requests) == is_trusted


def test_a_server_without_tls_is_passing_trouble(make_client: MakeClient, clock: FakeClock) -> None:
    def answer() -> None:
        with suppress(OSError):
            while True:
                connection, _ = listener.accept()
                with connection:
                    connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")

    with socket.create_server(("127.0.0.1", 0)) as listener:
        answering = threading.Thread(target=answer, daemon=True)
        answering.start()
        with pytest.raises(ApiUnavailableError):
            make_client(f"https://localhost:{listener.getsockname()[1]}").get("/key", SECRET)
        listener.shutdown(socket.SHUT_RDWR)
        answering.join(10)
    assert len(clock.slept) == 4


@pytest.mark.parametrize(
    ("name", "file", "reason"),
    [
        ("SSL_CERT_FILE", "missing.pem", "cannot be read: No such file or directory. Name a file with"),
        ("SSL_CERT_FILE", "", "cannot be read: Is a directory. Name a file with certificates in PEM form"),
        ("SSL_CERT_FILE", "empty.pem", "has no certificate in it. Name a file with certificates in PEM form"),
        ("SSL_CERT_DIR", "missing", "is not a folder. Name one that `openssl rehash` prepared"),
        ("SSL_CERT_DIR", "empty.pem", "is not a folder. Name one that `openssl rehash` prepared"),
    ],
)
@pytest.mark.parametrize("base_url", ["https://openrouter.example/api/v1", "https://127.0.0.1:9"])
def test_certificates_that_cannot_be_used_are_a_wrong_setting(
    make_client: MakeClient,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    base_url: str,
    name: str,
    file: str,
    reason: str,
) -> None:
    (tmp_path / "empty.pem").write_text("none at all")
    value = str(tmp_path / file)
    monkeypatch.setenv(name, value)
    with pytest.raises(SettingsError) as raised:
        make_client(base_url)
    assert str(raised.value).startswith(f"{name}={value!r} {reason}")
    assert str(raised.value).endswith(f", or unset {name}.")
    assert (raised.value.setting, raised.value.exit_code) == (name, 78)
