"""The frame path, streams, the Open Inference Protocol and control, over real sockets."""

import json
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from fleetsight.serve.client import Client, RefusedError
from fleetsight.serve.engine.picture import sample_jpeg
from fleetsight.serve.http.oip import elements
from fleetsight.serve.tier.plan import Variant
from tests.serve.http.serving import GATE, HERE, SEEN, Running, read_answer, request_bytes, running, wait_until

JPEG = sample_jpeg((64, 48))


def yes(frames: object) -> list[object]:
    return [{"answer": "yes"} for _ in frames]  # type: ignore[attr-defined]


def no(frames: object) -> list[object]:
    return [{"answer": "no"} for _ in frames]  # type: ignore[attr-defined]


DOORS = "tests.serve.http.test_doors"


@pytest.fixture(scope="module")
def service() -> Iterator[Running]:
    variants = [
        Variant("m", "cpu", f"{HERE}:size", usd_per_hour=0.0),  # cheapest whatever the warm-up measured
        Variant("m", "gpu", f"{HERE}:size", usd_per_hour=1.0),
    ]
    with running(*variants) as found:
        yield found


@pytest.fixture(autouse=True)
def by_cost(service: Running) -> Iterator[None]:
    yield
    with Client(service.url) as client:
        client.call("PUT", "/v1/models/m/split", told={"shares": None})


def binary(*frames: bytes, **parameters: object) -> tuple[bytes, int]:
    tensor = b"".join(struct.pack("<I", len(frame)) + frame for frame in frames)
    size = {"binary_data_size": len(tensor)}
    inputs = [{"name": "image", "shape": [len(frames)], "datatype": "BYTES", "parameters": size}]
    head = json.dumps({"inputs": inputs, "parameters": parameters, "id": "7"}).encode()
    return head + tensor, len(head)


def test_a_frame_is_answered_and_says_by_whom_and_how_long(service: Running) -> None:
    status, headers, told = service.infer(JPEG, X_Camera="door-3")
    assert (status, headers["content-type"]) == (200, "application/json")
    assert told["result"] == {"size_wh": [64, 48]}
    assert (told["model"], told["variant"], told["backend"], told["version"]) == ("m", "cpu", "m-cpu-0", "1")
    assert set(told["times_ms"]) == {"queue", "service", "total"}


def test_a_body_in_pieces_is_put_together(service: Running) -> None:
    with service.connect() as connection:
        data = request_bytes("/v1/models/m/infer", JPEG)
        for at in range(0, len(data), 700):
            connection.sendall(data[at : at + 700])
            time.sleep(0.001)
        assert read_answer(connection)[0] == 200


def test_a_connection_is_kept(service: Running) -> None:
    with service.connect() as connection:
        for _ in range(3):
            connection.sendall(request_bytes("/v1/models/m/infer", JPEG, Connection="keep-alive"))
            assert read_answer(connection)[0] == 200


def test_the_same_key_is_worked_for_once() -> None:
    with running(Variant("m", "cpu", f"{HERE}:gated")) as service, ThreadPoolExecutor() as pool:
        asked = [pool.submit(service.infer, b"one", Idempotency_Key="k") for _ in range(3)]
        wait_until(lambda: SEEN == [b"one"])
        time.sleep(0.05)
        GATE.set()
        assert {future.result()[0] for future in asked} == {200}
        assert service.infer(b"one", Idempotency_Key="k")[0] == 200
        assert SEEN == [b"one"]
        status, _, told = service.infer(b"two", Idempotency_Key="k")
        assert (status, told["error"]["code"]) == (422, "key_reused")


def test_under_overload_refusals_are_told_before_the_body_comes() -> None:
    with running(Variant("m", "cpu", "sleep:50")) as service, ThreadPoolExecutor(8) as pool:
        busy = [pool.submit(service.infer, JPEG, X_Deadline_Ms="10000") for _ in range(8)]
        lane = service.service.router.deployments["m"].lanes["cpu"]
        wait_until(lambda: sum(len(seat.running) for seat in lane.seats.values()) == 2)
        with service.connect() as connection:
            connection.sendall(request_bytes("/v1/models/m/infer", b"", Content_Length="100000", X_Deadline_Ms="60"))
            status, headers, body = read_answer(connection)
        assert (status, json.loads(body)["error"]["code"]) == (429, "would_be_late")
        assert int(headers["retry-after-ms"]) > 0
        assert {future.result()[0] for future in busy} == {200}


