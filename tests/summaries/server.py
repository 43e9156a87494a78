"""A server on this machine that answers as a test says."""

from __future__ import annotations

import json
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Reply = tuple[int, Any] | tuple[int, Any, dict[str, str]]
SOON = {"retry-after-ms": "1"}


def completion(text: str | None, *, finish: str = "stop") -> dict[str, Any]:
    """A chat completion as servers write it."""
    message = {"role": "assistant", "content": text}
    choice = {"index": 0, "message": message, "finish_reason": finish}
    return {"id": "1", "object": "chat.completion", "created": 0, "model": "scribe-2026-01", "choices": [choice]}


@dataclass
class Fake:
    """What the server heard.

    Attributes:
        url: base address.
        requests: path, headers and body of each, in order.
        most_at_once: largest number of requests under way.
    """

    url: str = ""
    requests: list[tuple[str, dict[str, str], dict[str, Any]]] = field(default_factory=list)
    most_at_once: int = 0
    under_way: int = 0
    lock: Any = field(default_factory=threading.Lock)

    def tries(self) -> Counter[str]:
        """How often each prompt was sent."""
        return Counter(body["messages"][0]["content"] for _, _, body in self.requests)


@contextmanager
def serve(reply: Callable[[str, int], Reply]) -> Iterator[Fake]:
    """Serve chat completions; `reply` is given the prompt and how often it was sent, this time included."""
    fake = Fake()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self):
            body = json.loads(self.rfile.read(int(self.headers["content-length"])))
            prompt = body["messages"][0]["content"]
            with fake.lock:
                fake.requests.append((self.path, {key.lower(): value for key, value in self.headers.items()}, body))
                fake.under_way += 1
                fake.most_at_once = max(fake.most_at_once, fake.under_way)
                tries = fake.tries()[prompt]
            status, answer, *headers = reply(prompt, tries)
            data = answer.encode() if isinstance(answer, str) else json.dumps(answer).encode()
            with fake.lock:
                fake.under_way -= 1
            self.send_response(status)
            kind = "text/html" if isinstance(answer, str) and answer.startswith("<") else "application/json"
            for name, value in {"content-type": kind, "content-length": str(len(data)), **dict(*headers)}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    fake.url = f"http://127.0.0.1:{server.server_port}/v1"
    try:
        yield fake
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
