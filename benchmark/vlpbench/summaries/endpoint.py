"""Summaries by a server that speaks OpenAI's chat completions."""

from __future__ import annotations

import ipaddress
import os
import re
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from vlpbench.errors import VlpbenchError
from vlpbench.summaries.prompt import MAX_NEW_TOKENS, PROMPT, ask, clean_answer
from vlpbench.summaries.writer import Answer, Failure, Writer

if TYPE_CHECKING:
    import openai

CONCURRENCY = 4
MAX_RETRIES = 5
TIMEOUT = 300.0
KEY_VARIABLE = "OPENAI_API_KEY"
EXAMPLE = "--with openai:http://localhost:8000/v1#MODEL"
# Strict, so that no other reader of an address can find another host in it; no passwords and no queries, since the
# address is written into the header.
ADDRESS = re.compile(r"https?://([A-Za-z0-9.-]+|\[[0-9A-Fa-f:.]+\])(:\d{1,5})?(/[A-Za-z0-9._~/-]*)?")


@dataclass(frozen=True)
class Endpoint:
    """A server and the model asked of it.

    Attributes:
        url: base address, such as "http://localhost:8000/v1".
        model: name the server knows.
    """

    url: str
    model: str

    @property
    def host(self) -> str:
        """Name or number of the machine."""
        return urlsplit(self.url).hostname or ""

    @property
    def is_local(self) -> bool:
        """Whether it is this machine: localhost, 127.0.0.0/8 or ::1."""
        if self.host == "localhost":
            return True
        try:
            number = ipaddress.ip_address(self.host)
        except ValueError:
            return False
        return number in ipaddress.ip_network("127.0.0.0/8") or number == ipaddress.ip_address("::1")


def parse_endpoint(text: str, model: str | None) -> Endpoint:
    """Read what follows "openai:", URL or URL#MODEL.

    Args:
        text: to read.
        model: name given apart, None where none was.

    Raises:
        VlpbenchError: for anything but a plain http or https address, and for no model or two.
    """
    url, _, named = text.partition("#")
    url = url.rstrip("/")
    if not ADDRESS.fullmatch(url):
        raise VlpbenchError(
            f"--with openai:URL takes a plain http or https address without password or query, such as {EXAMPLE}; "
            f"a key goes into the environment variable {KEY_VARIABLE}."
        )
    if named and model is not None and named != model:
        raise VlpbenchError(f"Two models are named, {named!r} in --with and {model!r} in --model. Name one.")
    chosen = named if named else model
    if not chosen:
        raise VlpbenchError(
            f"Which model of {url}? Name it after a #, as in {EXAMPLE}, or with --model; most servers list theirs at "
            f"{url}/models."
        )
    return Endpoint(url, chosen)


class OpenAIWriter(Writer):
    """Asks for several reports at once, at temperature 0; the package waits and tries again where a server is busy."""

    way = "openai"
    prompt = PROMPT

    def __init__(self, endpoint: Endpoint, *, max_new_tokens: int = MAX_NEW_TOKENS) -> None:
        """Check that the package is there; nothing is sent yet.

        Raises:
            VlpbenchError: without the package `openai`.
        """
        self.endpoint = endpoint
        self.model = endpoint.model
        self.max_new_tokens = max_new_tokens
        self._served: set[str] = set()
        try:
            import openai  # noqa: F401
        except ImportError as error:
            raise VlpbenchError(
                'The package openai is not installed. Install it with: pip install "vlpbench[summaries]". '
                "--with hf:MODEL and --with impression do without it."
            ) from error

    @property
    def identity(self) -> Mapping[str, object]:
        """Address, model and settings; whether the server changes the model behind the name is not for us to see."""
        settings = {"temperature": 0, "max_tokens": self.max_new_tokens}
        return {"way": self.way, "url": self.endpoint.url, "model": self.model, "settings": settings}

    @property
    def facts(self) -> Mapping[str, object]:
        """Models as the server called them in its answers."""
        return {"served": sorted(self._served)} if self._served else {}

    def write(self, reports: Sequence[str]) -> list[Answer | Failure]:
        """Send the reports, four at a time; one that fails, after the package's retries, fails alone."""
        pool = ThreadPoolExecutor(CONCURRENCY)
        try:
            with self._connect() as client:
                answers = list(pool.map(partial(self._answer, client), reports))
        finally:
            # On Ctrl-C only the requests under way are waited for.
            pool.shutdown(cancel_futures=True)
        self._served.update(answer.served for answer in answers if isinstance(answer, Answer) and answer.served)
        return answers

    def _connect(self) -> openai.OpenAI:
        import openai

        # A proxy, or a redirect, would carry reports that are to stay on this machine off it.
        client = openai.DefaultHttpxClient(
            base_url=self.endpoint.url, trust_env=not self.endpoint.is_local, follow_redirects=False
        )
        return openai.OpenAI(
            base_url=self.endpoint.url,
            api_key=os.environ.get(KEY_VARIABLE) or "none",
            max_retries=MAX_RETRIES,
            timeout=TIMEOUT,
            http_client=client,
        )

    def _answer(self, client: openai.OpenAI, report: str) -> Answer | Failure:
        import openai

        try:
            completion: Any = client.chat.completions.create(
                model=self.model,
                messages=[{"role": "user", "content": ask(report)}],
                temperature=0,
                max_tokens=self.max_new_tokens,
            )
        except openai.APITimeoutError:
            return Failure(f"no answer within {TIMEOUT:g} s, tried {MAX_RETRIES + 1} times")
        except openai.APIConnectionError as error:
            reason = error.__cause__ if error.__cause__ is not None else error
            return Failure(f"{self.endpoint.url} cannot be reached: {reason}. Is the server running?", fatal=True)
        except (openai.AuthenticationError, openai.PermissionDeniedError) as error:
            advice = f"Put a valid key into the environment variable {KEY_VARIABLE}."
            return Failure(f"{self.endpoint.url} refuses the key: {_reason(error)}. {advice}", fatal=True)
        except openai.NotFoundError as error:
            advice = f"Check the address, and that the server has the model {self.model!r}."
            return Failure(f"{self.endpoint.url} answers that there is nothing: {_reason(error)}. {advice}", fatal=True)
        except openai.OpenAIError as error:
            return Failure(_reason(error))
        except ValueError as error:
            return Failure(f"the server's answer is not JSON: {_reason(error)}")
        return _read(completion)


def _reason(error: Exception) -> str:
    """The first line of what the server said, not endless."""
    return str(error).strip().split("\n")[0].rstrip(".")[:300]


def _read(completion: Any) -> Answer | Failure:
    """The first choice; servers that only claim to speak the protocol are not trusted to fill every field."""
    choices = getattr(completion, "choices", None)
    first: Any = choices[0] if isinstance(choices, list) and choices else None
    message: Any = getattr(first, "message", None)
    if not hasattr(message, "content"):
        return Failure("the server's answer holds no message; expected a chat completion")
    finish = getattr(first, "finish_reason", None)
    if finish == "content_filter":
        return Failure("withheld by the server's content filter")
    served = getattr(completion, "model", None)
    return Answer(
        clean_answer(message.content if isinstance(message.content, str) else ""),
        cut=finish == "length",
        served=served if isinstance(served, str) else "",
    )
