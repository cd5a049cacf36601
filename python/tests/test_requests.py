"""`from blindbox import requests`: the real library, over attested connections and no others."""

from __future__ import annotations

import json
import socket
from pathlib import Path

import blindbox
import pytest
import requests as real_requests
from blindbox import requests
from middle import ManInTheMiddle, Tap, changed_measurements
from requests.adapters import HTTPAdapter
from support import Enclave, sample, says_the_same

REFERENCE = sample().with_suffix(".txt").read_text()


@pytest.fixture
def policy(enclave: Enclave) -> blindbox.Policy:
    return blindbox.Policy(enclave.info["measurements"], root=enclave.info["root"])


@pytest.fixture(autouse=True)
def unconfigured(monkeypatch) -> None:
    monkeypatch.setattr(requests, "_configured", None)
    monkeypatch.delenv("BLINDBOX_MEASUREMENTS", raising=False)
    monkeypatch.delenv("BLINDBOX_ROOT", raising=False)


def test_post_files(enclave: Enclave) -> None:
    requests.configure(enclave.info["measurements"], enclave.info["root"])
    with sample().open("rb") as audio:
        answer = requests.post(f"{enclave.url}/whisper/predict", files={"audio": audio}, timeout=60)
    assert isinstance(answer, real_requests.Response)
    assert answer.status_code == 200
    assert says_the_same(REFERENCE, json.loads(answer.text))


def test_the_environment_and_nothing(enclave: Enclave, monkeypatch) -> None:
    with pytest.raises(blindbox.PolicyError, match="no policy"):
        requests.get(f"{enclave.url}/healthz")
    monkeypatch.setenv("BLINDBOX_MEASUREMENTS", enclave.info["measurements"])
    with pytest.raises(blindbox.AttestationError, match="root"):
        requests.get(f"{enclave.url}/healthz", timeout=20)
    monkeypatch.setenv("BLINDBOX_ROOT", enclave.info["root"])
    assert requests.get(f"{enclave.url}/healthz", timeout=20).ok
    assert requests.head(f"{enclave.url}/healthz", timeout=20).status_code in (200, 405)
    assert requests.options(f"{enclave.url}/healthz", timeout=20).status_code >= 200


def test_a_session_keeps_its_connection(enclave: Enclave, policy: blindbox.Policy) -> None:
    tap = Tap(enclave.port)
    with requests.Session(policy) as session:
        for _ in range(5):
            assert session.get(f"https://localhost:{tap.port}/v1/models", timeout=20).json()["object"] == "list"
        assert session.get(f"https://localhost:{tap.port}/nowhere", timeout=20).status_code == 404
    tap.close()
    assert len(tap.sent) == 1


def test_streamed_both_ways(enclave: Enclave, policy: blindbox.Policy) -> None:
    with requests.Session(policy) as session:
        prepared = requests.Request("POST", f"{enclave.url}/whisper/predict", files={"audio": sample().read_bytes()})
        ready = session.prepare_request(prepared)
        ready.body, body = None, ready.body
        del ready.headers["Content-Length"]
        ready.headers["Transfer-Encoding"] = "chunked"
        ready.body = (body[at : at + 5000] for at in range(0, len(body), 5000))
        answer = session.send(ready, stream=True, timeout=60)
        text = b"".join(answer.iter_content(7))
    assert says_the_same(REFERENCE, json.loads(text))


def test_a_changed_enclave_behind_a_session(enclave: Enclave, start, policy: blindbox.Policy) -> None:
    """The kept connection is gone; the next one leads to another enclave, and is judged before anything is sent."""
    other = start("--set", "limits.body_bytes=1000000")
    tap = Tap(enclave.port)
    with requests.Session(policy) as session:
        assert session.get(f"https://localhost:{tap.port}/healthz", timeout=20).ok
        session.close()
        tap.target = other.port
        with pytest.raises(blindbox.AttestationError, match="^Attestation verification failed: "):
            session.post(f"https://localhost:{tap.port}/whisper/predict", data=b"secret", timeout=20)
    tap.close()


def test_an_enclave_replaced_on_its_port(start) -> None:
    """The same address, the connection kept alive by the pool, another enclave: refused when it has to connect anew."""
    first = start()
    policy = blindbox.Policy(first.info["measurements"], root=first.info["root"])
    tap = Tap(first.port)
    with requests.Session(policy) as session:
        assert session.get(f"https://localhost:{tap.port}/healthz", timeout=20).ok
        first.down()
        first.options = ("--set", "limits.body_bytes=1000000")
        first.up()
        tap.target = first.port
        with pytest.raises(blindbox.AttestationError, match="PCR"):
            session.post(f"https://localhost:{tap.port}/whisper/predict", data=b"secret", timeout=20)
    tap.close()
    assert len(tap.sent) == 2


