"""``GET /models``: the models of the catalogue, as the public list has them."""

from __future__ import annotations

from datetime import UTC, date, datetime

from orwatch.demo.catalog import MODELS, Model
from orwatch.demo.server import Json, Response, json_response
from orwatch.domain.days import next_month

_CREATED = int(datetime(2025, 1, 1, tzinfo=UTC).timestamp())
_CONTEXT_LENGTH = 131_072

# It is to be retired with the month.
_RETIRING = "deepseek/deepseek-chat-v3.1"


def answer_models(today: date) -> Response:
    """``GET /models``: public, whatever the key, and all on one page."""
    items = [_item(model, today) for model in MODELS.values()]
    return json_response({"data": items, "links": {"next": None}, "total_count": len(items)})


def _item(model: Model, today: date) -> dict[str, Json]:
    retires_on = next_month(today).isoformat() if model.slug == _RETIRING else None
    return {
        "id": model.slug,
        "canonical_slug": model.permaslug,
        "name": model.slug.partition("/")[2],
        "created": _CREATED,
        "context_length": _CONTEXT_LENGTH,
        "expiration_date": retires_on,
        "pricing": {
            "prompt": f"{model.price.input_usd.scaleb(-6):f}",
            "completion": f"{model.price.output_usd.scaleb(-6):f}",
        },
        "architecture": {
            "modality": "text->text",
            "input_modalities": ["text"],
            "output_modalities": ["text"],
        },
        "top_provider": {"is_moderated": False, "context_length": _CONTEXT_LENGTH},
        "supported_parameters": ["max_tokens", "temperature"],
        "supported_voices": None,
        "default_parameters": None,
        "per_request_limits": None,
        "links": {"details": f"/api/v1/models/{model.permaslug}/endpoints"},
    }
