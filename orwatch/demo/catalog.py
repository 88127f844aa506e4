"""The models that the made-up usage is of: their names, prices, and the endpoints that serve them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from typing import NamedTuple, TypeAlias
from uuid import NAMESPACE_URL, uuid5

# Requests, tokens of input and tokens of output.
Counts: TypeAlias = tuple[int, int, int]


@dataclass(frozen=True, slots=True)
class Price:
    """US dollars per million tokens; at most three decimals, so that every cost is whole nano-dollars."""

    input_usd: Decimal
    output_usd: Decimal

    def cost_usd(self, tokens_input: int, tokens_output: int) -> Decimal:
        """What these tokens cost, exactly."""
        return (tokens_input * self.input_usd + tokens_output * self.output_usd).scaleb(-6)


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One place where a provider serves a model; of ``weight`` in all weights' sum it gets the requests."""

    id: str
    provider: str
    weight: int


@dataclass(frozen=True, slots=True)
class Model:
    """A model: its plain slug, its "permaslug", and the shares of its tokens in whole per cent.

    The reasoning tokens are a share of the output, the cached ones of the input. ``nano_per_token`` is the
    price once more: nano-dollars for one token of input and one of output.
    """

    slug: str
    permaslug: str
    price: Price
    nano_per_token: tuple[int, int]
    endpoints: tuple[Endpoint, ...]
    reasoning_percent: int = 0
    cached_percent: int = 0


class Part(NamedTuple):
    """Amounts that add up exactly; the cost is in nano-dollars."""

    requests: int
    tokens_input: int
    tokens_output: int
    tokens_reasoning: int
    tokens_cached: int
    cost_nano: int


def whole(model: Model, counts: Counts) -> Part:
    """All that these counts of a model mean, its endpoints added up."""
    requests, tokens_input, tokens_output = counts
    nano_input, nano_output = model.nano_per_token
    return Part(
        requests,
        tokens_input,
        tokens_output,
        tokens_output * model.reasoning_percent // 100,
        tokens_input * model.cached_percent // 100,
        tokens_input * nano_input + tokens_output * nano_output,
    )


def split(model: Model, counts: Counts) -> Iterator[tuple[Endpoint, Part]]:
    """The same by endpoint, exactly: only those that served a request."""
    requests, tokens_input, tokens_output = counts
    weights = sum(endpoint.weight for endpoint in model.endpoints)
    weight_so_far = 0
    before = whole(model, (0, 0, 0))
    for endpoint in model.endpoints:
        weight_so_far += endpoint.weight
        requests_so_far = requests * weight_so_far // weights
        if requests_so_far == before.requests:
            continue
        # The amounts up to here, of which each is rounded down, less those up to the endpoint before.
        after = whole(
            model,
            (
                requests_so_far,
                tokens_input * requests_so_far // requests,
                tokens_output * requests_so_far // requests,
            ),
        )
        yield endpoint, Part(*(new - old for new, old in zip(after, before, strict=True)))
        before = after


def _model(
    slug: str,
    permaslug: str,
    price: tuple[str, str],
    providers: tuple[tuple[str, int], ...],
    *,
    reasoning_percent: int = 0,
    cached_percent: int = 0,
) -> Model:
    endpoints = tuple(
        Endpoint(str(uuid5(NAMESPACE_URL, f"{slug} {number}")), provider, weight)
        for number, (provider, weight) in enumerate(providers)
    )
    input_usd, output_usd = map(Decimal, price)
    return Model(
        slug,
        permaslug,
        Price(input_usd, output_usd),
        # A dollar per million tokens is a thousand nano-dollars per token.
        (int(input_usd * 1000), int(output_usd * 1000)),
        endpoints,
        reasoning_percent,
        cached_percent,
    )


MODELS = {
    model.slug: model
    for model in (
        _model(
            "anthropic/claude-sonnet-4.5",
            "anthropic/claude-4.5-sonnet-20250929",
            ("3", "15"),
            (("Anthropic", 5), ("Anthropic", 2), ("Amazon Bedrock", 2), ("Google", 1)),
            reasoning_percent=22,
            cached_percent=46,
        ),
        _model(
            "openai/gpt-4.1",
            "openai/gpt-4.1-2025-04-14",
            ("2", "8"),
            (("OpenAI", 6), ("Azure", 3), ("OpenAI", 1)),
            cached_percent=31,
        ),
        _model(
            "openai/gpt-4.1-mini",
            "openai/gpt-4.1-mini-2025-04-14",
            ("0.4", "1.6"),
            (("OpenAI", 7), ("Azure", 3)),
            cached_percent=18,
        ),
        _model(
            "google/gemini-2.5-flash",
            "google/gemini-2.5-flash",
            ("0.3", "2.5"),
            (("Google", 5), ("Google AI Studio", 4), ("Google", 2)),
            reasoning_percent=37,
            cached_percent=12,
        ),
        _model(
            "google/gemini-2.5-flash-lite",
            "google/gemini-2.5-flash-lite",
            ("0.1", "0.4"),
            (("Google", 2), ("Google AI Studio", 1)),
        ),
        _model(
            "deepseek/deepseek-chat-v3.1",
            "deepseek/deepseek-chat-v3.1",
            ("0.27", "1"),
            (("DeepInfra", 4), ("Novita", 3), ("SambaNova", 1)),
        ),
        _model(
            "openai/gpt-oss-120b",
            "openai/gpt-oss-120b",
            ("0.072", "0.28"),
            (("Groq", 3), ("DeepInfra", 2), ("Cerebras", 1)),
        ),
        _model(
            "meta-llama/llama-3.3-70b-instruct:free",
            # The free variant of a model has the permaslug of the model itself.
            "meta-llama/llama-3.3-70b-instruct",
            ("0", "0"),
            (("Venice", 1),),
        ),
    )
}