def test_a_bad_enclave(enclave: Enclave) -> None:
    bad = {
        "BB_ERR_PCR_MISMATCH": blindbox.Policy(changed_measurements(enclave, "PCR16"), root=enclave.info["root"]),
        "BB_ERR_CHAIN_ROOT": blindbox.Policy(enclave.info["measurements"]),
    }
    for code, policy in bad.items():
        tap = Tap(enclave.port)
        with requests.Session(policy) as session, pytest.raises(blindbox.AttestationError) as caught:
            session.post(f"https://127.0.0.1:{tap.port}/whisper/predict", files={"audio": b"secret"}, timeout=20)
        assert caught.value.code == code
        assert str(caught.value).startswith("Attestation verification failed: ")
        tap.close()
        tap.assert_nothing_was_sent()


def test_a_man_in_the_middle(enclave: Enclave, policy: blindbox.Policy, tmp_path: Path) -> None:
    middle = ManInTheMiddle(enclave, tmp_path)
    for verify in (True, False):
        with requests.Session(policy) as session, pytest.raises(blindbox.AttestationError) as caught:
            session.verify = verify
            session.post(f"https://localhost:{middle.port}/", data=b"secret", verify=verify, timeout=20)
        assert caught.value.code == "BB_ERR_KEY_BINDING"
    middle.close()
    assert middle.accepted == 2 and middle.heard == b""


def test_no_way_around(enclave: Enclave, policy: blindbox.Policy) -> None:
    with requests.Session(policy) as session:
        for prefix in ("https://", "https://localhost", "http://", enclave.url + "/whisper"):
            with pytest.raises(TypeError, match="does not attest"):
                session.mount(prefix, HTTPAdapter())
        good = session.adapters["https://"]
        session.adapters["https://"] = HTTPAdapter()
        for url in (enclave.url, f"HTTPS://LOCALHOST:{enclave.port}"):
            with pytest.raises(TypeError, match="does not attest"):
                session.get(f"{url}/healthz", verify=False, timeout=20)
        session.adapters["https://"] = good
        assert session.get(f"{enclave.url}/healthz", timeout=20).ok
        session.mount("https://localhost", requests.AttestedAdapter(policy, pool_maxsize=1))
        assert session.get(f"{enclave.url}/healthz", timeout=20).ok


def test_neither_plain_http_nor_proxies(enclave: Enclave, policy: blindbox.Policy, monkeypatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as nobody:
        nobody.settimeout(0.2)
        port = nobody.getsockname()[1]
        monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{port}")
        monkeypatch.setenv("ALL_PROXY", f"http://127.0.0.1:{port}")
        with requests.Session(policy) as session:
            assert session.get(f"{enclave.url}/healthz", timeout=20).ok  # the environment's proxies are not asked
            with pytest.raises(requests.exceptions.InvalidSchema, match="https"):
                session.get(f"http://127.0.0.1:{port}/")
            with pytest.raises(requests.exceptions.InvalidProxyURL):
                session.get(f"{enclave.url}/healthz", proxies={"https": f"http://127.0.0.1:{port}"})
            session.trust_env = True
            with pytest.raises(requests.exceptions.InvalidProxyURL):
                session.get(f"{enclave.url}/healthz")
            session.trust_env = False
            with pytest.raises(ValueError, match="client certificate"):
                session.get(f"{enclave.url}/healthz", cert="client.pem")
        with pytest.raises(TimeoutError):
            nobody.accept()


class Redirecting(requests.AttestedAdapter):
    """Attests and sends like its parent, then answers with a redirect: no enclave of ours makes one."""

    target = ""

    def send(self, request, **arguments):
        answer = super().send(request, **arguments)
        if request.url.endswith("/enclave"):
            answer.status_code, answer.headers["Location"] = 302, self.target
        return answer


def test_redirects_stay_with_the_enclave(enclave: Enclave, policy: blindbox.Policy) -> None:
    with requests.Session(policy) as session, socket.create_server(("127.0.0.1", 0)) as nobody:
        nobody.settimeout(0.2)
        port = nobody.getsockname()[1]
        adapter = Redirecting(policy)
        session.mount("https://", adapter)
        adapter.target = "/healthz"
        answer = session.get(f"{enclave.url}/enclave", timeout=20)
        assert (answer.status_code, answer.url, len(answer.history)) == (200, f"{enclave.url}/healthz", 1)
        for target in (f"https://localhost:{port}/", f"http://localhost:{enclave.port}/", f"//127.0.0.1:{port}/x"):
            adapter.target = target
            answer = session.get(f"{enclave.url}/enclave", timeout=20)
            assert (answer.status_code, answer.url) == (302, f"{enclave.url}/enclave")
            assert answer.next is None
        with pytest.raises(TimeoutError):
            nobody.accept()


def test_other_failures_are_the_librarys_own(policy: blindbox.Policy) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent, requests.Session(policy) as session:
        port = silent.getsockname()[1]
        with pytest.raises(requests.ConnectTimeout):
            session.get(f"https://127.0.0.1:{port}/", timeout=0.5)
    with requests.Session(policy) as session:
        with pytest.raises(requests.ConnectionError):
            session.get(f"https://127.0.0.1:{port}/", timeout=5)
        with pytest.raises(requests.ConnectionError):
            session.get("https://no-such-host.invalid/", timeout=5)