def test_a_camera_keeps_one_connection_and_gets_a_line_a_frame(service: Running) -> None:
    frames = [JPEG, b"no picture", sample_jpeg((32, 16)), *[JPEG] * 20]
    with service.connect() as connection:
        head = request_bytes("/v1/models/m/stream", b"", Transfer_Encoding="chunked", X_Deadline_Ms="5000")
        connection.sendall(head.replace(b"Content-Length: 0\r\n", b""))
        lines = connection.makefile("rb")
        for number, frame in enumerate(frames):
            data = struct.pack("<I", len(frame)) + frame
            connection.sendall(b"%x\r\n%s\r\n" % (len(data), data))
            if number == 0:
                while not (line := lines.readline()).startswith(b'{"frame"'):
                    assert line, "the answer came before the body ended"
        connection.sendall(b"0\r\n\r\n")
        told = [json.loads(line), *(json.loads(line) for line in lines if line.startswith(b"{"))]
    assert [row["frame"] for row in told] == list(range(len(frames)))
    assert told[1]["error"]["code"] == "not_an_image"
    assert told[2]["result"] == {"size_wh": [32, 16]}


@pytest.mark.parametrize("data", [struct.pack("<I", 0), struct.pack("<I", 2**31), struct.pack("<I", 100) + b"short"])
def test_a_stream_that_is_none_gets_a_last_line(service: Running, data: bytes) -> None:
    with service.connect() as connection:
        connection.sendall(request_bytes("/v1/models/m/stream", data))
        answer = connection.makefile("rb").read()
    assert b'{"frame":0,"error":' in answer


def test_the_open_inference_protocol_takes_binary_tensors(service: Running) -> None:
    body, length = binary(JPEG, sample_jpeg((32, 16)), binary_data_output=True)
    headers = {"Inference_Header_Content_Length": str(length), "Content_Type": "application/octet-stream"}
    status, told, answer = service.talk(request_bytes("/v2/models/m/infer", body, **headers))
    assert status == 200
    split = int(told["inference-header-content-length"])
    output = json.loads(answer[:split])["outputs"][0]
    found = elements(answer[split:], output["parameters"]["binary_data_size"])
    assert found is not None
    assert [json.loads(entry) for entry in found] == [{"size_wh": [64, 48]}, {"size_wh": [32, 16]}]


def test_the_open_inference_protocol_takes_json(service: Running) -> None:
    asked = {"inputs": [{"name": "image", "shape": [1], "datatype": "BYTES", "data": [JPEG.decode("latin-1")]}]}
    status, _, told = service.post("/v2/models/m/versions/1/infer", json.dumps(asked).encode())
    assert status == 200
    assert json.loads(told["outputs"][0]["data"][0]) == {"size_wh": [64, 48]}


TRITON_CLIENT = """
import json, sys
import numpy as np
import tritonclient.http as http

client = http.InferenceServerClient(sys.argv[1])
assert client.is_server_live() and client.is_server_ready() and client.is_model_ready("m")
assert client.get_model_metadata("m")["inputs"][0]["datatype"] == "BYTES"
frames = np.array([sys.stdin.buffer.read()] * 2, dtype=np.object_)
given = http.InferInput("image", [2], "BYTES")
given.set_data_from_numpy(frames, binary_data=True)
for is_binary in (True, False):
    wanted = http.InferRequestedOutput("result", binary_data=is_binary)
    answer = client.infer("m", [given], outputs=[wanted], headers={"X-Deadline-Ms": "9000"})
    assert [json.loads(text)["size_wh"] for text in answer.as_numpy("result")] == [[64, 48]] * 2
assert len(client.infer("m", [given]).as_numpy("result")) == 2
try:
    client.infer("none", [given])
except http.InferenceServerException as error:
    print(error.status())
client.close()
"""


