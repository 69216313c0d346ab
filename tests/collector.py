"""An OpenTelemetry collector in the test's process: OTLP over HTTP, kept as it came."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from gzip import decompress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
    ExportMetricsServiceResponse,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)


class Collector:
    def __init__(self) -> None:
        self.url = ""
        self.bodies: list[bytes] = []
        self.spans: list[Any] = []
        self.metrics: list[Any] = []

    def take(self, path: str, body: bytes) -> bytes:
        self.bodies.append(body)
        if path == "/v1/traces":
            for sent in ExportTraceServiceRequest.FromString(body).resource_spans:
                self.spans += [span for scope in sent.scope_spans for span in scope.spans]
            return ExportTraceServiceResponse().SerializeToString()
        for got in ExportMetricsServiceRequest.FromString(body).resource_metrics:
            self.metrics += [metric for scope in got.scope_metrics for metric in scope.metrics]
        return ExportMetricsServiceResponse().SerializeToString()


def values(attributes: Any) -> dict[str, Any]:
    """The attributes of a protobuf message as Python values."""
    found: dict[str, Any] = {}
    for pair in attributes:
        value = getattr(pair.value, pair.value.WhichOneof("value"))
        found[pair.key] = [item.string_value for item in value.values] if hasattr(value, "values") else value
    return found


@contextmanager
def collecting() -> Iterator[Collector]:
    collector = Collector()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            if self.headers.get("content-encoding") == "gzip":
                body = decompress(body)
            answer = collector.take(self.path, body)
            self.send_response(200)
            self.send_header("content-type", "application/x-protobuf")
            self.send_header("content-length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, format: str, *args: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, name="collector")
        thread.start()
        collector.url = "http://{}:{}".format(*server.server_address[:2])
        try:
            yield collector
        finally:
            server.shutdown()
            thread.join()
