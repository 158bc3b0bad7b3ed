"""Decodes requests of OTLP with the types that OpenTelemetry publishes for Python.

The only argument is a JSON list of [path, body in base64]. Prints one JSON object: spans, logs and resources, with
identifiers in hexadecimal. A body that is no such message, or has a field those types do not know, ends this with an error.
"""

import base64
import json
import sys

from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status


def attributes(pairs):
    found = {}
    for pair in pairs:
        assert pair.key not in found, pair.key
        found[pair.key] = getattr(pair.value, pair.value.WhichOneof("value"))
    return found


told = {"spans": [], "logs": [], "resources": [], "bytes": 0}
for path, body in json.loads(sys.argv[1]):
    body = base64.b64decode(body)
    told["bytes"] += len(body)
    kind = {"/v1/traces": ExportTraceServiceRequest, "/v1/logs": ExportLogsServiceRequest}[path]
    message = kind.FromString(body)
    # Unknown fields would be written back; known ones are written back in the same order as ours.
    assert message.SerializeToString(deterministic=True) == body, path
    for of_resource in getattr(message, "resource_spans", []) or getattr(message, "resource_logs", []):
        told["resources"].append(attributes(of_resource.resource.attributes))
        for scope in getattr(of_resource, "scope_spans", []) or getattr(of_resource, "scope_logs", []):
            assert scope.scope.name == "tollgate"
            for span in getattr(scope, "spans", []):
                assert len(span.trace_id) == 16 and len(span.span_id) == 8
                assert 0 < span.start_time_unix_nano <= span.end_time_unix_nano
                told["spans"].append({
                    "trace": span.trace_id.hex(),
                    "id": span.span_id.hex(),
                    "parent": span.parent_span_id.hex(),
                    "name": span.name,
                    "kind": Span.SpanKind.Name(span.kind),
                    "attributes": attributes(span.attributes),
                    "links": [[link.trace_id.hex(), link.span_id.hex()] for link in span.links],
                    "status": Status.StatusCode.Name(span.status.code),
                })
            for line in getattr(scope, "log_records", []):
                told["logs"].append({
                    "body": line.body.string_value,
                    "severity": line.severity_text,
                    "number": line.severity_number,
                    "trace": line.trace_id.hex(),
                    "attributes": attributes(line.attributes),
                })
json.dump(told, sys.stdout)
