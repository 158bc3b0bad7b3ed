"""Reads a page of metrics with Prometheus' own parser for Python.

The only argument is the page, as a JSON text. Prints one JSON object: samples by name, each a list of [labels, value]; a histogram whose
buckets do not grow, or do not end with its count, ends this with an error.
"""

import json
import sys

from prometheus_client.parser import text_string_to_metric_families

samples = {}
for family in text_string_to_metric_families(json.loads(sys.argv[1])):
    assert family.documentation and family.type != "unknown", family.name
    buckets = {}
    for sample in family.samples:
        samples.setdefault(sample.name, []).append([sample.labels, sample.value])
        labels = tuple(sorted((name, value) for name, value in sample.labels.items() if name != "le"))
        if sample.name.endswith("_bucket"):
            buckets.setdefault(labels, []).append((float(sample.labels["le"]), sample.value))
        if family.type == "histogram" and sample.name.endswith("_count"):
            counts = [count for _, count in sorted(buckets[labels])]
            assert counts == sorted(counts) and counts[-1] == sample.value, (family.name, counts)
            assert max(buckets[labels])[0] == float("inf"), family.name
json.dump(samples, sys.stdout)