def test_the_client_of_triton_is_served(service: Running) -> None:
    """In a process of its own: it brings gevent, which this one does without."""
    command = [sys.executable, "-c", TRITON_CLIENT, f"127.0.0.1:{service.port}"]
    done = subprocess.run(command, input=JPEG, capture_output=True, timeout=60, check=False)
    assert (done.returncode, done.stdout.strip()) == (0, b"404"), done.stderr


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{}",
        b"[]",
        b'{"inputs": 7}',
        b'{"inputs": [{"name": "x", "shape": [1], "datatype": "FP32", "data": [1]}]}',
        b'{"inputs": [{"name": "image", "shape": [2], "datatype": "BYTES", "data": ["x"]}]}',
        b'{"inputs": [{"name": "image", "shape": [1], "datatype": "BYTES", "parameters": {"binary_data_size": 5}}]}',
        b"[" * 100_000,
    ],
)
def test_what_is_no_inference_request_is_400(service: Running, body: bytes) -> None:
    assert service.post("/v2/models/m/infer", body)[0] == 400


@pytest.mark.parametrize("length", ["-1", "999999", "x"])
def test_a_json_length_that_cannot_be_is_400(service: Running, length: str) -> None:
    body, _ = binary(JPEG)
    assert service.post("/v2/models/m/infer", body, Inference_Header_Content_Length=length)[0] == 400


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/v2", 200),
        ("/v2/health/live", 200),
        ("/v2/health/ready", 200),
        ("/v2/models/m", 200),
        ("/v2/models/m/ready", 200),
        ("/v2/models/m/versions/1/ready", 200),
        ("/v2/models/none", 404),
        ("/v2/models/none/ready", 503),
        ("/metrics", 200),
        ("/v1/models", 200),
        ("/v1/models/none", 404),
        ("/", 404),
        ("/v2/models", 404),
    ],
)
def test_what_can_be_asked_for(service: Running, path: str, status: int) -> None:
    assert service.talk(request_bytes(path, b"", method="GET"))[0] == status


def test_one_call_switches_and_another_splits(service: Running) -> None:
    with Client(service.url) as client:
        told = client.call("PUT", "/v1/models/m/switch", told={"variant": "gpu"})
        assert told["split"] == {"gpu": 100}
        assert {client.infer("m", JPEG).variant for _ in range(5)} == {"gpu"}
        client.call("PUT", "/v1/models/m/split", told={"shares": {"cpu": 50, "gpu": 50}})
        found = [client.infer("m", JPEG).variant for _ in range(10)]
        assert found.count("cpu") == 5
        assert [entry["change"] for entry in client.call("GET", "/v1/models")["history"]][-2:] == ["switch", "split"]


@pytest.mark.parametrize(
    ("verb", "told"),
    [
        ("switch", {"variant": "tpu"}),
        ("switch", {}),
        ("split", {"shares": {"cpu": 50}}),
        ("split", {"shares": {"cpu": "all"}}),
        ("trial", {"candidate": "tpu"}),
        ("trial", {"candidate": "gpu", "percent": 0}),
        ("trial", {"candidate": "gpu", "mode": "maybe"}),
        ("drain", {}),
        ("explode", {}),
    ],
)
def test_a_change_that_makes_no_sense_is_409_and_changes_nothing(
    service: Running, verb: str, told: dict[str, object]
) -> None:
    with Client(service.url) as client:
        with pytest.raises(RefusedError) as refused:
            client.call("PUT", f"/v1/models/m/{verb}", told=told)
        assert refused.value.status == 409
        assert client.call("GET", "/v1/models/m")["split"] is None


def test_a_drained_variant_gets_nothing_new(service: Running) -> None:
    with Client(service.url) as client:
        client.call("PUT", "/v1/models/m/drain", told={"variant": "cpu"})
        assert client.infer("m", JPEG).variant == "gpu"
        client.call("PUT", "/v1/models/m/drain", told={"variant": "cpu", "drain": False})
        assert client.infer("m", JPEG).variant == "cpu"


