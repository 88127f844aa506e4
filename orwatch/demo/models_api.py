"""``GET /models``: the models of the catalogue, as the public list has them."""

from __future__ import annotations

from datetime import UTC, datetime

from orwatch.demo.catalog import MODELS, Model
from orwatch.demo.server import Json, Response, json_response

_CREATED = int(datetime(2025, 1, 1, tzinfo=UTC).timestamp())
_CONTEXT_LENGTH = 131_072


def answer_models() -> Response:
    """``GET /models``: public, whatever the key, and all on one page."""
    items = [_item(model) for model in MODELS.values()]
    return json_response({"data": items, "links": {"next": None}, "total_count": len(items)})


def _item(model: Model) -> dict[str, Json]:
    return {
        "id": model.slug,
        "canonical_slug": model.permaslug,
        "name": model.slug.partition("/")[2],
        "created": _CREATED,
        "context_length": _CONTEXT_LENGTH,
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
