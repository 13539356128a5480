"""The words of the embedded world: value classes of plain English words, and invented names."""

from __future__ import annotations

import random

VALUES: dict[str, tuple[str, ...]] = {
    name: tuple(words.split())
    for name, words in {
        "plant": "willow sage thyme fern clover nettle ivy mint basil hemlock juniper lavender moss heather poppy "
        "rosemary saffron thistle violet yarrow garlic fennel daisy laurel",
        "animal": "wolf otter raven heron badger lynx hare stag falcon viper beaver crane ferret goat hornet jackal "
        "lark mole owl pike rat seal toad weasel",
        "metal": "iron copper silver gold tin lead zinc nickel cobalt bronze brass steel pewter chromium titanium "
        "mercury platinum tungsten bismuth cadmium radium sodium lithium barium",
        "colour": "red blue green yellow purple white black brown grey orange pink crimson scarlet indigo teal amber "
        "ivory azure beige maroon olive turquoise lilac magenta",
        "food": "bread cheese honey barley oats butter plum apple pear cherry onion cabbage carrot lentil rice trout "
        "salmon mutton pork walnut almond fig grape turnip",
        "tool": "hammer chisel saw plane drill anvil wrench pulley lever wedge spade sickle needle hook file clamp "
        "mallet bellows tongs auger axe rasp trowel crowbar",
        "stone": "granite marble flint slate chalk jade opal ruby topaz onyx quartz basalt garnet pearl agate jasper "
        "emerald sapphire diamond coral obsidian limestone sandstone pumice",
        "fabric": "wool linen silk cotton velvet canvas felt leather satin lace muslin tweed damask fur hemp burlap "
        "flannel denim gauze serge brocade cashmere corduroy taffeta",
        "trade": "baker smith weaver miller tanner potter mason cooper fletcher brewer carver dyer farrier glazier "
        "herald joiner tailor sailor scribe shepherd thatcher cobbler jeweller butcher",
        "music": "flute harp drum lute horn fiddle bell pipe trumpet cymbal lyre organ viol whistle gong bagpipe "
        "dulcimer oboe rattle tambourine zither clarinet cornet mandolin",
        "body": "heart liver lung kidney spleen stomach throat tongue knee elbow ankle wrist spine skull shoulder hip "
        "ear eye nose jaw thumb heel rib belly",
    }.items()
}

_BEGINNINGS = [
    onset + nucleus for onset in "b br d dr f g gr h k kr l m n p pr r s st t tr v w z".split() for nucleus in "aeiou"
]
_ENDINGS = (
    "bas dan del dor fal gan gar hem kas lak lan lek lin lor mar mas mel min mor nak "
    "nar nel nis nor pas ral ran rek ril rin san sek tal tan tek tor vak vel vin zan"
).split()


def invent_names(count: int, rng: random.Random) -> list[str]:
    """Draw distinct two-syllable names.

    Parameters
    ----------
    count : int
        How many names to draw.
    rng : random.Random
        Source of randomness; the same state gives the same names.

    Returns
    -------
    list of str
        `count` distinct capitalised names, none of them a word of `VALUES`.

    Examples
    --------
    >>> names = invent_names(3, random.Random(0))
    >>> len(set(names)), all(name.istitle() for name in names)
    (3, True)
    """
    taken = {word.title() for words in VALUES.values() for word in words}
    names: list[str] = []
    while len(names) < count:
        name = (rng.choice(_BEGINNINGS) + rng.choice(_ENDINGS)).title()
        if name not in taken:
            taken.add(name)
            names.append(name)
    return names
