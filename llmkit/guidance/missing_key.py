"""What to do when a client is made without a key."""

from __future__ import annotations

import os

from llmkit.guidance.explanation import Advice
from llmkit.guidance.failure import set_names

_OPENAIS = "OPENAI_API_KEY"
_AZURES = "AZURE_OPENAI_API_KEY"
_LOOK_ALIKES = (
    "OPENAI_KEY",
    "OPEN_AI_KEY",
    "OPEN_AI_API_KEY",
    "OPENAI_APIKEY",
    "OPENAI_API_TOKEN",
    "OPENAI_TOKEN",
    "OPENAI_SECRET_KEY",
    "openai_api_key",
    "AZURE_OPENAI_KEY",
    "AZURE_API_KEY",
)


def is_missing_key(error: BaseException) -> bool:
    """Whether the SDK complains, in the constructor or at a call, that it has no credentials."""
    return str(error).lstrip('"').startswith(("Missing credentials", "Could not resolve authentication"))


def explain_missing_key(error: BaseException) -> Advice:
    """Which variable is looked for, which similar one is set, and how to do without."""
    wanted, other = (_AZURES, _OPENAIS) if "azure_ad_token" in str(error) else (_OPENAIS, _AZURES)
    return Advice(
        "missing_key",
        f"No API key: neither api_key= nor {wanted} is given.",
        _why(wanted, other),
        f"export {wanted}=... before the program starts, or pass api_key=. Tests need none: "
        "llmkit.testing.FakeOpenAI().async_client().",
    )


def _why(wanted: str, other: str) -> str:
    if alike := set_names(*_LOOK_ALIKES, other):
        return f"{alike[0]} is set, but the name looked for is {wanted}."
    if wanted in os.environ:
        return f"{wanted} is set, but empty."
    if os.path.exists(".env"):
        return "There is a .env file here that nobody has loaded: use python-dotenv, or `set -a; . ./.env` first."
    return "The variable is not set in the environment of this process."
