"""What the API does not let this key have: 401, 403, 404."""

from __future__ import annotations

from llmkit.guidance.explanation import Advice
from llmkit.guidance.failure import Failure, set_names
from llmkit.tokens.models import nearest_models

_WRONG_ACCOUNT = frozenset({"mismatched_organization", "mismatched_project", "invalid_organization", "invalid_project"})
_MODEL = frozenset({"model_not_found", "deploymentnotfound", "model_not_available"})


def explain_access(failure: Failure) -> Advice:
    """The reading of a 401, 403 or 404."""
    code = (failure.code or "").lower()
    if code in _WRONG_ACCOUNT:
        return _wrong_account(failure)
    if "country" in code or ("country" in failure.words and "not supported" in failure.words):
        return _region(failure)
    if code in _MODEL or (failure.status == 404 and _speaks_of_model(failure)):
        return _model(failure)
    if failure.status == 403 or "insufficient permissions" in failure.words:
        return _permission(failure)
    return _nothing_there(failure) if failure.status == 404 else _key(failure)


def _speaks_of_model(failure: Failure) -> bool:
    return failure.model is not None and "model" in failure.words


def _wrong_account(failure: Failure) -> Advice:
    given = set_names("OPENAI_ORG_ID", "OPENAI_PROJECT_ID")
    named = f"{' and '.join(given)} in the environment" if given else "organization= or project= of the client"
    return Advice(
        "wrong_account",
        f"The key does not belong to the organization or project named ({failure.label}).",
        f"The request names one, from {named}.",
        "Leave organization and project out (the key knows its own), or use a key of that project.",
    )


def _key(failure: Failure) -> Advice:
    if failure.is_azures:
        return _azures_key(failure)
    moved = set_names("OPENAI_BASE_URL")
    where = f" {moved[0]} is set: requests go to {failure.host}." if moved else ""
    if failure.is_openais:
        return Advice(
            "invalid_key",
            f"OpenAI refused the key ({failure.label}).",
            f"It comes from api_key= or else OPENAI_API_KEY, and is mistyped, deleted or of another service.{where}",
            "Compare it with platform.openai.com/api-keys, also for spaces and quotes around it, and set it anew.",
        )
    return Advice(
        "invalid_key",
        f"{failure.host} refused the key ({failure.label}).",
        f"That is not OpenAI's server and wants a key of its own; the one sent is api_key= or OPENAI_API_KEY.{where}",
        "Pass its key as api_key=, or correct base_url if OpenAI was meant.",
    )


def _azures_key(failure: Failure) -> Advice:
    return Advice(
        "invalid_key",
        f"Azure refused the key or token ({failure.label}).",
        "It comes from api_key= or AZURE_OPENAI_API_KEY, a token from azure_ad_token= or AZURE_OPENAI_AD_TOKEN; a "
        "key works for its own resource only.",
        "Compare azure_endpoint with the resource that the key is of (portal: Keys and Endpoint).",
    )


def _region(_: Failure) -> Advice:
    return Advice(
        "region",
        "The API is not offered in the country this request came from.",
        "The address of this machine, its VPN or its proxy counts.",
        "Send the calls from a supported country (platform.openai.com/docs/supported-countries), or use Azure there.",
    )


def _permission(failure: Failure) -> Advice:
    return Advice(
        "permission",
        f"The key is valid, but not allowed to do this ({failure.label}).",
        "Keys can be restricted to some endpoints, projects to some models, organizations to some addresses.",
        "Check the key's permissions and the project's models and limits, or use a key of another project.",
    )


def _model(failure: Failure) -> Advice:
    model = failure.model or "that name"
    if failure.is_azures:
        return Advice(
            "model_not_found",
            f"{failure.host} has no deployment called {model}.",
            "On Azure `model` is the name you gave the deployment, not the name of OpenAI's model.",
            "Use the deployment's name, and wait five minutes if it is new; check azure_endpoint and api_version.",
        )
    near = [name for name in nearest_models(model) if name != model] if failure.is_openais else []
    guess = f"Did you mean {' or '.join(near)}? " if near else ""
    return Advice(
        "model_not_found",
        f"{failure.host} has no model {model} for this key.",
        "The name is misspelt, the model was shut down, or the key's project has no access to it.",
        f"{guess}client.models.list() has the names that this key can use.",
    )


def _nothing_there(failure: Failure) -> Advice:
    if failure.is_openais and failure.url.path.startswith("/v1/") and "invalid url" not in failure.words:
        return Advice(
            "not_found",
            "OpenAI has no object with that id.",
            "It was deleted, has expired, or belongs to another project or organization than the key.",
            "Check the id, and use a key of the project that made it.",
        )
    missing = "" if "/v1" in failure.url.path else " Its path has no /v1."
    return Advice(
        "wrong_path",
        f"{failure.host} has nothing at the path of this request.",
        f"base_url does not fit the server, or the server does not offer this endpoint.{missing}",
        "Correct base_url (most end in /v1; without /chat/completions), or use an endpoint that the server has.",
    )
