"""What Prometheus is told."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
COUNTS = (1, 2, 4, 8, 16, 32, 64, 128, 256)


class Metrics:
    """The counters of one server, in a registry of its own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()

        def counter(name: str, words: str, *labels: str) -> Counter:
            return Counter(f"selfprompt_{name}", words, labels, registry=self.registry)

        def histogram(name: str, words: str, *labels: str, buckets: tuple[float, ...] = SECONDS) -> Histogram:
            return Histogram(f"selfprompt_{name}", words, labels, buckets=buckets, registry=self.registry)

        self.requests = counter("requests", "Requests by route, adapter and status.", "route", "adapter", "code")
        self.images = counter("images", "Images answered.", "adapter")
        self.abstained = counter("abstained", "Images whose probability was below the threshold.", "adapter")
        self.rejected = counter("rejected", "Requests turned away: busy, too late, too large, no key.", "reason")
        self.request = histogram(
            "request_seconds", "From the first byte of a request to the last of its answer.", "adapter"
        )
        self.decode = histogram("decode_seconds", "Decoding and resizing of one image.")
        self.queue = histogram("queue_seconds", "What one image waited to be computed, once decoded.")
        self.forward = histogram("forward_seconds", "One pass through the backbone.")
        self.batch_images = histogram("batch_images", "Images of one pass.", buckets=COUNTS)
        self.batch_adapters = histogram("batch_adapters", "Adapters of one pass.", buckets=COUNTS)
        self.adapters = Gauge("selfprompt_adapters", "Adapters loaded.", registry=self.registry)
        self.waiting = Gauge(
            "selfprompt_images_waiting", "Images accepted, not yet answered.", registry=self.registry
        )
