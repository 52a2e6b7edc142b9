"""Everyday topics that prompts ask about: plural or mass nouns, so that they fit "Tell me about ..." as they stand.

Each line is one family; every fourth topic of a family belongs to the test, the others to training, so that both
sides hold topics of every sort and share none.
"""

from __future__ import annotations

from collections.abc import Mapping

FAMILIES: Mapping[str, tuple[str, ...]] = {
    family: tuple(topic.strip() for topic in line.split(","))
    for family, line in {
        "animals": "cats, horses, owls, dolphins, rabbits, bees, elephants, turtles, goats, penguins, spiders, "
        "parrots, foxes, whales, frogs, squirrels, ants, wolves, chickens, butterflies, mice, camels, "
        "bats, geese",
        "foods": "bread, apples, cheese, soup, rice, honey, pancakes, tomatoes, chocolate, noodles, potatoes, "
        "salads, eggs, carrots, yogurt, cookies, strawberries, onions, pizza, mushrooms, lemons, beans, "
        "popcorn, peanuts",
        "drinks": "tea, coffee, lemonade, milk, smoothies, hot cocoa, orange juice, sparkling water",
        "places": "libraries, beaches, museums, parks, airports, deserts, farms, harbors, islands, bakeries, "
        "caves, zoos, hospitals, train stations, playgrounds, lighthouses, forests, villages, castles, "
        "markets, theaters, waterfalls, swimming pools, campgrounds",
        "tools": "hammers, scissors, ladders, screwdrivers, shovels, paintbrushes, wheelbarrows, sewing "
        "machines, flashlights, compasses, thermometers, microscopes, calculators, rulers, axes, lawn "
        "mowers",
        "jobs": "nurses, teachers, firefighters, plumbers, bakers, dentists, electricians, pilots, carpenters, "
        "journalists, gardeners, mechanics, tailors, architects, barbers, farmers",
        "household": "mirrors, candles, blankets, clocks, refrigerators, vacuum cleaners, pillows, curtains, "
        "bathtubs, toasters, sofas, doorbells, spoons, teapots, umbrellas, backpacks",
        "transport": "bicycles, buses, sailboats, airplanes, subways, tractors, elevators, helicopters, scooters, "
        "ferries, trucks, hot air balloons",
        "nature": "rainbows, mountains, rivers, thunderstorms, volcanoes, sunflowers, snow, oak trees, clouds, "
        "roses, earthquakes, seashells, glaciers, tides, cactuses, moss",
        "hobbies": "chess, photography, fishing, painting, hiking, origami, knitting, board games, stamp "
        "collecting, pottery, bird watching, jigsaw puzzles, dancing, juggling, camping, embroidery",
        "sports": "soccer, tennis, swimming goggles, marathons, skateboards, volleyball, ice skating, archery",
        "music": "pianos, guitars, drums, violins, choirs, trumpets, lullabies, flutes",
        "things": "books, maps, bridges, kites, newspapers, toothbrushes, passports, birthday parties, postcards, "
        "robots, batteries, sunglasses, weddings, fireworks, gloves, magnets",
    }.items()
}

_HELD_OUT_EVERY = 4


def training_topics() -> tuple[str, ...]:
    """Topics that training prompts ask about."""
    return _topics(held_out=False)


def held_out_topics() -> tuple[str, ...]:
    """Topics kept from training."""
    return _topics(held_out=True)


def _topics(*, held_out: bool) -> tuple[str, ...]:
    return tuple(
        topic
        for family in FAMILIES.values()
        for place, topic in enumerate(family, start=1)
        if (place % _HELD_OUT_EVERY == 0) is held_out
    )
