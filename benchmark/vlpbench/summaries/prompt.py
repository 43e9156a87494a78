"""What a language model is asked, and what is kept of its answer."""

from __future__ import annotations

import re

from vlpbench.canonical import content_hash

# The paper says "concise summaries of the reports" that "preserve the semantic integrity" (III.B, III.C) and neither
# names a model nor gives a prompt. This wording is ours. A few models know no system role, so it is all the user's.
PROMPT = (
    "Rewrite this chest radiograph report as a concise summary of one to three short sentences. "
    "Keep every finding with its side, place and severity; what is absent stays absent, and what is uncertain stays "
    "uncertain. Add nothing that the report does not say. Answer with the summary alone.\n\n"
    "Report:\n{report}\n\n"
    "Summary:"
)
MAX_NEW_TOKENS = 256
THOUGHT_END = "</think>"
THOUGHT = re.compile(r"<think>.*", re.DOTALL)


def prompt_hash(prompt: str) -> str:
    """Eight hexadecimal digits that name a prompt in a sentence."""
    return content_hash(prompt, 8)


def ask(report: str) -> str:
    """The prompt with a report in it."""
    # Not str.format: a report may hold braces.
    return PROMPT.replace("{report}", report.strip())


def clean_answer(text: str) -> str:
    """One line, without the thoughts that some models write first; "" where they never came to an end."""
    spoken = THOUGHT.sub("", text.rpartition(THOUGHT_END)[2])
    # Half of a surrogate pair, which JSON can spell, cannot be written as UTF-8.
    return " ".join(spoken.encode("utf-8", "replace").decode().split())