def test_control_asks_for_its_token() -> None:
    with running(Variant("m", "cpu", "sleep:1"), token="let-me") as service, Client(service.url) as client:
        with pytest.raises(RefusedError) as refused:
            client.call("GET", "/v1/models")
        assert refused.value.status == 401
        assert client.call("GET", "/v1/models", token="let-me")["models"]
        assert client.infer("m", JPEG).variant == "cpu"


def test_a_candidate_that_answers_otherwise_is_rolled_back_by_itself() -> None:
    variants = [Variant("m", "old", f"{DOORS}:yes"), Variant("m", "new", f"{DOORS}:no")]
    with running(*variants) as service, Client(service.url) as client:
        trial = {"candidate": "new", "mode": "canary", "percent": 50, "pairs_min": 5, "agreement_min": 0.9}
        client.call("PUT", "/v1/models/m/trial", told=trial)
        answers = [client.infer("m", JPEG).variant for _ in range(10)]
        assert answers.count("new") == 5
        wait_until(lambda: client.call("GET", "/v1/models/m")["trial"]["verdict"] == "rolled_back")
        assert {client.infer("m", JPEG).variant for _ in range(10)} == {"old"}
        assert service.metric("fleetsight_serve_trial_agreement_ratio") == 0.0


def test_a_shadow_that_agrees_passes_and_answers_nobody() -> None:
    variants = [Variant("m", "old", f"{DOORS}:yes"), Variant("m", "new", f"{DOORS}:yes")]
    with running(*variants) as service, Client(service.url) as client:
        client.call(
            "PUT", "/v1/models/m/trial", told={"candidate": "new", "mode": "shadow", "percent": 100, "pairs_min": 5}
        )
        assert {client.infer("m", JPEG).variant for _ in range(10)} == {"old"}
        wait_until(lambda: client.call("GET", "/v1/models/m")["trial"]["verdict"] == "passed")


@pytest.mark.parametrize("isolate", [False, True])
def test_a_model_is_reloaded_while_it_answers(*, isolate: bool) -> None:
    with running(Variant("m", "cpu", f"{DOORS}:yes"), isolate=isolate) as service, Client(service.url) as client:
        stop = threading.Event()
        failures: list[int] = []

        def ask() -> None:
            while not stop.is_set():
                status = service.infer(JPEG, X_Deadline_Ms="5000")[0]
                if status != 200:
                    failures.append(status)

        asking = threading.Thread(target=ask)
        asking.start()
        client.call("POST", "/v1/models/m/reload", told={"variant": "cpu", "source": f"{DOORS}:no", "version": "2"})
        answer = client.infer("m", JPEG)
        assert (answer.result, answer.version) == ({"answer": "no"}, "2")
        with pytest.raises(RefusedError) as refused:
            client.call(
                "POST", "/v1/models/m/reload", told={"variant": "cpu", "source": "no.such:thing", "version": "3"}
            )
        assert refused.value.status == 409
        assert client.infer("m", JPEG).version == "2"
        stop.set()
        asking.join()
        assert failures == []


def test_metrics_say_what_happened(service: Running) -> None:
    before = service.metric('fleetsight_serve_requests_total{model="m",priority="charge",variant="cpu"}')
    service.infer(JPEG, X_Priority="charge")
    service.infer(b"no picture", X_Priority="charge")
    labels = '{model="m",priority="charge",variant="cpu"}'
    assert service.metric(f"fleetsight_serve_requests_total{labels}") == before + 1
    assert service.metric('fleetsight_serve_refused_total{model="m",reason="not_an_image"}') >= 1
    assert service.metric('fleetsight_serve_service_time_ratio_count{model="m",variant="cpu"}') >= 1
    assert service.metric('fleetsight_serve_backends_up{model="m",variant="gpu"}') == 1
    assert service.metric('fleetsight_serve_usd_per_hour{model="m",variant="gpu"}') == 1.0
    assert service.metric('fleetsight_serve_queue_age_seconds{model="m",variant="cpu"}') == 0.0


def test_connections_close_when_callers_ask(service: Running) -> None:
    with service.connect() as connection:
        connection.sendall(request_bytes("/v2/health/live", b"", method="GET"))
        assert read_answer(connection)[0] == 200
        connection.shutdown(socket.SHUT_WR)
        assert connection.recv(10) == b""
