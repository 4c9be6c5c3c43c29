#!/usr/bin/env python3
"""Makes src/rails/meter/prices.json from litellm's table of model prices.

    src/rails/meter/prices.py FILE SOURCE DATE > src/rails/meter/prices.json

FILE is `litellm/model_prices_and_context_window_backup.json` out of litellm's wheel, SOURCE says
which one that was, and DATE (2026-11-22) is the day it was taken. The same arguments give the same
bytes. src/rails/meter/PRICES.md says what is taken, and under which licence.
"""

import hashlib
import json
import re
import sys
from decimal import ROUND_HALF_UP, Decimal

VENDORS = ("anthropic", "openai")
MODES = ("chat", "responses")
PICO = Decimal("0.000000000001")

# What the table calls a price, and what it is called here. Names of the table with a lifetime come
# before those that they begin with.
UNITS = {
    "cache_creation_input_token_cost_above_1hr": "cache_write_long",
    "cache_creation_input_token_cost_above_12hr": "cache_write_long",
    "cache_creation_input_token_cost": "cache_write",
    "cache_read_input_token_cost": "cache_read",
    "input_cost_per_audio_token": "input_audio",
    "input_cost_per_token": "input",
    "output_cost_per_audio_token": "output_audio",
    "output_cost_per_token": "output",
}
# Batches are another endpoint, and nobody says what is billed as `decisions`.
TIERS = {"": "standard", "_flex": "flex", "_priority": "priority", "_ultrafast": "ultrafast"}
LEFT_OUT = ("_batches", "_decisions")
NAME = re.compile(
    "(?P<unit>" + "|".join(UNITS) + r")(?:_above_(?P<above>\d+)(?P<kilo>k?)_tokens)?(?P<tier>_[a-z]+)?"
)
PRICE = re.compile("cost_per|_cost$|_cost_above_|_cost_(?:flex|priority|ultrafast)")
ORDER = ["input", "input_audio", "cache_read", "cache_write", "cache_write_long", "output",
         "output_audio", "web_search"]


def plain(price):
    """A price in dollars as a plain decimal, to twelve decimals."""
    text = f"{Decimal(price).quantize(PICO, ROUND_HALF_UP):f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def rates(model, entry):
    """{tier: {None or tokens: {unit: price}}}, as the table has it."""
    found = {}
    for name, price in entry.items():
        match = NAME.fullmatch(name)
        if match and (match["tier"] or "") in TIERS:
            above = int(match["above"]) * (1000 if match["kilo"] else 1) if match["above"] else None
            tier = found.setdefault(TIERS[match["tier"] or ""], {})
            tier.setdefault(above, {})[UNITS[match["unit"]]] = Decimal(price)
        elif PRICE.search(name) and not name.endswith(LEFT_OUT) and not name.startswith("search_"):
            sys.exit(f"{model}: nothing is known of `{name}`")
    searches = entry.get("search_context_cost_per_query")
    for tier in found.values():
        if searches:
            tier[None]["web_search"] = max(Decimal(price) for price in searches.values())
    return found


def times(rate, by):
    """A rate of which every token costs so many times as much; what is no token costs the same."""
    return {
        above: {unit: price if unit == "web_search" else price * by for unit, price in prices.items()}
        for above, prices in rate.items()
    }


def model_of(name, entry):
    """One model as it is written here."""
    found = rates(name, entry)
    factors = dict(entry.get("provider_specific_entry") or {})
    if fast := factors.pop("fast", None):
        found["fast"] = times(found["standard"], fast)
    regions = {"us": factors.pop("us", None)}
    if factors:
        sys.exit(f"{name}: nothing is known of {factors}")
    for key, factor in entry.items():
        if key.startswith("regional_processing_uplift_multiplier_"):
            regions[key.rsplit("_", 1)[1]] = factor
    plainly = list(found.items())
    for region, factor in regions.items():
        if factor:
            found.update({f"{tier}/{region}": times(rate, factor) for tier, rate in plainly})
    written = {}
    for tier in sorted(found, key=lambda tier: (tier != "standard", tier)):
        rate = found[tier]
        tell = lambda prices: {unit: plain(prices[unit]) for unit in ORDER if unit in prices}
        written[tier] = tell(rate[None])
        tiers = {str(above): tell(rate[above]) for above in sorted(a for a in rate if a)}
        if tiers:
            written[tier]["above"] = tiers
    head = {"max_output_tokens": entry["max_output_tokens"]} if "max_output_tokens" in entry else {}
    return {**head, "rates": written}


def main():
    if len(sys.argv) != 4:
        sys.exit(__doc__)
    file, source, date = sys.argv[1:]
    with open(file, "rb") as opened:
        text = opened.read()
    table = json.loads(text, parse_float=Decimal)
    models = {
        name: model_of(name, entry)
        for name, entry in sorted(table.items())
        if entry.get("litellm_provider") in VENDORS
        and entry.get("mode") in MODES
        and "input_cost_per_token" in entry
    }
    head = {
        "source": source,
        "sha256": hashlib.sha256(text).hexdigest(),
        "priced_at": date,
        "licence": "MIT, Copyright (c) 2023 Berri AI; the notice is in PRICES.md",
    }
    lines = [f"  {json.dumps(name)}: {json.dumps(value)}," for name, value in head.items()]
    lines.append('  "models": {')
    for name, model in models.items():
        end = "" if name == list(models)[-1] else ","
        rest = "".join(f'"{key}": {value}, ' for key, value in model.items() if key != "rates")
        lines.append(f'    {json.dumps(name)}: {{{rest}"rates": {{')
        rows = [f"      {json.dumps(tier)}: {json.dumps(rate)}" for tier, rate in model["rates"].items()]
        lines.append(",\n".join(rows))
        lines.append(f"    }}}}{end}")
    print("{", *lines, "  }", "}", sep="\n")


main()
