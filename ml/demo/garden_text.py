"""Titles and descriptions of garden tools: twelve kinds of work, four product lines, no story's words."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ml.demo.phrases import capitalised, fill, pick

BRANDS = (
    "Thornfield|Greenacre|Tilth & Co|Moorland|Oakhurst|Verdano|Stavely|Bramley Works|Hortiva|"
    "Fernleigh|Rootwell|"
    "Copsewood|Larkmead|Spindle|Kestrel Tools|Gartenbach"
)


@dataclass(frozen=True)
class Kind:
    """One kind of garden work: products with the sizes they come in, what they are good for and a detail."""

    products: tuple[tuple[str, tuple[str, ...]], ...]
    uses: tuple[str, ...]
    details: tuple[str, ...]


def _kind(products: str, uses: str, details: str) -> Kind:
    """`products` reads "Name: size, size; Name: size"; the others are split at bars."""
    named = (entry.split(":") for entry in products.split(";"))
    sized = tuple((name.strip(), tuple(size.strip() for size in sizes.split(","))) for name, sizes in named)
    return Kind(sized, tuple(uses.split("|")), tuple(details.split("|")))


KINDS = (
    _kind(
        "Bypass Pruner: 18 cm, 20 cm, 21.5 cm, 24 cm; Anvil Secateurs: 18 cm, 20 cm, 22 cm;"
        " Rose Shears: 17 cm, 19 cm;"
        "Pruning Saw: 24 cm, 30 cm, 33 cm; Tree Lopper: 60 cm, 75 cm, 80 cm",
        "for roses and young branches|for clean cuts on live wood|for thick dead branches|for fruit trees",
        "a non-stick coated blade|a safety catch for one hand|replaceable parts|a hardened cutting edge",
    ),
    _kind(
        "Cordless Hedge Trimmer: 45 cm, 52 cm, 55 cm; Electric Hedge Trimmer: 48 cm, 60 cm, 65 cm;"
        "Hedge Shears: 54 cm, 58 cm; Telescopic Hedge Trimmer: 41 cm, 45 cm; Topiary Trimmer: 12 cm, 20 cm",
        "for box and privet|for tall hedges without a ladder|for straight tops and sides|"
        "for shaping evergreens",
        "laser-cut blades|a rotating handle|low-vibration grips|a blade guard and hook",
    ),
    _kind(
        "Cordless Lawn Mower: 34 cm, 37 cm, 40 cm, 46 cm; Push Reel Mower: 30 cm, 38 cm;"
        " Electric Lawn Mower: 32 cm,"
        "34 cm, 40 cm; Robot Mower: 300 m2, 500 m2, 800 m2; Petrol Lawn Mower: 46 cm, 51 cm",
        "for small city lawns|for a striped finish|for uneven ground|for a neat cut every week",
        "six cutting heights|easy-clean blades|a quiet gear|wide ball-bearing wheels",
    ),
    _kind(
        "Garden Hose: 15 m, 20 m, 25 m, 30 m, 50 m; Hose Reel: 20 m, 35 m;"
        " Oscillating Sprinkler: 140 m2, 220 m2;"
        "Spray Gun: 1/2 inch, 3/4 inch; Watering Can: 5 l, 10 l, 12 l; Drip Irrigation Kit: 15 m, 40 m",
        "for vegetable beds in dry weeks|for window boxes and pots|for lawns in high summer|"
        "for slow deep watering",
        "leak-free joints|brass fittings|an even water flow|winter-proof parts",
    ),
    _kind(
        "Digging Spade: 95 cm, 105 cm, 115 cm; Border Spade: 90 cm, 98 cm; Trenching Shovel: 110 cm, 120 cm;"
        "Digging Fork: 95 cm, 105 cm; Bulb Planter: 23 cm, 90 cm",
        "for heavy clay|for planting trees and shrubs|for turning over beds|for narrow trenches",
        "a treaded footrest|an ash handle with D-grip|a one-piece forged head|"
        "mirror-polished stainless steel",
    ),
    _kind(
        "Leaf Rake: 40 cm, 50 cm, 60 cm; Bow Rake: 36 cm, 42 cm; Leaf Blower: 18 V, 36 V, 2500 W;"
        "Garden Vacuum: 2400 W, 3000 W; Yard Broom: 45 cm, 60 cm",
        "for autumn leaves on the lawn|for gravel drives|for wet leaves and twigs|for paths and patios",
        "a balanced handle|a wide working head|a comfortable soft grip|a hanging hook",
    ),
    _kind(
        "Planting Gloves: Size S, Size M, Size L, Size XL; Thorn-Proof Gauntlets: Size M, Size L, Size XL;"
        "Kneeling Pad: 40 cm, 55 cm; Garden Apron: 70 cm, 85 cm; Gardening Knee Pads: One Size",
        "for rose beds and brambles|for wet spring soil|for long days on your knees|"
        "for seedlings and fine work",
        "a breathable lining|a water-repellent outer layer|reinforced seams|washable fabric",
    ),
    _kind(
        "Wheelbarrow: 85 l, 100 l, 120 l; Garden Cart: 75 l, 125 l; Folding Trolley: 80 kg, 150 kg;"
        "Garden Dump Cart: 200 kg, 350 kg; Sack Truck: 150 kg, 250 kg",
        "for soil, sand and gravel|for firewood and logs|for bringing compost to the beds|"
        "for narrow side gates",
        "puncture-proof tyres|a galvanised frame|rubber grips|a powder-coated finish",
    ),
    _kind(
        "Mini Greenhouse: 70 x 50 cm, 140 x 75 cm; Cold Frame: 100 x 60 cm, 120 x 80 cm;"
        " Polytunnel: 2 x 3 m, 3 x 6 m;"
        "Heated Propagator: 38 cm, 76 cm; Seed Tray Set: 24 Cells, 40 Cells, 72 Cells",
        "for tomatoes and peppers|for hardening off seedlings|for early salads|for overwintering citrus",
        "a clear cover|an adjustable vent|UV-stable plastic|a lid that stays open",
    ),
    _kind(
        "Terracotta Pot: 18 cm, 25 cm, 35 cm; Raised Bed: 80 x 80 cm, 120 x 80 cm;"
        " Hanging Basket: 30 cm, 35 cm, 40 cm;"
        "Window Box: 60 cm, 80 cm; Plant Stand: 3 Tiers, 4 Tiers",
        "for herbs on the balcony|for summer bedding flowers|for trailing geraniums|for a sunny doorstep",
        "frost resistance to -15 degrees|good drainage|an untreated natural surface|tool-free assembly",
    ),
    _kind(
        "Compost Bin: 220 l, 300 l, 400 l, 600 l; Worm Composter: 3 Trays, 5 Trays;"
        " Garden Shredder: 2200 W, 2800 W;"
        "Compost Thermometer: 30 cm, 50 cm; Compost Aerator: 80 cm, 95 cm",
        "for kitchen scraps|for hedge and shrub clippings|for dark crumbly humus|for hot composting all year",
        "weatherproof materials|hardly any moving parts|easy cleaning|a guide to composting",
    ),
    _kind(
        "Dutch Hoe: 140 cm, 160 cm; Weed Puller: 100 cm, 115 cm; Hand Trowel: 28 cm, 32 cm;"
        "Three-Prong Cultivator: 28 cm, 150 cm; Patio Weed Knife: 25 cm, 30 cm",
        "for dandelions and other deep roots|for weeds between paving stones|for loosening topsoil|"
        "for row crops",
        "a sharpened stainless head|a tapered point|a soft-grip handle|a hanging loop",
    ),
)
# What a shop calls the kinds, in their order.
SHELVES = (
    "Pruning", "Hedges", "Lawn", "Watering", "Digging", "Leaves", "Clothing", "Carts", "Greenhouse", "Pots",
    "Compost", "Weeding",
)  # fmt: skip
LINES = (
    ("Professional|Heavy-Duty|Contractor", "built for daily professional use|for trade and hire"),
    ("Compact|Lightweight|Easy-Reach", "easy to handle and store|made for small spaces and smaller hands"),
    ("Heritage|Classic|Estate", "made to a pattern from 1890|with waxed wood and solid brass"),
    ("Eco|Recycled|Everyday", "made from recycled material|low price, fully repairable"),
)
TITLES = (
    "{brand} {line} {product} {size}",
    "{line} {product} {size}",
    "{product} {size}, {line} Range by {brand}",
)
DESCRIPTIONS = (
    "{capital_product} {use}, with {detail}. {capital_claim}; {years}-year guarantee.",
    "{brand} {product} {use}: {detail}, {claim}. Model {model}, {years}-year guarantee.",
)


def garden_text(kind: int, line: int, rng: np.random.Generator) -> tuple[str, str]:
    """(title, description) of one garden product of the given kind of work and product line."""
    names, claims = (tuple(row.split("|")) for row in LINES[line])
    goods = KINDS[kind]
    product, sizes = goods.products[int(rng.integers(len(goods.products)))]
    slots = {
        "brand": (pick(BRANDS.split("|"), rng),),
        "line": names,
        "product": (product,),
        "size": sizes,
        "use": goods.uses,
        "detail": goods.details,
        "claim": claims,
        "capital_claim": [capitalised(claim) for claim in claims],
        "years": ("2", "3", "5", "10"),
        "model": [f"{letter}{number}" for letter in "AGKTX" for number in range(100, 990, 10)],
    }
    title = fill(pick(TITLES, rng), slots, rng)
    # In running text a product is a common noun.
    slots["product"] = (product.lower(),)
    slots["capital_product"] = (capitalised(product.lower()),)
    return title, fill(pick(DESCRIPTIONS, rng), slots, rng)
